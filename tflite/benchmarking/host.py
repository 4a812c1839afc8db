"""The target `host`: TFLM's Python wheel with its reference kernels, by the wall clock."""

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from numpy.typing import NDArray

from eexit_tf.tflite import flatbuffer
from eexit_tf.tflite.arena import measure, roomy_bytes
from eexit_tf.tflite.benchmarking.devices import Answer, Device, Network
from eexit_tf.tflite.runtimes import running


@contextmanager
def open_host(networks: Sequence[Network]) -> Iterator[Device]:
    """This computer as a device."""
    yield Host(networks)


class Host:
    """See `devices.Device`."""

    unit = "us"

    def __init__(self, networks: Sequence[Network]) -> None:
        from tflite_micro import runtime

        self.environment: Mapping[str, str] = {
            "runtime": f"tflite-micro {version('tflite-micro')}, reference kernels",
            "time": "wall clock of `invoke`; differs from run to run",
            "machine": f"{platform.machine()}, {platform.system()} {platform.release()}",
            "arena": "the smallest that the network is set up in, on this 64-bit host",
        }
        self._networks = networks
        self._interpreters = [
            runtime.Interpreter.from_bytes(
                flatbuffer.write(network.model), arena_size=roomy_bytes(network.model)
            )
            for network in networks
        ]
        self._selected = 0
        self._warm = False

    def select(self, network: int) -> int:
        """See `devices.Device.select`."""
        self._selected, self._warm = network, False
        return measure(self._networks[network].model).needed_bytes

    def run(self, sample: NDArray) -> Answer:
        """See `devices.Device.run`; the first run after `select` is made twice."""
        interpreter = self._interpreters[self._selected]
        inputs = (sample[None], *self._networks[self._selected].others)
        for _ in range(1 if self._warm else 2):
            for index, value in enumerate(inputs):
                interpreter.set_input(value, index)
            start = time.perf_counter_ns()
            with running("tflm"):
                interpreter.invoke()
            spent = time.perf_counter_ns() - start
        self._warm = True
        scores, taken = interpreter.get_output(0).reshape(-1), interpreter.get_output(1)
        return Answer(scores, int(taken.reshape(-1)[0]), spent / 1e3)
