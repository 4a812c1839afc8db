// A stand-in for tests of everything but the runtime.
//
// Its scores are sums over the input, its exit index is the input's first byte modulo 3, and on
// an Arm board a run takes 1000 instructions more for each step of the exit index.
#include "models.h"
#include "network.h"

namespace {

constexpr size_t kClasses = 4;
uint8_t g_tensor[64];
uint8_t g_scores[kClasses];
int g_exit = 0;
unsigned g_model = 0;

// Two instructions a round.
void spend(unsigned rounds) {
#if defined(__arm__)
  __asm__ volatile("1: subs %0, %0, #1\n bne 1b" : "+l"(rounds) : : "cc");
#else
  for (volatile unsigned round = 0; round < rounds; ++round) {
  }
#endif
}

}  // namespace

namespace network {

const char* select(unsigned model) {
  g_model = model;
  return kInputSize > sizeof(g_tensor) ? "The input is too large" : nullptr;
}

void load(const uint8_t* input) {
  for (size_t i = 0; i < kInputSize; ++i) g_tensor[i] = input[i];
}

bool invoke() {
  g_exit = g_model == 0 ? g_tensor[0] % 3 : 0;
  for (size_t k = 0; k < kClasses; ++k) g_scores[k] = static_cast<uint8_t>(k + g_model);
  for (size_t i = 0; i < kInputSize; ++i) g_scores[i % kClasses] += g_tensor[i];
  spend(500u * static_cast<unsigned>(g_exit + 1));
  for (uint8_t& used : g_tensor) used = 0;
  return true;
}

const uint8_t* scores() { return g_scores; }
size_t scores_size() { return kClasses; }
size_t classes() { return kClasses; }

unsigned permille(size_t index) {
  return (1000u * static_cast<unsigned>(static_cast<int8_t>(g_scores[index]) + 128) + 128) / 256;
}

int exit_index() { return g_exit; }
size_t arena_used() { return 1000 + g_model; }

}  // namespace network
