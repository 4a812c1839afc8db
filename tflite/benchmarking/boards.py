"""A board that runs the firmware, emulated or real."""

from collections.abc import Mapping, Sequence

from numpy.typing import NDArray

from eexit_tf.tflite.benchmarking.devices import Answer, DeviceError, Network
from eexit_tf.tflite.benchmarking.protocol import Firmware


class Board:
    """See `devices.Device`; a kind of board says its unit.

    Args:
        networks: those that the firmware was built with.
        environment: what is known beyond what the firmware says.

    Raises:
        DeviceError: the firmware takes another input than the networks.
    """

    unit: str
    turn: int | None = None

    def __init__(
        self, firmware: Firmware, networks: Sequence[Network], environment: Mapping[str, str]
    ) -> None:
        self._firmware, self._networks, self._selected = firmware, networks, 0
        taken = int(firmware.profile["input-bytes"])
        expected = max(network.input_bytes for network in networks)
        if taken != expected:
            raise DeviceError(
                f"the board says that it takes {taken:,} bytes of input, but the networks take "
                f"{expected:,}; flash the firmware again"
            )
        self._ticks_a_second = int(firmware.profile["clock-hz"])
        self.environment: Mapping[str, str] = {
            "runtime": "TFLM as linked into the firmware",
            **environment,
            "arena": "what TFLM's interpreter uses on the board",
        }

    def select(self, network: int) -> int:
        """See `devices.Device.select`."""
        self._selected = network
        return int(self._firmware.select(network)["arena-bytes"])

    def run(self, sample: NDArray) -> Answer:
        """See `devices.Device.run`."""
        answer = self._firmware.infer(sample, self._networks[self._selected])
        seconds = answer.latency / self._ticks_a_second
        return Answer(answer.scores, answer.exit, self.in_units(seconds))

    def in_units(self, seconds: float) -> float:
        """Seconds by the board's clock as a latency."""
        raise NotImplementedError
