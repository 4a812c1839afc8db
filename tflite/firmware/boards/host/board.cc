// The host as a board: standard input and output for the UART. For tests.
#include "board.h"

#include <unistd.h>

#include <chrono>
#include <cstdlib>

namespace {

alignas(16) uint8_t g_arena[1 << 20];

}  // namespace

namespace board {

void init() {}

char get() {
  char byte;
  if (read(STDIN_FILENO, &byte, 1) != 1) exit(0);
  return byte;
}

void put(char byte) {
  if (write(STDOUT_FILENO, &byte, 1) != 1) exit(1);
}

uint64_t ticks() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::nanoseconds(now).count());
}

uint32_t ticks_per_second() { return 1000000000; }

uint8_t* arena() { return g_arena; }
size_t arena_size() { return sizeof(g_arena); }

}  // namespace board
