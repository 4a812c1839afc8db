"""The target `qemu:BOARD`: the firmware on an emulated board, time counted in instructions."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from numpy.typing import NDArray

from eexit_tf.errors import UserError
from eexit_tf.tflite.benchmarking.devices import Answer, Device, DeviceError, Network
from eexit_tf.tflite.benchmarking.firmware import BOARDS, TflmLibrary, build
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
        UserError: no such board, a tool is missing, or the build fails.
    """
    if board not in BOARDS:
        raise UserError(f"no board {board!r} under QEMU; there are {', '.join(BOARDS)}")
    if shutil.which(QEMU) is None:
        raise UserError(f"the target qemu:{board} needs {QEMU}, which is not there")
    with tempfile.TemporaryDirectory(prefix="eexit-tf-") as folder:
        elf = build(board, networks, tflm, Path(folder))
        with _emulated(board, elf, Path(folder) / "stderr") as port:
            yield Qemu(board, Firmware(port), networks)


class Qemu:
    """See `devices.Device`."""

    unit = "instructions"

    def __init__(self, board: str, firmware: Firmware, networks: Sequence[Network]) -> None:
        self._firmware, self._networks, self._selected = firmware, networks, 0
        self._ticks_a_second = int(firmware.profile["clock-hz"])
        self.environment: Mapping[str, str] = {
            "runtime": "TFLM as linked into the firmware",
            "emulator": _version(),
            "board": board,
            "time": f"instructions executed (-icount shift={SHIFT}), not cycles; repeats exactly",
            "arena": "what TFLM's interpreter uses on the board",
        }

    def select(self, network: int) -> int:
        """See `devices.Device.select`."""
        self._selected = network
        return int(self._firmware.select(network)["arena-bytes"])

    def run(self, sample: NDArray) -> Answer:
        """See `devices.Device.run`."""
        answer = self._firmware.infer(sample, self._networks[self._selected])
        nanoseconds = answer.latency * 1e9 / self._ticks_a_second
        return Answer(answer.scores, answer.exit, round(nanoseconds / (1 << SHIFT)))


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
