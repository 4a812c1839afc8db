"""Reading and writing `.tflite` files.

`read` checks everything that native runtimes take on trust; what it returns may be written again
and given to them.
"""

from collections.abc import Callable
from copy import copy
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.errors import UserError
from eexit_tf.tflite.checks.structure import check_operators, check_structure, check_tensors
from eexit_tf.tflite.lineage import drop_unread
from eexit_tf.tflite.open_batch import close_batch
from eexit_tf.tflite.thrifty_builder import ThriftyBuilder

IDENTIFIER = b"TFL3"


def read(content: bytes, choose: Callable[[fb.ModelT], fb.ModelT] | None = None) -> fb.ModelT:
    """A `.tflite` file as objects, checked from top to bottom; its batch is 1 (see `open_batch`).

    Args:
        choose: gives the part of the model that is wanted, all if not given. It may go by indices
            and by the order of operators, which have been checked. Tensors and operators are
            checked behind it: those that only the rest needs may be of any kind.

    Raises:
        UserError: the bytes are not a sound `.tflite` file, or one with operators, types or
            dynamic shapes that this project does not handle.
    """
    content = bytes(content)
    if len(content) < 16 or content[4:8] != IDENTIFIER:
        raise UserError(
            f"not a .tflite file: expected {IDENTIFIER!r} at byte 4 and at least 16 bytes, "
            f"got {content[4:8]!r} and {len(content)} bytes"
        )
    try:
        table = fb.Model.GetRootAs(content, 0)
        _refuse_impossible_counts(table, len(content))
        model = fb.ModelT.InitFromObj(table)
    except UserError:
        raise
    # Reading a damaged flatbuffer can fail in any way that Python has.
    except Exception as error:
        raise UserError(f"not a readable .tflite file (truncated or damaged?): {error}") from error
    _fill_in(model)
    check_structure(model)
    if choose is not None:
        model = choose(model)
    drop_unread(model)
    check_tensors(model)
    close_batch(model)
    check_operators(model)
    return model


def write(model: fb.ModelT) -> bytes:
    """The file's bytes; equal models give equal bytes. Buffers start at multiples of 16 bytes."""
    builder = ThriftyBuilder(1024)
    plain, model.buffers = model.buffers, [_AlignedBuffer(b.data) for b in model.buffers]
    try:
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    finally:
        model.buffers = plain
    return bytes(builder.Output())


class _AlignedBuffer(fb.BufferT):
    """A buffer at a multiple of 16 bytes, as the schema demands and the object API forgets."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - flatbuffers' name
        data = bytes(self.data)
        builder.StartVector(1, len(data), 16)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data
        start = builder.EndVector()
        fb.BufferStart(builder)
        if data:
            fb.BufferAddData(builder, start)
        return fb.BufferEnd(builder)


def _refuse_impossible_counts(table: fb.Model, size: int) -> None:
    """A damaged length must not make the reader walk (or copy) the same bytes for hours."""
    left = size

    def spend(count: int) -> int:
        nonlocal left
        left -= count
        if left < 0:
            raise UserError("not a readable .tflite file: it claims more parts than it has bytes")
        return count

    for count in (
        table.OperatorCodesLength(),
        table.MetadataLength(),
        table.MetadataBufferLength(),
        table.ExternalBufferGroupsLength(),
        table.ExternalBuffersLength(),
    ):
        spend(count)
    data = 0
    for i in range(spend(table.BuffersLength())):
        data += table.Buffers(i).DataLength()
    for i in range(spend(table.SubgraphsLength())):
        graph = table.Subgraphs(i)
        spend(graph.InputsLength() + graph.OutputsLength())
        for j in range(spend(graph.TensorsLength())):
            tensor = graph.Tensors(j)
            spend(tensor.ShapeLength() + tensor.VariantTensorsLength())
            if tensor.Sparsity() is not None:
                raise UserError("sparse tensors are not supported: convert without sparsity")
        for j in range(spend(graph.OperatorsLength())):
            operator = graph.Operators(j)
            spend(operator.InputsLength() + operator.OutputsLength())
    for i in range(spend(table.SignatureDefsLength())):
        signature = table.SignatureDefs(i)
        spend(signature.InputsLength() + signature.OutputsLength())
    if data > size:
        raise UserError("not a readable .tflite file: its buffers overlap or overrun")


def _fill_in(model: fb.ModelT) -> None:
    """Replace absent lists by empty ones, so that nobody else has to ask."""
    _fill(model, [], "operatorCodes", "subgraphs", "buffers", "metadata", "signatureDefs")
    for buffer in model.buffers:
        _fill(buffer, np.zeros(0, np.uint8), "data")
    for graph in model.subgraphs:
        _fill(graph, [], "tensors", "inputs", "outputs", "operators")
        for tensor in graph.tensors:
            _fill(tensor, np.zeros(0, np.int32), "shape")
            _fill(tensor, fb.QuantizationParametersT(), "quantization")
            _fill(tensor.quantization, np.zeros(0, np.float32), "scale")
            _fill(tensor.quantization, np.zeros(0, np.int64), "zeroPoint")
        for operator in graph.operators:
            _fill(operator, [], "inputs", "outputs")
    for signature in model.signatureDefs:
        _fill(signature, [], "inputs", "outputs")


def _fill(table: Any, empty: Any, *fields: str) -> None:
    """Set what is absent, which the reader says by None, or by 0 for some lists without items."""
    for field in fields:
        value = getattr(table, field)
        if value is None or isinstance(value, int):
            setattr(table, field, copy(empty))
