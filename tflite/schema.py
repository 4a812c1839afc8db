"""The few questions one asks of a `.tflite` model and its tensors.

A model is handled as the object API of TensorFlow's flatbuffer schema (`ModelT` and friends,
from `ai_edge_litert`), as `flatbuffer.read` gives it: with empty lists, never absent ones.
"""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from ai_edge_litert import schema_py_generated as fb
from numpy.typing import NDArray

DTYPES: Mapping[int, np.dtype] = MappingProxyType(
    {
        fb.TensorType.FLOAT32: np.dtype("<f4"),
        fb.TensorType.INT32: np.dtype("<i4"),
        fb.TensorType.INT64: np.dtype("<i8"),
        fb.TensorType.INT8: np.dtype("i1"),
        fb.TensorType.UINT8: np.dtype("u1"),
        fb.TensorType.BOOL: np.dtype("?"),
    }
)
"""Types of tensors that the project handles, but for int4, of which two make a byte."""

_OP_NAMES: Mapping[int, str] = MappingProxyType(
    {v: k for k, v in vars(fb.BuiltinOperator).items() if isinstance(v, int)}
)
_TYPE_NAMES: Mapping[int, str] = MappingProxyType(
    {v: k.lower() for k, v in vars(fb.TensorType).items() if isinstance(v, int)}
)


def op_name(model: fb.ModelT, op: fb.OperatorT) -> str:
    """The operator's builtin name, such as `CONV_2D`."""
    code = model.operatorCodes[op.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _OP_NAMES.get(number, f"operator number {number}")


def operator_code(model: fb.ModelT, builtin: int, version: int) -> int:
    """The position of a built-in operator among the model's codes; it is added if need be."""
    wanted = fb.OperatorCodeT(builtin, None, version, builtin)
    for position, code in enumerate(model.operatorCodes):
        if vars(code) == vars(wanted):
            return position
    model.operatorCodes.append(wanted)
    return len(model.operatorCodes) - 1


def type_name(number: int) -> str:
    """A tensor type's name, such as `int8`."""
    return _TYPE_NAMES.get(number, f"type number {number}")


def text(name: bytes | str | None) -> str:
    """A name of the file as a string."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""


def shape(tensor: fb.TensorT) -> tuple[int, ...]:
    return tuple(int(size) for size in tensor.shape)


def dtype(tensor: fb.TensorT) -> np.dtype:
    return DTYPES[tensor.type]


def byte_size(tensor: fb.TensorT) -> int:
    count = math.prod(shape(tensor))
    return -(-count // 2) if tensor.type == fb.TensorType.INT4 else count * dtype(tensor).itemsize


def is_constant(model: fb.ModelT, tensor: fb.TensorT) -> bool:
    """Whether the tensor's values are in the file."""
    return len(model.buffers[tensor.buffer].data) > 0


def constant(model: fb.ModelT, tensor: fb.TensorT) -> NDArray:
    """The values of a constant tensor, in its shape."""
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    return data.view(dtype(tensor)).reshape(shape(tensor))


def quantization(tensor: fb.TensorT) -> tuple[float, int]:
    """(scale, zero point) of the whole tensor; (0, 0) where it has none."""
    if not len(tensor.quantization.scale):
        return 0.0, 0
    return float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])


def inputs_by_name(model: fb.ModelT) -> dict[str, int]:
    """The network's inputs: name -> tensor index in the main subgraph."""
    return _by_name(model, "inputs")


def outputs_by_name(model: fb.ModelT) -> dict[str, int]:
    """The network's outputs: name in the signature -> tensor index in the main subgraph.

    The converter orders outputs as it likes; their names are right. A file without a signature
    gives the tensors' own names.
    """
    return _by_name(model, "outputs")


def sign(model: fb.ModelT, inputs: Mapping[str, int], outputs: Mapping[str, int]) -> None:
    """Give the model one signature: names of tensors of the main subgraph -> their indices."""
    sides = ([fb.TensorMapT(n, int(i)) for n, i in side.items()] for side in (inputs, outputs))
    model.signatureDefs = [fb.SignatureDefT(*sides, "serving_default", 0)]


def metadata(model: fb.ModelT, name: str) -> bytes | None:
    """The content of the metadata entry of that name."""
    for entry in model.metadata:
        if text(entry.name) == name:
            return bytes(model.buffers[entry.buffer].data)
    return None


def _by_name(model: fb.ModelT, side: str) -> dict[str, int]:
    main = model.subgraphs[0]
    for signature in model.signatureDefs:
        entries = getattr(signature, side)
        if signature.subgraphIndex == 0 and len(entries) == len(getattr(main, side)):
            return {text(entry.name): int(entry.tensorIndex) for entry in entries}
    named: dict[str, int] = {}
    for i in map(int, getattr(main, side)):
        name = text(main.tensors[i].name) or f"{side[:-1]}_{i}"
        named[f"{name}:{i}" if named.get(name, i) != i else name] = i
    return named
