// Sets thresholds of a network that takes them as an input, for test_export.py.

#include <cstdio>

#include "net_model.h"

StandIn stand_in = {net_model::kInputSize, net_model::kClasses, 1024, false,
                    net_model::kExits - 1, 0};

int main() {
  static eexit::NetworkWithArena<net_model> network;
  const eexit::Status ready = network.init();
  std::printf("%s %d %d\n", eexit::message(ready), network.threshold(0), network.threshold(1));
  const std::int8_t sample[net_model::kInputSize] = {};
  network.set_threshold(0, -126);
  network.set_threshold(1, 127);
  for (int i = 0; i < 2; ++i) {  // kept from one sample to the next
    const eexit::Status status = network.infer(sample);
    std::printf("%s %d\n", eexit::message(status), network.exit_index());
  }
  network.set_threshold(0, -127);
  const eexit::Status status = network.infer(sample);
  std::printf("%s %d %d\n", eexit::message(status), network.exit_index(), network.threshold(0));
  stand_in.thresholds = 1;
  std::printf("%s\n", eexit::message(network.init()));
  return 0;
}
