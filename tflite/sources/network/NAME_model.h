// Written by eexit-tf @version@. Do not edit: export again.

#ifndef EEXIT_@name@_MODEL_H_
#define EEXIT_@name@_MODEL_H_

#include <cstddef>
#include <cstdint>

#include "@name@_model_data.h"
#include "eexit.h"

/// What `eexit::Network` has to know of the network in `g_@name@_model_data`.
struct @name@_model {
  static constexpr int kClasses = @classes@;
  static constexpr int kExits = @exits@;

  /// Values of the input: int8, @shape@, the last dimension fastest.
  static constexpr int kInputSize = @input_size@;
  /// int8 = rint(raw / divisor / scale) + zero point, clipped: see `eexit::quantize`.
  static constexpr float kInputDivisor = @divisor@;
  static constexpr float kInputScale = @scale@;
  static constexpr int kInputZeroPoint = @zero_point@;

  /// Memory for TFLM, in bytes: @measured@ + @margin@.
  ///
  /// @measured@ is the smallest arena in which TFLM's Python wheel sets the network up, on a
  /// 64-bit computer with reference kernels. On a 32-bit device pointers are half as large, so
  /// TFLM's own part shrinks. But optimised kernels want scratch memory: @margin@ is the most
  /// that @kernels@ reserves for a layer of this network. Less may do on your
  /// device, but not less than `arena_used_bytes()` says there.
  static constexpr std::size_t kArenaBytes = @arena@;

  /// Which of the network's outputs is which.
  static constexpr int kScoresOutput = @scores_output@;
  static constexpr int kExitOutput = @exit_output@;
  /// Which of its inputs takes thresholds; -1 if they are constants of the file.
  static constexpr int kThresholdsInput = @thresholds_input@;

  /// The file, aligned to 16 bytes.
  static const unsigned char* data() { return g_@name@_model_data; }

  /// The name of class `i`, 0 to `kClasses` - 1.
  static const char* label(int i) {
    static constexpr const char* kLabels[] = {
@labels@
    };
    return kLabels[i];
  }

  /// The name of exit `k`, 0 to `kExits` - 1: the layer where it is.
  static const char* exit_name(int k) {
    static constexpr const char* kNames[] = {
@exit_names@
    };
    return kNames[k];
  }

  /// A sample leaves at exit `k` if its confidence is at least this.
  static std::int8_t threshold(int k) {
    static constexpr std::int8_t kThresholds[] = {@thresholds@};
    return kThresholds[k];
  }

  /// Exactly the operators in the file.
  using Resolver = tflite::MicroMutableOpResolver<@operator_count@>;
  static bool add_operators(Resolver& resolver) {
    return @operators@;
  }
};

#endif  // EEXIT_@name@_MODEL_H_
