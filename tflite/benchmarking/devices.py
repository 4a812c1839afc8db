"""What a benchmark asks of a device, and what can go wrong with one."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from ai_edge_litert import schema_py_generated as fb
from numpy.typing import NDArray

from eexit_tf.tflite import flatbuffer, schema


class DeviceError(OSError):
    """A device that is silent, gone, or says what it should not.

    The command line prints the message without a traceback and exits with code 1.
    """


@dataclass(frozen=True)
class Network:
    """A self-exiting file, as a device gets it.

    Attributes:
        content: the file.
        others: the network's inputs behind the first, the same for every sample.
    """

    content: bytes
    others: tuple[NDArray, ...] = ()

    @cached_property
    def model(self) -> fb.ModelT:
        return flatbuffer.read(self.content)

    @property
    def name(self) -> str:
        """Tells on the device's side which file it is."""
        return f"eexit-{zlib.crc32(self.content):08x}"

    @property
    def input_bytes(self) -> int:
        """Of all inputs."""
        main = self.model.subgraphs[0]
        return sum(schema.byte_size(main.tensors[index]) for index in main.inputs)

    def scores(self, content: bytes) -> NDArray:
        """Bytes of the output tensor as scores, (classes,).

        Raises:
            DeviceError: there are more or fewer than the network has.
        """
        main = self.model.subgraphs[0]
        tensor = main.tensors[main.outputs[0]]
        if len(content) != schema.byte_size(tensor):
            raise DeviceError(
                f"the device sent {len(content)} bytes of scores, expected "
                f"{schema.byte_size(tensor)}"
            )
        return np.frombuffer(content, schema.dtype(tensor))


@dataclass(frozen=True)
class Answer:
    """What a device said about one sample.

    Attributes:
        scores: (classes,), in the type of the network's output.
        exit: index of the exit taken.
        latency: what the inference took, in the device's unit.
    """

    scores: NDArray
    exit: int
    latency: float


class Device(Protocol):
    """Something that runs networks one sample at a time and measures how long they take.

    Attributes:
        unit: of the latencies, `us` (microseconds) or `instructions`.
        environment: what the figures depend on, by name.
        turn: how many samples one network is run on before it is the next one's turn; all if None.
    """

    unit: str
    environment: Mapping[str, str]
    turn: int | None

    def select(self, network: int) -> int:
        """Make one of the networks ready; returns how many bytes of arena it takes."""
        ...

    def run(self, sample: NDArray) -> Answer:
        """Run the selected network on one sample in the type of its input."""
        ...
