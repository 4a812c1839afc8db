"""TFLite Metadata, the form in which tools of the field (tflite-support, MediaPipe, ML Kit) look
for labels: a flatbuffer in the entry `TFLITE_METADATA`, and the files that it names in a zip
archive behind the network. Only the input's divisor is read back, where a file has lost its card.

Schema: tensorflow_lite_support/metadata/metadata_schema.fbs, identifier M001. Neither runtime
reads any of it. It has no words for thresholds; those are in the entry `eexit_tf` (see `spliced`).
"""

import io
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as fb
from flatbuffers.table import Table

from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.splicing import spliced

ENTRY = "TFLITE_METADATA"
LABELS = "labels.txt"
_IDENTIFIER = b"M001"
_PARSER = "1.0.0"
"""The oldest version of the schema that has all of this."""
_AXIS_LABELS = 2
_NORMALIZATION = 1

Fields = Mapping[int, Any]
"""A flatbuffer's table: what stands in which of its fields, by their number in the schema."""


def add_metadata(content: bytes, divisor: float = 1.0) -> bytes:
    """A self-exiting file with TFLite Metadata: names, class labels, normalisation of the input.

    Args:
        content: what `splice` made; its labels go into a `labels.txt`, one a line.
        divisor: what raw input values are divided by.

    Raises:
        UserError: not such a file.
    """
    model, labels = flatbuffer.read(content), spliced.inspect(content).labels
    main = model.subgraphs[0]
    inputs, outputs = _named(schema.inputs_by_name(model)), _named(schema.outputs_by_name(model))
    inputs[int(main.inputs[0])][4] = [_normalized(divisor)]
    if labels is not None:
        scores = schema.outputs_by_name(model)[spliced.SCORES]
        outputs[scores][6] = [{0: LABELS, 2: _AXIS_LABELS}]
    graph = {2: [inputs[int(i)] for i in main.inputs], 3: [outputs[int(i)] for i in main.outputs]}
    described = np.frombuffer(_pack({3: [graph], 7: _PARSER}), np.uint8)
    model.buffers.append(fb.BufferT(described))
    model.metadata.append(fb.MetadataT(ENTRY, len(model.buffers) - 1))
    written = flatbuffer.write(model)
    return written if labels is None else _with_labels(written, labels)


def recorded_divisor(model: fb.ModelT) -> float:
    """What raw input values are divided by, as the file's own metadata says; 1 if it does not."""
    content = schema.metadata(model, ENTRY)
    if not content:
        return 1.0
    try:
        table = Table(content, *struct.unpack_from("<I", content))
        for field in (3, 2, 4):  # the first graph, its first input, its first step
            table = Table(content, table.Indirect(_vector(table, field)))
        options = Table(content, 0)
        table.Union(options, table.Offset(_slot(1)))
        (divisor,) = struct.unpack_from("<f", content, _vector(options, 1))
    except (struct.error, TypeError):  # damaged, or another's without all of this
        return 1.0
    return divisor if 0 < divisor < float("inf") else 1.0


def _named(names: Mapping[str, int]) -> dict[int, dict[int, Any]]:
    """A `TensorMetadata` with a name for each tensor, by the tensor's number."""
    return {index: {0: name} for name, index in names.items()}


def _normalized(divisor: float) -> Fields:
    """A `ProcessUnit`: (x - mean) / std."""
    return {0: _NORMALIZATION, 1: {0: np.zeros(1, "<f4"), 1: np.array([divisor], "<f4")}}


def _slot(field: int) -> int:
    """Where a table's description has a field."""
    return 4 + 2 * field


def _vector(table: Table, field: int) -> int:
    """Where the first entry of a vector is."""
    return int(table.Vector(table.Offset(_slot(field))))


def _pack(root: Fields) -> bytes:
    builder = flatbuffers.Builder(512)
    builder.Finish(_write(builder, root), _IDENTIFIER)
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Where a string, a vector or a table was written."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, np.ndarray):
        return int(builder.CreateNumpyVector(value))
    if isinstance(value, list):
        places = [_write(builder, part) for part in value]
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return int(builder.EndVector())
    fields = {n: v if isinstance(v, int) else _write(builder, v) for n, v in value.items()}
    builder.StartObject(max(fields) + 1)
    for number, field in fields.items():
        if isinstance(value[number], int):
            builder.PrependUint8Slot(number, field, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(number, field, 0)
    return int(builder.EndObject())


def _with_labels(content: bytes, labels: Sequence[str]) -> bytes:
    """The content with a zip archive behind it, stored as it is, as readers of the field expect."""
    whole = io.BytesIO()
    whole.write(content)
    entry = zipfile.ZipInfo(LABELS)  # of 1980, and of no system: the same bytes always
    entry.create_system = 0
    lines = (" ".join(label.split()) for label in labels)
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr(entry, "".join(f"{line}\n" for line in lines))
    return whole.getvalue()
