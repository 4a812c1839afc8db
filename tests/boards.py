"""A board at a serial port: the firmware's host build behind a pseudo-terminal."""

import os
import select
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import numpy as np


@contextmanager
def board(program: Path, fault: str = "", after: int = 1 << 30) -> Iterator[str]:
    """The path of a serial port with a board behind it that fails after so many bytes."""
    master, slave = os.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    ended = threading.Event()
    with Popen([program], stdin=PIPE, stdout=PIPE, bufsize=0) as firmware:
        arguments = (master, firmware, fault, after, ended)
        thread = threading.Thread(target=_wire, args=arguments, daemon=True)
        thread.start()
        try:
            yield path
        finally:
            ended.set()
            thread.join()
            firmware.kill()
            os.close(slave)
            if fault != "unplugged":
                os.close(master)


def _wire(
    master: int, firmware: Popen[bytes], fault: str, after: int, ended: threading.Event
) -> None:
    """Carry bytes both ways until the fault."""
    rng = np.random.default_rng(0)
    from_board, carried = firmware.stdout.fileno(), 0
    while not ended.is_set():
        failed = carried >= after
        if failed and fault == "unplugged":
            os.close(master)
            return
        if failed and fault == "noise":
            os.set_blocking(master, False)
            if select.select([], [master], [], 0.05)[1]:
                os.write(master, rng.bytes(64))
            continue
        for readable in select.select([master, from_board], [], [], 0.05)[0]:
            if readable == master:
                firmware.stdin.write(os.read(master, 4096))
                continue
            content = os.read(from_board, 1 if failed and fault == "slow" else 64)
            if fault == "damaged":
                content = content.replace(b"s-[", b"s-[0")
            carried += len(content)
            if failed and fault == "slow":
                time.sleep(0.3)
            if not (failed and fault == "silent"):
                os.write(master, content)
