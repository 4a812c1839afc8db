// MPS3 with application note 547, by the secure aliases.
#pragma once

#include <cstdint>

constexpr uintptr_t kUart = 0x59303000;
constexpr uintptr_t kFpgaIo = 0x59302000;
constexpr uint32_t kPeripheralHz = 25000000;
constexpr uint32_t kCounterHz = 20000000;  // QEMU's; a real board counts at 32 MHz
