"""How much memory TFLM needs for a network: the figure for `kTensorArenaSize`.

All on this 64-bit host with the reference kernels of TFLM's Python wheel. On a microcontroller
pointers are half as large, so what persists is about half; optimised kernels ask for scratch
memory of their own.
"""

import math
import re
from dataclasses import dataclass
from types import MappingProxyType

from ai_edge_litert import schema_py_generated as fb

from eexit_tf.errors import UserError
from eexit_tf.stderr import captured_stderr
from eexit_tf.tflite import flatbuffer, schema

_ALIGNMENT = 16
_REQUESTS = MappingProxyType({"MEAN": 3, "REDUCE_MAX": 2})
"""How often reference kernels ask for scratch memory, of the operators that `schema` takes."""
_REQUEST_BYTES = 16
_LOOKED_UP_BYTES = 128
"""A `TfLiteTensor` and its quantisation without channels: 100 bytes, and what aligns them."""


@dataclass(frozen=True)
class Arena:
    """Parts of TFLM's arena, in bytes.

    Attributes:
        tensor_bytes: tensors and scratch, reused from operator to operator ("head").
        persistent_bytes: what stays: descriptions of tensors and operators, multipliers of
            each channel ("tail").
        needed_bytes: an arena in which the network can be set up, the smallest that can be
            tried without danger. More than the other two together where the network is so small
            that TFLM's planner itself, which works in the arena before the tensors do, needs
            more than the tensors.
    """

    tensor_bytes: int
    persistent_bytes: int
    needed_bytes: int

    @property
    def used_bytes(self) -> int:
        """What `MicroInterpreter::arena_used_bytes` says."""
        return self.tensor_bytes + self.persistent_bytes


def measure(model: fb.ModelT) -> Arena:
    """Measure the arena of a checked model.

    Raises:
        UserError: TFLM does not take it, for the reason that it gives.
    """
    from tflite_micro import runtime

    content, refusal = flatbuffer.write(model), None
    with captured_stderr() as log:
        try:
            network = runtime.Interpreter.from_bytes(content, arena_size=roomy_bytes(model))
            network.print_allocations()
        except RuntimeError as error:
            refusal = error
    if refusal is not None:
        raise UserError(f"TFLM refuses the file: {' '.join(log.text.split())}") from refusal
    parts = [
        re.search(rf"Arena allocation {part} (\d+) bytes", log.text) for part in ("head", "tail")
    ]
    if None in parts:
        raise RuntimeError(f"TFLM printed no arena size but {log.text!r}")
    tensors, persistent = (int(part.group(1)) for part in parts if part is not None)
    head = max(tensors, _held_in_preparation(model))
    needed = _needed(content, persistent + head, roomy_bytes(model))
    return Arena(tensors, persistent, needed)


def roomy_bytes(model: fb.ModelT) -> int:
    """More arena than the model can need: the sum of its tensors, and something for each."""
    total = 1 << 16
    for graph in model.subgraphs:
        total += 512 * (len(graph.tensors) + len(graph.operators))
        for tensor in graph.tensors:
            channels = len(tensor.quantization.scale)
            total += 64 * channels + 64 * len(tensor.shape)
            if not schema.is_constant(model, tensor):
                total += 4 * math.prod(schema.shape(tensor)) + schema.byte_size(tensor)
    return total


def _needed(content: bytes, low: int, roomy: int) -> int:
    """The smallest sufficient size, found by trying; nothing less than `low` is tried."""
    low, high = low // _ALIGNMENT, -(-roomy // _ALIGNMENT)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(content, middle * _ALIGNMENT) else (middle, high)
    return high * _ALIGNMENT


def _held_in_preparation(model: fb.ModelT) -> int:
    """What the head of the arena holds, at most, while kernels ask for what persists.

    A kernel that gets nothing may crash the process. So no arena is tried in which what
    persists would not fit beside this. All that TFLM asks for later, to plan memory, it checks.
    In TFLM's sources these are `MicroAllocator`'s list of requests for scratch memory, always
    with room for 12 more, and the `TfLiteTensor`s of one operator with their quantisation, which
    kernels look up twice at most.
    """
    requests, largest = 12, 0
    for graph in model.subgraphs:
        for op in graph.operators:
            requests += _REQUESTS.get(schema.op_name(model, op), 0)
            tensors = [graph.tensors[i] for i in (*op.inputs, *op.outputs) if i >= 0]
            size = sum(_LOOKED_UP_BYTES + 4 * len(t.quantization.scale) for t in tensors)
            largest = max(largest, 2 * size)
    return _REQUEST_BYTES * requests + largest


def _fits(content: bytes, size: int) -> bool:
    from tflite_micro import runtime

    with captured_stderr():
        try:
            runtime.Interpreter.from_bytes(content, arena_size=size)
        except RuntimeError:
            return False
    return True
