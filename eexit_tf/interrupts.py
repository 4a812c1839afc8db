"""Ctrl-C that is never lost."""

import signal
import sys
import threading
from typing import Any

AGAIN_SECONDS = 0.1


def resend_lost_interrupts() -> None:
    """Let a `KeyboardInterrupt` that Python drops be raised again a moment later.

    Python prints and drops whatever is raised in a weak reference's callback or a finaliser, and
    much of Keras's and TensorFlow's time goes there while networks are built: a search went on as
    if nobody had pressed Ctrl-C.
    """
    before = sys.unraisablehook

    def hook(dropped: Any) -> None:
        if dropped.exc_type is KeyboardInterrupt:
            main = threading.main_thread().ident
            again = threading.Timer(AGAIN_SECONDS, signal.pthread_kill, (main, signal.SIGINT))
            again.daemon = True
            again.start()
        else:
            before(dropped)

    sys.unraisablehook = hook
