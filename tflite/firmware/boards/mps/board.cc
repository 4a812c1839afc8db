// Arm's MPS2 and MPS3 boards: CMSDK UART 0, and the FPGA's counters for a clock.
#include "board.h"

#include "addresses.h"

extern "C" uint8_t __arena_start[];
extern "C" uint8_t __arena_end[];

namespace {

struct Uart {
  volatile uint32_t data, state, control, interrupt, baud_divider;
};
constexpr uint32_t kTransmitFull = 1, kReceiveFull = 2, kTransmitAndReceive = 3;
constexpr uint32_t kBaudRate = 115200;

struct Counters {
  volatile uint32_t at_1_hz, at_100_hz, cycles, prescale, prescaled;
};

Uart* uart() { return reinterpret_cast<Uart*>(kUart); }
Counters* counters() { return reinterpret_cast<Counters*>(kFpgaIo + 0x10); }

}  // namespace

namespace board {

void init() {
  uart()->baud_divider = kPeripheralHz / kBaudRate;
  uart()->control = kTransmitAndReceive;
  counters()->prescale = 0;
  counters()->cycles = 0;
  counters()->at_100_hz = 0;
}

char get() {
  while (!(uart()->state & kReceiveFull)) {
  }
  return static_cast<char>(uart()->data);
}

void put(char byte) {
  while (uart()->state & kTransmitFull) {
  }
  uart()->data = static_cast<uint8_t>(byte);
}

// The cycle counter has 32 bits; how often it has wrapped follows from the slow counter.
uint64_t ticks() {
  const uint64_t roughly = uint64_t{counters()->at_100_hz} * (kCounterHz / 100);
  const uint32_t cycles = counters()->cycles;
  return roughly + static_cast<uint64_t>(
                       static_cast<int64_t>(static_cast<int32_t>(
                           cycles - static_cast<uint32_t>(roughly))));
}

uint32_t ticks_per_second() { return kCounterHz; }

uint8_t* arena() { return __arena_start; }
size_t arena_size() { return static_cast<size_t>(__arena_end - __arena_start); }

}  // namespace board
