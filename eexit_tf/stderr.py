"""What native libraries write to the C stderr, which Python's own streams do not see."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


class Captured:
    """The text that was caught, complete when the block has ended."""

    text: str = ""


@contextmanager
def captured_stderr() -> Iterator[Captured]:
    """Catch everything that is written to file descriptor 2 within the block.

    If the block raises, what was caught is passed on: it may say why.
    """
    caught = Captured()
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        failed = False
        try:
            yield caught
        except Exception:  # but for Ctrl-C
            failed = True
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            content = file.read()
            caught.text = content.decode(errors="replace")
            if failed:
                os.write(2, content)
