// What the generated sketch uses of Arduino's core.
#pragma once

#include <cstdint>
#include <cstdio>

struct SerialPort {
  void begin(unsigned long) {}
  void print(const char* text) { std::printf("%s", text); }
  void print(int value) { std::printf("%d", value); }
  void println(const char* text) { std::printf("%s\n", text); }
  void println(int value) { std::printf("%d\n", value); }
};

extern SerialPort Serial;
void delay(unsigned long milliseconds);
