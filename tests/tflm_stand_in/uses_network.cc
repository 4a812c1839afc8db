// Goes through everything that `eexit.h` offers and prints what comes back, for test_export.py.

#include <cstdio>
#include <cstring>

#include "net_model.h"

using eexit::Status;

StandIn stand_in = {net_model::kInputSize, net_model::kClasses, 1024, false, 0, -1};

namespace {

eexit::NetworkWithArena<net_model> network;

void say(const char* what, Status status) {
  std::printf("%s: %s, exit %d, class %d, probability %.6f, scores %d\n", what,
              eexit::message(status), network.exit_index(), network.class_index(),
              static_cast<double>(network.probability()), network.scores() != nullptr);
}

}  // namespace

int main() {
  say("unready", network.infer());
  std::printf("input %d, used %d\n", network.input() != nullptr,
              static_cast<int>(network.arena_used_bytes()));
  say("init", network.init());
  std::printf("input %d, used %d\n", network.input() != nullptr,
              static_cast<int>(network.arena_used_bytes()));

  std::int8_t sample[net_model::kInputSize];
  for (int k = 0; k < net_model::kExits; ++k) {
    for (int i = 0; i < net_model::kInputSize; ++i) sample[i] = -100;
    sample[k + 1] = sample[k + 2] = static_cast<std::int8_t>(100 + k);
    sample[net_model::kClasses] = static_cast<std::int8_t>(k);
    say(net_model::exit_name(k), network.infer(sample));
    if (std::memcmp(network.scores(), sample, net_model::kClasses) != 0) return 1;
    std::printf("label %s, threshold %d\n", net_model::label(network.class_index()),
                network.threshold(k));
  }

  sample[net_model::kClasses] = net_model::kExits;
  say("no such exit", network.infer(sample));
  std::memset(network.input(), 0, net_model::kInputSize);
  say("again", network.infer());
  stand_in.fails = true;
  say("failing", network.infer(sample));
  stand_in.fails = false;
  say("init again", network.init());

  eexit::Network<net_model> outside;
  alignas(16) static std::uint8_t arena[2048];
  std::printf("given: %s, %s, %s\n", eexit::message(outside.init(nullptr, 2048)),
              eexit::message(outside.init(arena, 512)), eexit::message(outside.init(arena, 2048)));
  stand_in.classes = net_model::kClasses - 1;
  std::printf("other: %s\n", eexit::message(outside.init(arena, 2048)));

  std::printf("quantize");
  for (float raw = -600.0f; raw < 600.0f; raw += 0.37f) {
    std::printf(" %d", eexit::quantize<net_model>(raw));
  }
  std::printf(" %d\n", eexit::quantize<net_model>(std::nanf("")));
  std::printf("data %u %d\n", g_net_model_data_size,
              static_cast<int>(reinterpret_cast<std::size_t>(net_model::data()) % 16));
  return std::fwrite(net_model::data(), 1, g_net_model_data_size, stdout) != g_net_model_data_size;
}
