"""TFLite Metadata: what tools of the field read from a compiled file."""

import io
import zipfile
from pathlib import Path
from typing import Any

import flatbuffers.table
import numpy as np
import pytest
from click.testing import CliRunner
from flatbuffers import number_types as kinds
from networks import int8_inputs, multi_exit

from eexit_tf.cli import cli
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.compiler import compile_file
from eexit_tf.tflite.interpreter import EarlyExitInterpreter
from eexit_tf.tflite.retuning import retune
from eexit_tf.tflite.splicing import metadata, splice

NAMES = ["tench", "great white\tshark", "sixty, 60", "", "Käfer"]
LINES = ["tench", "great white shark", "sixty, 60", "", "Käfer"]


class Table:
    """A flatbuffer's table, read by the numbers of its fields as the schema gives them."""

    def __init__(self, content: bytes, place: int) -> None:
        self.table = flatbuffers.table.Table(content, place)

    @classmethod
    def root(cls, content: bytes) -> "Table":
        return cls(content, int(np.frombuffer(content, "<u4", 1)[0]))

    def place(self, field: int) -> int:
        offset = self.table.Offset(4 + 2 * field)
        assert offset, f"no field {field}"
        return self.table.Pos + offset

    def number(self, field: int) -> int:
        return int(self.table.Get(kinds.Uint8Flags, self.place(field)))

    def text(self, field: int) -> str:
        return self.table.String(self.place(field)).decode()

    def floats(self, field: int) -> list[float]:
        vector = self.table.GetVectorAsNumpy(kinds.Float32Flags, self.place(field) - self.table.Pos)
        return [float(value) for value in vector]

    def one(self, field: int) -> "Table":
        return Table(self.table.Bytes, self.table.Indirect(self.place(field)))

    def all(self, field: int) -> list["Table"]:
        offset = self.place(field) - self.table.Pos
        start, count = self.table.Vector(offset), self.table.VectorLen(offset)
        return [Table(self.table.Bytes, self.table.Indirect(start + 4 * k)) for k in range(count)]


def described(content: bytes) -> bytes:
    found = schema.metadata(flatbuffer.read(content), metadata.ENTRY)
    assert found is not None
    return found


def labels_of(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        (entry,) = archive.infolist()  # stored as it is, and alike on all systems
        assert (entry.compress_type, entry.create_system) == (zipfile.ZIP_STORED, 0)
        return archive.read("labels.txt").decode().split("\n")[:-1]


def spliced(**options: Any) -> bytes:
    multi = multi_exit(1, 3)
    names = list(schema.outputs_by_name(flatbuffer.read(multi)))
    return splice.splice(multi, sorted(names), [0, 10, -128], **options)


@pytest.mark.parametrize("runtime_thresholds", [False, True])
def test_readers_find_what_the_schema_says(runtime_thresholds: bool) -> None:
    plain = spliced(labels=NAMES, runtime_thresholds=runtime_thresholds)
    content = metadata.add_metadata(plain, divisor=255.0)
    packed = described(content)
    assert packed[4:8] == b"M001"
    root = Table.root(packed)
    assert root.text(7) == "1.0.0"
    (graph,) = root.all(3)

    inputs, outputs = graph.all(2), graph.all(3)
    model = flatbuffer.read(content)
    tensors = model.subgraphs[0]
    names = {i: name for name, i in schema.inputs_by_name(model).items()}
    assert [given.text(0) for given in inputs] == [names[int(i)] for i in tensors.inputs]
    (unit,) = inputs[0].all(4)
    assert unit.number(0) == 1  # NormalizationOptions
    assert unit.one(1).floats(0) == [0.0]
    assert unit.one(1).floats(1) == [255.0]

    assert sorted(given.text(0) for given in outputs) == ["exit", "scores"]
    (scores,) = (given for given in outputs if given.text(0) == "scores")
    (file,) = scores.all(6)
    assert (file.text(0), file.number(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS
    assert labels_of(content) == LINES
    assert len(content) - len(plain) < 1024


@pytest.mark.parametrize("runtime", ["litert", "tflm"])
def test_nothing_else_changes(runtime: str) -> None:
    plain = spliced(labels=NAMES)
    content = metadata.add_metadata(plain)
    assert metadata.add_metadata(plain) == content
    x = int8_inputs(EarlyExitInterpreter(plain).runtime.model.subgraphs[0].tensors[0].shape[1:], 20)
    one, other = (EarlyExitInterpreter(file, runtime).predict(x) for file in (plain, content))
    np.testing.assert_array_equal(one.raw_scores, other.raw_scores)
    np.testing.assert_array_equal(one.exits, other.exits)


def test_the_divisor_is_read_back_from_whole_metadata_only() -> None:
    model = flatbuffer.read(metadata.add_metadata(spliced(labels=NAMES), divisor=32.0))
    entry = model.buffers[model.metadata[-1].buffer]
    whole = bytes(entry.data)
    assert metadata.recorded_divisor(model) == 32
    cut = [whole[:end] for end in range(len(whole))]
    flipped = [whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :] for i in range(len(whole))]
    for damaged in (*cut, *flipped):
        entry.data = np.frombuffer(damaged, np.uint8)
        assert 0 < metadata.recorded_divisor(model) < float("inf")
    assert metadata.recorded_divisor(flatbuffer.read(spliced())) == 1


def test_without_labels_there_is_no_archive() -> None:
    content = metadata.add_metadata(spliced())
    assert not zipfile.is_zipfile(io.BytesIO(content))
    assert len(Table.root(described(content)).all(3)) == 1


def test_labels_survive_compiling_and_retuning(tmp_path: Path) -> None:
    source, made = tmp_path / "multi.tflite", tmp_path / "m.tflite"
    source.write_bytes(multi_exit(1, 3))
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\ne\n", "utf-8-sig")
    command = ["compile", str(source), "--output", str(made), "--thresholds", "0.9,0.8"]
    result = CliRunner().invoke(cli, [*command, "--labels", str(tmp_path / "labels.txt")])
    assert result.exit_code == 0, result.output
    assert labels_of(made.read_bytes()) == list("abcde")
    again = compile_file(source, [0.9, 0.8], class_names=list("abcde"))
    assert again.content == made.read_bytes()
    assert retune(made, [0.5, 0.6]).classes == tuple("abcde")
    assert labels_of(made.read_bytes()) == list("abcde")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (b"a\nb\n", "2 labels"),
        (b"a\nb\n\n", "2 labels"),
        (b"a\n\nb\n", "line 2 of "),
        (b"\xff\xfe\n", "not text"),
        (None, "cannot read"),
    ],
)
def test_other_labels_are_refused(labels: bytes | None, said: str, tmp_path: Path) -> None:
    source, given = tmp_path / "multi.tflite", tmp_path / "labels.txt"
    source.write_bytes(multi_exit(1, 3))
    if labels is not None:
        given.write_bytes(labels)
    command = ["compile", str(source), "--output", str(tmp_path / "m.tflite")]
    result = CliRunner().invoke(cli, [*command, "--thresholds", "1,1", "--labels", str(given)])
    assert result.exit_code == 2
    assert said in result.output
    assert not (tmp_path / "m.tflite").exists()
