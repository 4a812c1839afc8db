// From reset to main: floating point on, .data and .bss set up, constructors run.
#include <cstdint>

#include "board.h"
#include "text.h"

extern "C" {
extern uint32_t __stack_top[];
extern uint32_t __data_load[], __data_start[], __data_end[];
extern uint32_t __bss_start[], __bss_end[];
extern void (*__init_array_start[])();
extern void (*__init_array_end[])();
int main();
[[noreturn]] void reset();
}

namespace {

volatile uint32_t& coprocessor_access() { return *reinterpret_cast<uint32_t*>(0xE000ED88); }
volatile uint32_t& vector_table() { return *reinterpret_cast<uint32_t*>(0xE000ED08); }

[[noreturn]] void fault() {
  text::error("The processor has stopped at a fault");
  for (;;) {
  }
}

}  // namespace

using Handler = void (*)();
[[gnu::section(".vectors"), gnu::used]] static const Handler kVectors[16] = {
    reinterpret_cast<Handler>(__stack_top), reset, fault, fault, fault, fault, fault, fault};

[[noreturn]] void reset() {
  coprocessor_access() |= 0xFu << 20;  // floating point and vector instructions
  vector_table() = reinterpret_cast<uint32_t>(kVectors);
  __asm__ volatile("dsb\n isb");
  const uint32_t* from = __data_load;
  for (uint32_t* to = __data_start; to < __data_end;) *to++ = *from++;
  for (uint32_t* to = __bss_start; to < __bss_end;) *to++ = 0;
  for (auto constructor = __init_array_start; constructor < __init_array_end; ++constructor) {
    (*constructor)();
  }
  main();
  for (;;) {
  }
}
