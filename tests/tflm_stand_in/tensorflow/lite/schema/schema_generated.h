#pragma once

#include <cstdint>

namespace tflite {

struct Model {
  unsigned char bytes[8];
  uint32_t version() const { return bytes[4] == 'T' ? 3 : 0; }
};

inline const Model* GetModel(const void* buffer) { return static_cast<const Model*>(buffer); }

}  // namespace tflite
