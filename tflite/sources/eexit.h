// A network that leaves early by itself, on TensorFlow Lite for Microcontrollers.
//
// C++17 (C++14 will do). No heap, no exceptions, no RTTI.
//
//   static eexit::NetworkWithArena<digits_model> network;
//
//   if (network.init() != eexit::Status::kOk) ...            // once
//   for (int i = 0; i < digits_model::kInputSize; ++i)       // for each sample
//     network.input()[i] = eexit::quantize<digits_model>(pixels[i]);
//   if (network.infer() != eexit::Status::kOk) ...
//   network.class_index(), network.exit_index(), network.scores() ...
//
// The struct that describes the network (here `digits_model`) is written by `eexit-tf export`.

#ifndef EEXIT_H_
#define EEXIT_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <new>

#include "tensorflow/lite/c/common.h"
#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

namespace eexit {

/// What went wrong.
enum class Status : std::uint8_t {
  kOk,
  kNotReady,   ///< `infer` before a successful `init`.
  kVersion,    ///< The array holds no .tflite file of a version that TFLM runs.
  kOperators,  ///< The operators do not fit the resolver.
  kMemory,     ///< TFLM cannot set the network up in the arena: mostly, it is too small.
  kMismatch,   ///< The array is not the network that the model struct describes.
  kInvoke,     ///< TFLM failed while running; its log says where.
};

/// The status in words.
inline const char* message(Status status) {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kNotReady:
      return "the network is not initialised";
    case Status::kVersion:
      return "not a .tflite file of version 3";
    case Status::kOperators:
      return "the operators do not fit the resolver";
    case Status::kMemory:
      return "TFLM cannot set the network up in the arena (is it too small?)";
    case Status::kMismatch:
      return "the array is not the network that was described";
    case Status::kInvoke:
      return "running the network failed";
  }
  return "unknown status";
}

/// A raw value (a pixel's byte, say) as the network takes it: divided by the model's divisor,
/// then by its scale, rounded with ties to even, moved by the zero point, clipped to int8.
/// The same as `eexit-tf evaluate` does. Not a number becomes -128.
template <typename Model>
std::int8_t quantize(float raw) {
  const float steps = std::nearbyint(raw / Model::kInputDivisor / Model::kInputScale) +
                      static_cast<float>(Model::kInputZeroPoint);
  if (!(steps > -128.0f)) return -128;
  if (steps >= 127.0f) return 127;
  return static_cast<std::int8_t>(steps);
}

/// A score or threshold of the network (int8, -128 to 127) on the scale from 0 to 1.
inline float probability(std::int8_t score) { return static_cast<float>(score + 128) / 256.0f; }

/// A network whose arena the application gives.
///
/// `Model` is the struct that `eexit-tf export` wrote. All pointers handed out stay valid until
/// the next `init`; what `input` and `scores` point to lies in the arena and is overwritten by
/// every `infer`.
template <typename Model>
class Network {
 public:
  Network() {
    for (int k = 0; k < Model::kExits; ++k) thresholds_[k] = Model::threshold(k);
  }
  ~Network() { release(); }
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  /// Makes the network ready to run. May be called again, with the same arena or another.
  ///
  /// `arena` must outlive the network and should be aligned to 16 bytes; `bytes` is its size. With
  /// `Model::kArenaBytes` it is large enough; how much less will do, only trying tells.
  Status init(std::uint8_t* arena, std::size_t bytes) {
    release();
    if (arena == nullptr) return Status::kMemory;
    const tflite::Model* model = tflite::GetModel(Model::data());
    if (model->version() != kSchemaVersion) return Status::kVersion;
    if (!registered_ && !Model::add_operators(operators_)) return Status::kOperators;
    registered_ = true;
    interpreter_ = ::new (static_cast<void*>(storage_))
        tflite::MicroInterpreter(model, operators_, arena, bytes);
    if (interpreter_->AllocateTensors() != kTfLiteOk) return fail(Status::kMemory);
    if (!fits()) return fail(Status::kMismatch);
    return Status::kOk;
  }

  /// Where to write a sample: `Model::kInputSize` values. Write all of them before every
  /// `infer`: the network uses this memory for other things, too. Null before `init`.
  std::int8_t* input() {
    return interpreter_ == nullptr ? nullptr : interpreter_->input(0)->data.int8;
  }

