// MPS2 with application note 386.
#pragma once

#include <cstdint>

constexpr uintptr_t kUart = 0x40004000;
constexpr uintptr_t kFpgaIo = 0x40028000;
constexpr uint32_t kPeripheralHz = 25000000;
constexpr uint32_t kCounterHz = 25000000;
