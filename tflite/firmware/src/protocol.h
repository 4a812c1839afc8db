// MLPerf Tiny's text protocol, as its runner speaks it, with extensions for early exits.
//
//   name%            m-name-dut-[eexit-tf]
//   profile%         m-profile-[...], m-model-[NAME]; extension: m-arena-bytes-[N],
//                    m-clock-hz-[N], m-input-bytes-[N]
//   timestamp%       m-lap-us-N; extension: m-lap-ticks-[N]
//   db load N%       m-[Expecting N bytes]
//   db HEX%          m-load-done, with the last byte
//   db print%        m-buffer-..., eight bytes a line
//   infer N W%       N inferences after W for warming up (10 if not given), then the results
//   results%         m-results-[0.004,...]; extension: m-exit-[K], m-scores-[HEX]
//   model K%         extension: m-model-[NAME], m-arena-bytes-[N]; selects one of the networks
//                    in the firmware
//
// Every command is answered by its lines, or by e-[what is wrong], and then m-ready. The two
// laps around `infer` differ by the time of its inferences alone: loading the input and writing
// to the UART are not counted.
#pragma once

#include <cstddef>
#include <cstdint>

class Protocol {
 public:
  // Says m-init-done and m-ready.
  void start();

  // Takes one byte of a command; runs the command when it is complete.
  void take(char byte);

 private:
  static constexpr size_t kLongest = 80;

  void run();
  void answer();
  void profile();
  void describe_model();
  void select(unsigned model);
  void buffer(const char* subcommand);
  void infer(const char* count, const char* warmups);
  void results();
  const char* word();

  char command_[kLongest + 1];
  size_t length_ = 0;
  char* rest_ = nullptr;
  size_t loaded_ = 0;
  size_t expected_ = 0;
  unsigned model_ = 0;
  bool ready_ = false;  // the network is set up
  bool run_once_ = false;
};
