"""The target `serial:PORT`: a board that runs the firmware, by its own clock."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from numpy.typing import NDArray

from eexit_tf.errors import UserError
from eexit_tf.tflite.benchmarking.devices import Answer, Device, Network
from eexit_tf.tflite.benchmarking.firmware import SOURCES, write_models
from eexit_tf.tflite.benchmarking.ports import open_serial_port
from eexit_tf.tflite.benchmarking.protocol import Firmware


@contextmanager
def open_serial(path: str, networks: Sequence[Network]) -> Iterator[Device]:
    """A board on a serial port that was flashed with the firmware for these networks.

    Raises:
        UserError: no such port, or the firmware is for another network; the message says what
            to flash.
        DeviceError: nothing there speaks the protocol.
    """
    with open_serial_port(path) as port:
        firmware = Firmware(port)
        if firmware.select(0)["model"] != networks[0].name:
            raise UserError(_what_to_flash(path, networks, firmware.profile["model"]))
        yield Board(path, firmware, networks)


class Board:
    """See `devices.Device`."""

    unit = "us"

    def __init__(self, path: str, firmware: Firmware, networks: Sequence[Network]) -> None:
        self._firmware, self._networks, self._selected = firmware, networks, 0
        self._ticks_a_second = int(firmware.profile["clock-hz"])
        self.environment: Mapping[str, str] = {
            "runtime": "TFLM as linked into the firmware",
            "board": path,
            "firmware": firmware.profile["profile"],
            "time": f"the board's clock, {self._ticks_a_second:,} ticks a second",
            "arena": "what TFLM's interpreter uses on the board",
        }

    def select(self, network: int) -> int:
        """See `devices.Device.select`."""
        self._selected = network
        return int(self._firmware.select(network)["arena-bytes"])

    def run(self, sample: NDArray) -> Answer:
        """See `devices.Device.run`."""
        answer = self._firmware.infer(sample, self._networks[self._selected])
        return Answer(answer.scores, answer.exit, answer.latency / self._ticks_a_second * 1e6)


def _what_to_flash(path: str, networks: Sequence[Network], found: str) -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    models = write_models(cache / "eexit-tf" / networks[0].name, networks)
    return (
        f"the board at {path} runs the network {found}, not {networks[0].name}. Flash the "
        f"firmware for it: cmake -S {SOURCES} -B build --toolchain "
        f"{SOURCES / 'arm-none-eabi.cmake'} -DEEXIT_MODELS={models} -DEEXIT_BOARD=BOARD "
        "-DTFLM_LIB=LIBRARY -DTFLM_INCLUDE=TFLM && cmake --build build"
    )
