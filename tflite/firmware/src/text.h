// Writing text and numbers to the UART, without printf.
#pragma once

#include <cstdint>

#include "board.h"

namespace text {

inline void put(const char* text) {
  while (*text) board::put(*text++);
}

inline void put(uint64_t number) {
  char digits[20];
  unsigned count = 0;
  do {
    digits[count++] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number);
  while (count) board::put(digits[--count]);
}

inline void put_hex(uint8_t byte) {
  const char* digits = "0123456789abcdef";
  board::put(digits[byte >> 4]);
  board::put(digits[byte & 15]);
}

// One line of the protocol: a head, a number or text, a tail and the line's end.
template <typename Value>
void line(const char* head, Value value, const char* tail = "]") {
  put(head);
  put(value);
  put(tail);
  put("\r\n");
}

inline void error(const char* what) { line("e-[", what); }

}  // namespace text
