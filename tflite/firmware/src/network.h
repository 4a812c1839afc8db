// The seam in front of the runtime: one self-exiting network, ready to run.
#pragma once

#include <cstddef>
#include <cstdint>

namespace network {

// Sets up one of `kModels`; nullptr, or what went wrong.
const char* select(unsigned model);

// Copies the bytes of the input tensors, one after the other, at most `kInputSize`.
void load(const uint8_t* input);

// Runs the network once; whether it could. The input tensors are used up.
bool invoke();

// Of the last run: the scores' bytes as they lie in the output tensor, each score in thousandths,
// and the index of the exit taken.
const uint8_t* scores();
size_t scores_size();
size_t classes();
unsigned permille(size_t index);
int exit_index();

// What the network uses of the arena.
size_t arena_used();

}  // namespace network
