// The networks in the firmware. `eexit-tf benchmark` writes models.cc and operators.h.
#pragma once

#include <cstddef>
#include <cstdint>

struct Model {
  const unsigned char* content;  // a .tflite file, aligned to 16 bytes
  const char* name;
};

extern const Model kModels[];
extern const unsigned kModelCount;

// The input of the next inference, as `db` fills it: the bytes of the input tensors, one after the
// other; as many as the network with the largest inputs takes.
extern uint8_t g_input[];
extern const size_t kInputSize;
