"""The target `qemu:BOARD`: the firmware on an emulated board, time counted in instructions."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from eexit_tf.errors import UserError
from eexit_tf.tflite.benchmarking.boards import Board
from eexit_tf.tflite.benchmarking.devices import Device, DeviceError, Network
from eexit_tf.tflite.benchmarking.firmware import TflmLibrary, build
from eexit_tf.tflite.benchmarking.ports import Port
from eexit_tf.tflite.benchmarking.protocol import Firmware

QEMU = "qemu-system-arm"
SHIFT = 10
"""An instruction takes 2**SHIFT ns of the board's time: dozens of ticks of its counter, so that
ticks give the number of instructions exactly."""


@contextmanager
def open_qemu(
    board: str, networks: Sequence[Network], tflm: TflmLibrary | None
) -> Iterator[Device]:
    """Build the firmware and start it on an emulated board.

    Args:
        board: one of `firmware.BOARDS`.
        tflm: None for a stand-in of the runtime.

    Raises:
        UserError: a tool is missing, or the build fails.
    """
    if shutil.which(QEMU) is None:
        raise UserError(f"the target qemu:{board} needs {QEMU}, which is not there")
    with tempfile.TemporaryDirectory(prefix="eexit-tf-") as folder:
        elf = build(board, networks, tflm, Path(folder))
        with _emulated(board, elf, Path(folder) / "stderr") as port:
            yield Qemu(board, Firmware(port), networks)


class Qemu(Board):
    """An emulated board, whose clock counts instructions."""

    unit = "instructions"

    def __init__(self, board: str, firmware: Firmware, networks: Sequence[Network]) -> None:
        time = f"instructions executed (-icount shift={SHIFT}), not cycles; repeats exactly"
        environment = {"emulator": _version(), "board": board, "time": time}
        super().__init__(firmware, networks, environment)

    def in_units(self, seconds: float) -> float:
        return round(seconds * 1e9 / (1 << SHIFT))


@contextmanager
def _emulated(board: str, elf: Path, log: Path) -> Iterator[Port]:
    command = [QEMU, "-M", board, "-display", "none", "-monitor", "none", "-serial", "stdio"]
    command += ["-icount", f"shift={SHIFT},sleep=off", "-kernel", str(elf)]
    with (
        log.open("wb") as stderr,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, bufsize=0
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        reading, writing = process.stdout.fileno(), process.stdin.fileno()
        os.set_blocking(writing, False)
        try:
            yield Port(reading, writing, f"qemu:{board}")
        except DeviceError as error:
            said = log.read_text(errors="replace").strip()
            raise DeviceError(f"{error} {said}".strip()) from error
        finally:
            process.kill()


def _version() -> str:
    done = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]
