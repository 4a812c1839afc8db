// Classifies one sample and says which class it is and where it left the network.

#include <cstdio>

#include "@name@_model.h"

namespace {

eexit::NetworkWithArena<@name@_model> network;

// Put a sample of yours here.
void read_sample(std::int8_t* input) {
  for (int i = 0; i < @name@_model::kInputSize; ++i) {
    input[i] = eexit::quantize<@name@_model>(0.0f);
  }
}

}  // namespace

extern "C" void app_main() {
  eexit::Status status = network.init();
  if (status == eexit::Status::kOk) {
    read_sample(network.input());
    status = network.infer();
  }
  if (status != eexit::Status::kOk) {
    std::printf("error: %s\n", eexit::message(status));
    return;
  }
  std::printf("class %s, %d %% sure, left at exit %d (%s)\n",
              @name@_model::label(network.class_index()),
              static_cast<int>(100.0f * network.probability()), network.exit_index(),
              @name@_model::exit_name(network.exit_index()));
}
