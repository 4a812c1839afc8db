"""The structure of a file: indices, buffers, tensors, the order of operators, metadata."""

from collections.abc import Iterable

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.errors import UserError
from eexit_tf.tflite import schema
from eexit_tf.tflite.checks.operators import check_operator

MAX_TENSOR_BYTES = 1 << 28
MAX_RANK = 5
_ZERO_POINTS = {
    fb.TensorType.INT4: (0, 0),
    fb.TensorType.INT8: (-128, 127),
    fb.TensorType.UINT8: (0, 255),
}


def check_structure(model: fb.ModelT) -> None:
    """Check indices, counts and the order of operators: all but tensors and what operators do.

    Raises:
        UserError: says what is wrong and where.
    """
    if model.version != 3:
        raise UserError(f"expected a .tflite file of version 3, got version {model.version}")
    if not model.subgraphs or not model.buffers:
        raise UserError("the .tflite file has no graph or no buffers")
    if len(model.buffers[0].data):
        raise UserError("unsound .tflite file: buffer 0, that of tensors without content, has some")
    if model.externalBuffers or model.externalBufferGroups:
        raise UserError("the .tflite file keeps weights in other files, which is not supported")
    _check_metadata(model)
    for number, graph in enumerate(model.subgraphs):
        for index, tensor in enumerate(graph.tensors):
            _index(tensor.buffer, len(model.buffers), f"graph {number}, tensor {index}, its buffer")
        _check_order(model, graph, number)
    if not len(model.subgraphs[0].inputs) or not len(model.subgraphs[0].outputs):
        raise UserError("the network has no inputs or no outputs")
    _check_signatures(model)


def check_tensors(model: fb.ModelT) -> None:
    """Check the tensors of a model whose structure has been checked, and which are given out.

    Raises:
        UserError: says what is wrong and where.
    """
    for signature in model.signatureDefs:
        given = model.subgraphs[signature.subgraphIndex].outputs
        if not {entry.tensorIndex for entry in signature.outputs} <= {int(i) for i in given}:
            raise UserError("a signature names tensors that are not among its graph's outputs")
    for number, graph in enumerate(model.subgraphs):
        for index, tensor in enumerate(graph.tensors):
            _raise_first(_tensor_problems(model, tensor), f"graph {number}, tensor {index}")


def check_operators(model: fb.ModelT) -> None:
    """Check what operators do, of a model whose structure and tensors have been checked.

    Raises:
        UserError: says what is wrong and where.
    """
    called: set[int] = set()
    for number, graph in enumerate(model.subgraphs):
        for index, operator in enumerate(graph.operators):
            where = f"graph {number}, operator {index}"
            _raise_first(check_operator(model, graph, operator, number, called), where)
    called |= {signature.subgraphIndex for signature in model.signatureDefs}
    if uncalled := set(range(1, len(model.subgraphs))) - called:
        raise UserError(f"graphs {sorted(uncalled)} are never called: not supported")


def _raise_first(problems: Iterable[str], where: str) -> None:
    """Raise the first problem, if any, as a `UserError` that says where it is."""
    for problem in problems:
        raise UserError(f"unsound or unsupported .tflite file: {where}: {problem}")


def _tensor_problems(model: fb.ModelT, tensor: fb.TensorT) -> Iterable[str]:
    """What is wrong with one tensor's description."""
    if tensor.type not in (*schema.DTYPES, fb.TensorType.INT4):
        yield (
            f"{schema.type_name(tensor.type)} is not one of {_type_names()}; convert the network "
            "to int8 throughout, or leave all of it float32"
        )
    sizes = [int(size) for size in tensor.shape]
    if len(sizes) > MAX_RANK or any(size <= 0 for size in sizes):
        yield f"shape {sizes} is not a static one of at most {MAX_RANK} dimensions"
    size = schema.byte_size(tensor)
    if size > MAX_TENSOR_BYTES:
        yield f"{size} bytes are more than the {MAX_TENSOR_BYTES} allowed"
    if tensor.isVariable or tensor.variantTensors or tensor.externalBuffer:
        yield "variables and external tensors are not supported"
    stored = len(model.buffers[tensor.buffer].data)
    if stored not in (0, size):
        yield f"its buffer has {stored} bytes where shape {sizes} needs {size}"
    if tensor.type == fb.TensorType.INT4 and not stored:
        yield "int4 is for constant weights only"
    yield from _quantization_problems(tensor, sizes)