  /// Runs the network on the sample in `input` until it leaves.
  Status infer() {
    exit_ = -1;
    if (interpreter_ == nullptr) return Status::kNotReady;
    if (Model::kThresholdsInput >= 0) {
      std::int8_t* values = thresholds()->data.int8;
      for (int k = 0; k < Model::kExits - 1; ++k) values[k] = thresholds_[k];
    }
    if (interpreter_->Invoke() != kTfLiteOk) return Status::kInvoke;
    const std::int32_t taken = interpreter_->output(Model::kExitOutput)->data.i32[0];
    if (taken < 0 || taken >= Model::kExits) return Status::kMismatch;
    exit_ = static_cast<int>(taken);
    return Status::kOk;
  }

  /// Copies a sample of `Model::kInputSize` values to `input` and runs the network on it.
  Status infer(const std::int8_t* sample) {
    exit_ = -1;
    if (interpreter_ == nullptr) return Status::kNotReady;
    std::int8_t* values = input();
    for (int i = 0; i < Model::kInputSize; ++i) values[i] = sample[i];
    return infer();
  }

  /// The exit that the last sample took, from 0; -1 if the last `infer` did not succeed.
  int exit_index() const { return exit_; }

  /// The `Model::kClasses` scores of the last sample; null if the last `infer` did not succeed.
  const std::int8_t* scores() const {
    return exit_ < 0 ? nullptr : interpreter_->output(Model::kScoresOutput)->data.int8;
  }

  /// The class with the largest score, the first of several; -1 if there are no scores.
  int class_index() const {
    const std::int8_t* values = scores();
    if (values == nullptr) return -1;
    int best = 0;
    for (int i = 1; i < Model::kClasses; ++i) {
      if (values[i] > values[best]) best = i;
    }
    return best;
  }

  /// The largest score on the scale from 0 to 1; 0 if there are no scores.
  float probability() const {
    const int best = class_index();
    return best < 0 ? 0.0f : eexit::probability(scores()[best]);
  }

  /// The confidence from which a sample leaves at exit `k`, 0 to `Model::kExits` - 1, as int8;
  /// -128 at the last one.
  std::int8_t threshold(int k) const { return thresholds_[k]; }

  /// Sets that for exit `k`, 0 to `Model::kExits` - 2, from the next `infer` on. Only for networks
  /// that take their thresholds as an input; in others they are constants of the file.
  void set_threshold(int k, std::int8_t threshold) {
    static_assert(Model::kThresholdsInput >= 0,
                  "the thresholds of this network are constants: compile it with "
                  "--runtime-thresholds to set them here");
    thresholds_[k] = threshold;
  }

  /// What of the arena is in use, in bytes; 0 before `init`. `init` itself may need more: TFLM
  /// plans in the arena before the tensors move in.
  std::size_t arena_used_bytes() const {
    return interpreter_ == nullptr ? 0 : interpreter_->arena_used_bytes();
  }

 private:
  static constexpr std::uint32_t kSchemaVersion = 3;

  void release() {
    if (interpreter_ != nullptr) interpreter_->~MicroInterpreter();
    interpreter_ = nullptr;
    exit_ = -1;
  }

  Status fail(Status status) {
    release();
    return status;
  }

  TfLiteTensor* thresholds() {
    return interpreter_->input(static_cast<std::size_t>(Model::kThresholdsInput));
  }

  bool fits() {
    const bool settable = Model::kThresholdsInput >= 0;
    if (interpreter_->inputs_size() != (settable ? 2 : 1)) return false;
    if (interpreter_->outputs_size() != 2) return false;
    if (settable && (thresholds()->type != kTfLiteInt8 ||
                     thresholds()->bytes != Model::kExits - 1)) {
      return false;
    }
    const TfLiteTensor* sample = interpreter_->input(0);
    const TfLiteTensor* scores = interpreter_->output(Model::kScoresOutput);
    const TfLiteTensor* taken = interpreter_->output(Model::kExitOutput);
    return sample->type == kTfLiteInt8 && sample->bytes == Model::kInputSize &&
           scores->type == kTfLiteInt8 && scores->bytes == Model::kClasses &&
           taken->type == kTfLiteInt32 && taken->bytes == sizeof(std::int32_t);
  }

  typename Model::Resolver operators_;
  bool registered_ = false;
  int exit_ = -1;
  std::int8_t thresholds_[Model::kExits];
  tflite::MicroInterpreter* interpreter_ = nullptr;
  alignas(tflite::MicroInterpreter) unsigned char storage_[sizeof(tflite::MicroInterpreter)];
};

/// A network that brings its arena along: `Bytes` bytes, static if the object is.
template <typename Model, std::size_t Bytes = Model::kArenaBytes>
class NetworkWithArena : public Network<Model> {
 public:
  /// See `Network::init`.
  Status init() { return Network<Model>::init(arena_, Bytes); }

 private:
  alignas(16) std::uint8_t arena_[Bytes];
};

}  // namespace eexit

#endif  // EEXIT_H_
