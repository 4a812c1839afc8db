"""The target `serial:PORT`: a board that runs the firmware, by its own clock."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from eexit_tf.errors import UserError
from eexit_tf.tflite.benchmarking.boards import Board
from eexit_tf.tflite.benchmarking.devices import Device, Network
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
        yield SerialBoard(path, firmware, networks)


class SerialBoard(Board):
    """A board by its own clock."""

    unit = "us"

    def __init__(self, path: str, firmware: Firmware, networks: Sequence[Network]) -> None:
        environment = {
            "board": path,
            "firmware": firmware.profile["profile"],
            "time": f"the board's clock, {int(firmware.profile['clock-hz']):,} ticks a second",
        }
        super().__init__(firmware, networks, environment)

    def in_units(self, seconds: float) -> float:
        return seconds * 1e6


def _what_to_flash(path: str, networks: Sequence[Network], found: str) -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    models = write_models(cache / "eexit-tf" / networks[0].name, networks)
    return (
        f"the board at {path} runs the network {found}, not {networks[0].name}. Flash the "
        f"firmware for it: cmake -S {SOURCES} -B build --toolchain "
        f"{SOURCES / 'arm-none-eabi.cmake'} -DEEXIT_MODELS={models} -DEEXIT_BOARD=BOARD "
        "-DTFLM_LIB=LIBRARY -DTFLM_INCLUDE=TFLM && cmake --build build"
    )