def _quantization_problems(tensor: fb.TensorT, sizes: list[int]) -> Iterable[str]:
    scales, zeros = tensor.quantization.scale, tensor.quantization.zeroPoint
    if tensor.quantization.details is not None:
        yield "block-wise or custom quantisation is not supported"
    if len(scales) != len(zeros):
        yield f"{len(scales)} scales but {len(zeros)} zero points"
    if len(scales) > 1:
        axis = tensor.quantization.quantizedDimension
        if not 0 <= axis < len(sizes) or sizes[axis] != len(scales):
            yield f"{len(scales)} scales along dimension {axis} of shape {sizes}"
    if len(scales) and not np.all((scales > 1e-30) & (scales < 1e30)):
        yield "a scale is not a positive number"
    low, high = _ZERO_POINTS.get(tensor.type, (0, 0))
    if len(zeros) and (min(zeros) < low or max(zeros) > high):
        yield f"a zero point is not from {low} to {high}"
    if tensor.type in _ZERO_POINTS and not len(scales):
        yield f"an {schema.type_name(tensor.type)} tensor without a scale"


def _check_order(model: fb.ModelT, graph: fb.SubGraphT, number: int) -> None:
    """Every tensor is constant, an input, or written exactly once and before it is read."""
    count = len(graph.tensors)
    constant = [len(model.buffers[tensor.buffer].data) > 0 for tensor in graph.tensors]
    ready = {i for i in range(count) if constant[i]}
    for index in graph.inputs:
        _index(index, count, f"graph {number}, an input")
        if index in ready:
            raise UserError(f"graph {number}: input {index} is a constant or named twice")
        ready.add(int(index))
    for position, operator in enumerate(graph.operators):
        where = f"graph {number}, operator {position}"
        _index(operator.opcodeIndex, len(model.operatorCodes), f"{where}, its code")
        for index in operator.inputs:
            if index == -1:
                continue
            _index(index, count, f"{where}, an input")
            if index not in ready:
                raise UserError(f"{where} reads tensor {index} before anything has written it")
        for index in operator.outputs:
            _index(index, count, f"{where}, an output")
            if index in ready:
                raise UserError(f"{where} writes tensor {index}, which has its value already")
            ready.add(int(index))
    for index in graph.outputs:
        _index(index, count, f"graph {number}, an output")
        if index not in ready:
            raise UserError(f"graph {number}: nothing writes output {index}")


def _check_metadata(model: fb.ModelT) -> None:
    for entry in model.metadata:
        _index(entry.buffer, len(model.buffers), f"metadata {entry.name!r}, buffer")
        data = bytes(model.buffers[entry.buffer].data)
        if entry.name == b"COMPRESSION_METADATA":
            raise UserError("compressed models are not supported")
        if entry.name == b"OfflineMemoryAllocation":
            tensors = sum(len(graph.tensors) for graph in model.subgraphs)
            numbers = np.frombuffer(data[: len(data) // 4 * 4], "<i4")
            offsets = numbers[3:]
            if len(data) != 4 * (3 + tensors) or numbers[2] != tensors:
                raise UserError(f"the memory plan is not for the {tensors} tensors of the file")
            if np.any((offsets != -1) & ((offsets % 16 != 0) | (offsets < 0))):
                raise UserError("the memory plan has offsets other than -1 and multiples of 16")


def _check_signatures(model: fb.ModelT) -> None:
    """Some converters' signatures give out what is written in the graph but no output of it."""
    for signature in model.signatureDefs:
        _index(signature.subgraphIndex, len(model.subgraphs), "a signature's graph")
        graph = model.subgraphs[signature.subgraphIndex]
        written = [index for op in graph.operators for index in op.outputs]
        for entries, allowed in (
            (signature.inputs, graph.inputs),
            (signature.outputs, [*graph.outputs, *written]),
        ):
            names = [entry.name for entry in entries]
            if None in names or len(set(names)) != len(names):
                raise UserError("a signature has names that are missing or used twice")
            if not {entry.tensorIndex for entry in entries} <= {int(index) for index in allowed}:
                raise UserError(
                    "a signature names tensors that are neither the graph's nor written in it"
                )


def _index(index: int, count: int, what: str) -> None:
    if not 0 <= index < count:
        raise UserError(f"unsound .tflite file: {what} is {index}, but there are {count}")


def _type_names() -> str:
    return ", ".join(dtype.name for dtype in schema.DTYPES.values())
