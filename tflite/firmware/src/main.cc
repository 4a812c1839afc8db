#include "board.h"
#include "protocol.h"

namespace {

Protocol g_protocol;

}  // namespace

int main() {
  board::init();
  g_protocol.start();
  for (;;) g_protocol.take(board::get());
}
