// The seam with TensorFlow Lite for Microcontrollers behind it.
#include <cstring>
#include <new>

#include "board.h"
#include "models.h"
#include "network.h"
#include "operators.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace {

using Resolver = tflite::MicroMutableOpResolver<kOperatorCount>;

alignas(Resolver) unsigned char g_resolver_memory[sizeof(Resolver)];
Resolver* g_resolver = nullptr;
alignas(tflite::MicroInterpreter) unsigned char g_memory[sizeof(tflite::MicroInterpreter)];
tflite::MicroInterpreter* g_interpreter = nullptr;

}  // namespace

namespace network {

const char* select(unsigned model) {
  if (g_resolver == nullptr) {
    g_resolver = new (g_resolver_memory) Resolver;
    if (!add_operators(*g_resolver)) return "TFLM does not take the operators";
  }
  if (g_interpreter != nullptr) g_interpreter->~MicroInterpreter();
  const tflite::Model* content = tflite::GetModel(kModels[model].content);
  g_interpreter = new (g_memory)
      tflite::MicroInterpreter(content, *g_resolver, board::arena(), board::arena_size());
  if (g_interpreter->AllocateTensors() != kTfLiteOk) {
    return "TFLM does not set up the network: too little memory, or an operator that it lacks";
  }
  size_t size = 0;
  for (size_t i = 0; i < g_interpreter->inputs_size(); ++i) size += g_interpreter->input(i)->bytes;
  if (size > kInputSize) return "The inputs have another size";
  return nullptr;
}

void load(const uint8_t* input) {
  for (size_t i = 0; i < g_interpreter->inputs_size(); ++i) {
    TfLiteTensor* tensor = g_interpreter->input(i);
    memcpy(tensor->data.raw, input, tensor->bytes);
    input += tensor->bytes;
  }
}

bool invoke() { return g_interpreter->Invoke() == kTfLiteOk; }

const uint8_t* scores() { return g_interpreter->output(0)->data.uint8; }

size_t scores_size() { return g_interpreter->output(0)->bytes; }

size_t classes() {
  return scores_size() / (g_interpreter->output(0)->type == kTfLiteFloat32 ? sizeof(float) : 1);
}

unsigned permille(size_t index) {
  const TfLiteTensor* output = g_interpreter->output(0);
  if (output->type == kTfLiteFloat32) {
    return static_cast<unsigned>(output->data.f[index] * 1000 + 0.5f);
  }
  return (1000u * static_cast<unsigned>(output->data.int8[index] + 128) + 128) / 256;
}

int exit_index() { return static_cast<int>(g_interpreter->output(1)->data.i32[0]); }

size_t arena_used() { return g_interpreter->arena_used_bytes(); }

}  // namespace network
