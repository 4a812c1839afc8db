#pragma once

#include "tensorflow/lite/c/common.h"

namespace tflite {

class MicroOpResolver {
 public:
  virtual ~MicroOpResolver() {}
};

// Takes at most as many operators as the real one would.
template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  explicit MicroMutableOpResolver() {}

  TfLiteStatus AddAdd() { return add(); }
  TfLiteStatus AddArgMax() { return add(); }
  TfLiteStatus AddAveragePool2D() { return add(); }
  TfLiteStatus AddConcatenation() { return add(); }
  TfLiteStatus AddConv2D() { return add(); }
  TfLiteStatus AddDepthwiseConv2D() { return add(); }
  TfLiteStatus AddDequantize() { return add(); }
  TfLiteStatus AddEqual() { return add(); }
  TfLiteStatus AddFullyConnected() { return add(); }
  TfLiteStatus AddGreaterEqual() { return add(); }
  TfLiteStatus AddHardSwish() { return add(); }
  TfLiteStatus AddIf() { return add(); }
  TfLiteStatus AddLeakyRelu() { return add(); }
  TfLiteStatus AddLogSoftmax() { return add(); }
  TfLiteStatus AddLogistic() { return add(); }
  TfLiteStatus AddMaximum() { return add(); }
  TfLiteStatus AddMaxPool2D() { return add(); }
  TfLiteStatus AddMean() { return add(); }
  TfLiteStatus AddMinimum() { return add(); }
  TfLiteStatus AddMul() { return add(); }
  TfLiteStatus AddPad() { return add(); }
  TfLiteStatus AddPrelu() { return add(); }
  TfLiteStatus AddQuantize() { return add(); }
  TfLiteStatus AddReduceMax() { return add(); }
  TfLiteStatus AddRelu() { return add(); }
  TfLiteStatus AddRelu6() { return add(); }
  TfLiteStatus AddReshape() { return add(); }
  TfLiteStatus AddSelectV2() { return add(); }
  TfLiteStatus AddSlice() { return add(); }
  TfLiteStatus AddSoftmax() { return add(); }
  TfLiteStatus AddSplit() { return add(); }
  TfLiteStatus AddSplitV() { return add(); }
  TfLiteStatus AddStridedSlice() { return add(); }
  TfLiteStatus AddSub() { return add(); }
  TfLiteStatus AddTanh() { return add(); }
  TfLiteStatus AddTranspose() { return add(); }

 private:
  TfLiteStatus add() { return count_++ < tOpCount ? kTfLiteOk : kTfLiteError; }

  unsigned int count_ = 0;
};

}  // namespace tflite
