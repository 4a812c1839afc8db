#include "protocol.h"

#include <cstring>

#include "board.h"
#include "models.h"
#include "network.h"
#include "text.h"

namespace {

void put_lap(uint64_t ticks) {
  const uint64_t hz = board::ticks_per_second();
  text::line("m-lap-us-", ticks / hz * 1000000 + ticks % hz * 1000000 / hz, "");
  text::line("m-lap-ticks-[", ticks);
}

// A decimal number, or -1 for anything else.
long number(const char* word) {
  if (word == nullptr || *word == 0 || strlen(word) > 9) return -1;
  long value = 0;
  for (; *word; ++word) {
    if (*word < '0' || *word > '9') return -1;
    value = 10 * value + (*word - '0');
  }
  return value;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool same(const char* a, const char* b) { return strcmp(a, b) == 0; }

}  // namespace

void Protocol::start() {
  text::put("m-timestamp-mode-performance\r\n");
  put_lap(board::ticks());
  select(0);
  text::put("m-init-done\r\nm-ready\r\n");
}

void Protocol::take(char byte) {
  if (byte == '%') {
    run();
    length_ = 0;
  } else if (byte != '\r' && byte != '\n' && length_ <= kLongest) {
    command_[length_++] = byte;  // one more than fits marks a command as too long
  }
}

void Protocol::run() {
  if (length_ > kLongest) {
    text::error("Command too long");
  } else {
    command_[length_] = 0;
    rest_ = command_;
    answer();
  }
  text::put("m-ready\r\n");
}

// The next word of the command, or nullptr.
const char* Protocol::word() {
  while (*rest_ == ' ') ++rest_;
  if (*rest_ == 0) return nullptr;
  const char* found = rest_;
  while (*rest_ != 0 && *rest_ != ' ') ++rest_;
  if (*rest_ != 0) *rest_++ = 0;
  return found;
}

void Protocol::answer() {
  const char* command = word();
  if (command == nullptr) return;
  if (same(command, "name")) {
    text::put("m-name-dut-[eexit-tf]\r\n");
  } else if (same(command, "profile")) {
    profile();
  } else if (same(command, "timestamp")) {
    put_lap(board::ticks());
  } else if (same(command, "db")) {
    buffer(word());
  } else if (same(command, "infer")) {
    const char* count = word();
    infer(count, word());
  } else if (same(command, "results")) {
    results();
  } else if (same(command, "model")) {
    const long model = number(word());
    if (model < 0 || model >= static_cast<long>(kModelCount)) {
      text::error("No such model");
    } else {
      select(static_cast<unsigned>(model));
    }
  } else {
    text::line("e-[Unknown command: ", command);
  }
}

void Protocol::profile() {
  text::put("m-profile-[eexit-tf benchmark 1]\r\n");
  describe_model();
  text::line("m-clock-hz-[", uint64_t{board::ticks_per_second()});
  text::line("m-input-bytes-[", uint64_t{kInputSize});
}

void Protocol::describe_model() {
  text::line("m-model-[", kModels[model_].name);
  if (ready_) text::line("m-arena-bytes-[", uint64_t{network::arena_used()});
}

void Protocol::select(unsigned model) {
  model_ = model;
  run_once_ = false;
  const char* wrong = network::select(model);
  ready_ = wrong == nullptr;
  if (ready_) {
    describe_model();
  } else {
    text::error(wrong);
  }
}

void Protocol::buffer(const char* subcommand) {
  if (subcommand == nullptr) {
    text::error("db needs load N, print or hex digits");
  } else if (same(subcommand, "load")) {
    const long size = number(word());
    loaded_ = expected_ = 0;
    if (size != static_cast<long>(kInputSize)) {
      text::line("e-[The input has ", uint64_t{kInputSize}, " bytes]");
      return;
    }
    expected_ = kInputSize;
    text::line("m-[Expecting ", uint64_t{kInputSize}, " bytes]");
  } else if (same(subcommand, "print")) {
    for (size_t i = 0; i < loaded_; ++i) {
      text::put(i % 8 == 0 ? "m-buffer-" : "-");
      text::put_hex(g_input[i]);
      if (i % 8 == 7 || i + 1 == loaded_) text::put("\r\n");
    }
  } else {
    for (const char* digit = subcommand; *digit && loaded_ < expected_; digit += 2) {
      const int high = hex_digit(digit[0]);
      const int low = high < 0 ? -1 : hex_digit(digit[1]);
      if (low < 0) {
        text::error("Not pairs of hex digits");
        return;
      }
      g_input[loaded_++] = static_cast<uint8_t>(high << 4 | low);
      if (loaded_ == expected_) text::put("m-load-done\r\n");
    }
  }
}

void Protocol::infer(const char* count, const char* warmups) {
  long runs = count == nullptr ? 1 : number(count);
  long before = warmups == nullptr ? 10 : number(warmups);
  if (runs <= 0 || before < 0) {
    text::error("infer needs a number above 0 and one from 0 on");
    return;
  }
  if (!ready_ || expected_ == 0 || loaded_ != expected_) {
    text::error(ready_ ? "No input loaded" : "No network");
    return;
  }
  text::line("m-warmup-start-", static_cast<uint64_t>(before), "");
  bool sound = true;
  for (; before > 0 && sound; --before) {
    network::load(g_input);
    sound = network::invoke();
  }
  text::line("m-warmup-done\r\nm-infer-start-", static_cast<uint64_t>(runs), "");
  const uint64_t begin = board::ticks();
  uint64_t spent = 0;
  for (; runs > 0 && sound; --runs) {
    network::load(g_input);
    const uint64_t start = board::ticks();
    sound = network::invoke();
    spent += board::ticks() - start;
  }
  if (!sound) {
    text::error("The network cannot be run");
    return;
  }
  run_once_ = true;
  put_lap(begin);
  put_lap(begin + spent);
  text::put("m-infer-done\r\n");
  results();
}

void Protocol::results() {
  if (!run_once_) {
    text::error("No results yet");
    return;
  }
  text::put("m-results-[");
  for (size_t i = 0; i < network::classes(); ++i) {
    const unsigned score = network::permille(i);
    if (i) text::put(",");
    text::put(uint64_t{score / 1000});
    text::put(score % 1000 < 10 ? ".00" : score % 1000 < 100 ? ".0" : ".");
    text::put(uint64_t{score % 1000});
  }
  text::put("]\r\n");
  text::line("m-exit-[", static_cast<uint64_t>(network::exit_index()));
  text::put("m-scores-[");
  for (size_t i = 0; i < network::scores_size(); ++i) text::put_hex(network::scores()[i]);
  text::put("]\r\n");
}
