#pragma once

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

// What the stand-in's network looks like; a test sets it.
struct StandIn {
  size_t input_bytes;
  size_t classes;
  size_t needs;  // bytes of arena
  bool fails;    // Invoke does
  size_t thresholds;  // bytes of the second input; 0 for none
  int exit;      // that is taken; less than 0: the value of the input after the scores
};
extern StandIn stand_in;

namespace tflite {

class MicroResourceVariables;
class MicroProfilerInterface;

// Scores are the first values of the input. A second input, if there is one, is added to the
// exit: its values' sum.
class MicroInterpreter {
 public:
  MicroInterpreter(const Model*, const MicroOpResolver&, uint8_t* tensor_arena,
                   size_t tensor_arena_size, MicroResourceVariables* = nullptr,
                   MicroProfilerInterface* = nullptr, bool = false)
      : arena_(tensor_arena), size_(tensor_arena_size) {}
  ~MicroInterpreter() { arena_ = nullptr; }

  TfLiteStatus AllocateTensors() {
    if (size_ < stand_in.needs) return kTfLiteError;
    int8_t* values = reinterpret_cast<int8_t*>(arena_);
    input_ = {kTfLiteInt8, {}, stand_in.input_bytes};
    input_.data.int8 = values;
    scores_ = {kTfLiteInt8, {}, stand_in.classes};
    scores_.data.int8 = values + stand_in.input_bytes;
    exit_ = {kTfLiteInt32, {}, sizeof(int32_t)};
    exit_.data.i32 = &taken_;
    thresholds_ = {kTfLiteInt8, {}, stand_in.thresholds};
    thresholds_.data.int8 = values + stand_in.input_bytes + stand_in.classes;
    return kTfLiteOk;
  }

  TfLiteStatus Invoke() {
    if (stand_in.fails) return kTfLiteError;
    for (size_t i = 0; i < stand_in.classes; ++i) scores_.data.int8[i] = input_.data.int8[i];
    taken_ = stand_in.exit < 0 ? input_.data.int8[stand_in.classes] : stand_in.exit;
    for (size_t i = 0; i < stand_in.thresholds; ++i) taken_ += thresholds_.data.int8[i];
    for (size_t i = 0; i < stand_in.input_bytes; ++i) input_.data.int8[i] = 99;
    return kTfLiteOk;
  }

  TfLiteTensor* input(size_t index) { return index == 0 ? &input_ : &thresholds_; }
  TfLiteTensor* output(size_t index) { return index == 0 ? &scores_ : &exit_; }
  size_t inputs_size() const { return stand_in.thresholds == 0 ? 1 : 2; }
  size_t outputs_size() const { return 2; }
  size_t arena_used_bytes() const { return stand_in.needs; }

 private:
  uint8_t* arena_;
  size_t size_;
  int32_t taken_ = 0;
  TfLiteTensor input_ = {}, thresholds_ = {}, scores_ = {}, exit_ = {};
};

}  // namespace tflite
