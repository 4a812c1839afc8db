"""The target `host`: TFLM's Python wheel with its reference kernels, by the wall clock.

What else runs on a computer only ever makes a run longer, so a sample is run several times and the
least time counts. It comes and goes, so both networks run each sample before the next one: what
slows one of them down for a while slows down the other, too.
"""

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

RUNS = 3
"""Of each sample in each network."""


@contextmanager
def open_host(networks: Sequence[Network]) -> Iterator[Device]:
    """This computer as a device."""
    yield Host(networks)


class Host:
    """See `devices.Device`."""

    unit = "us"
    turn: int | None = 1

    def __init__(self, networks: Sequence[Network]) -> None:
        from tflite_micro import runtime

        self.environment: Mapping[str, str] = {
            "runtime": f"tflite-micro {version('tflite-micro')}, reference kernels",
            "time": f"wall clock of `invoke`, the least of {RUNS} runs; differs from time to time",
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
        self._arena_bytes = [measure(network.model).needed_bytes for network in networks]
        self._selected = 0

    def select(self, network: int) -> int:
        """See `devices.Device.select`."""
        self._selected = network
        return self._arena_bytes[network]

    def run(self, sample: NDArray) -> Answer:
        """See `devices.Device.run`; the latency is the least of several runs, in microseconds."""
        interpreter = self._interpreters[self._selected]
        inputs = (sample[None], *self._networks[self._selected].others)
        times = []
        for _ in range(RUNS):
            for index, value in enumerate(inputs):
                interpreter.set_input(value, index)
            start = time.perf_counter_ns()
            with running("tflm"):
                interpreter.invoke()
            times.append(time.perf_counter_ns() - start)
        scores, taken = interpreter.get_output(0).reshape(-1), interpreter.get_output(1)
        return Answer(scores, int(taken.reshape(-1)[0]), min(times) / 1e3)
