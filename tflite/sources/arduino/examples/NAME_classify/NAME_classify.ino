// Classifies one sample a second and says which class it is and where it left the network.

#include <Chirale_TensorFlowLite.h>  // first: the Arduino build finds TFLM by this name
#include <@name@_model.h>

eexit::NetworkWithArena<@name@_model> network;

// Put a sample of yours here.
void readSample(int8_t* input) {
  for (int i = 0; i < @name@_model::kInputSize; ++i) {
    input[i] = eexit::quantize<@name@_model>(0.0f);
  }
}

void stopAt(eexit::Status status) {
  while (true) {
    Serial.print("error: ");
    Serial.println(eexit::message(status));
    delay(1000);
  }
}

void setup() {
  Serial.begin(115200);
  const eexit::Status status = network.init();
  if (status != eexit::Status::kOk) stopAt(status);
}

void loop() {
  readSample(network.input());
  const eexit::Status status = network.infer();
  if (status != eexit::Status::kOk) stopAt(status);
  Serial.print("class ");
  Serial.print(@name@_model::label(network.class_index()));
  Serial.print(", ");
  Serial.print(static_cast<int>(100.0f * network.probability()));
  Serial.print(" % sure, left at exit ");
  Serial.println(network.exit_index());
  delay(1000);
}
