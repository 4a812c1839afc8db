"""A folder in which only one process works at a time."""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from eexit_tf.errors import UserError

LOCK = ".lock"
TRIES = 10


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[str]:
    """Hold a folder's lock; the kernel releases it, however the process ends.

    Args:
        directory: made if it is not there.

    Yields:
        A token that is in the lock's file (see `holder`) and differs from run to run.

    Raises:
        UserError: another process holds the lock; says which.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / LOCK
    with open(path, "a+", encoding="utf-8") as file:
        if not _taken(file):
            held = holder(directory)
            raise UserError(
                f"another search works in {directory} (process {held.get('pid')} on "
                f"{held.get('host')}); wait for it, stop it, or give another --output"
            )
        token = secrets.token_hex(8)
        file.truncate(0)
        json.dump({"host": socket.gethostname(), "pid": os.getpid(), "token": token}, file)
        file.flush()
        yield token


def _taken(file: TextIO) -> bool:
    """Try for a second: `is_locked` holds the lock for a moment, too."""
    for _ in range(TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(1 / TRIES)
    return False


def is_locked(directory: Path) -> bool:
    """Whether a process holds a folder's lock."""
    try:
        with open(directory / LOCK, encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def holder(directory: Path) -> dict[str, str | int]:
    """What the last holder wrote: `host`, `pid` and `token`; nothing if that cannot be read."""
    try:
        held: dict[str, str | int] = json.loads((directory / LOCK).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return held
