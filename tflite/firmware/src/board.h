// What a board offers to the benchmark: a UART, a clock and the memory for the tensors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace board {

// Called once, before anything else here.
void init();

// One byte from the UART; waits for it.
char get();

// One byte to the UART; waits until it is taken.
void put(char byte);

// A clock that never wraps, and its ticks in a second.
uint64_t ticks();
uint32_t ticks_per_second();

// Memory for TFLM's arena, aligned to 16 bytes.
uint8_t* arena();
size_t arena_size();

}  // namespace board
