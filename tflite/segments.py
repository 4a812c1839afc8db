"""A self-exiting network as one file a stage, for compilers of NPUs that do not know `IF`.

The application runs the stages one after the other and leaves after the first whose confidence
(see `eexit_tf.confidences`) is at least its threshold. What to feed to which stage stands in
`manifest.json`, beside the files; `segmented.SegmentedNetwork` does it in Python.
"""

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.confidences import check_confidence
from eexit_tf.errors import UserError
from eexit_tf.files import json_bytes, read_bytes, write_folder
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.model import CompiledModel
from eexit_tf.tflite.splicing import spliced
from eexit_tf.tflite.splicing.builder import Builder
from eexit_tf.tflite.splicing.stages import Stage, cut
from eexit_tf.tflite.splicing.unsplice import unsplice

MANIFEST = "manifest.json"
LAYOUT = "segments"
SUFFIX = ".segments"
_OWN_FILE = re.compile(rf"stage_\d+\.tflite|{re.escape(MANIFEST)}")
_NOT_OF_STAGES = ("sha256", "flash_bytes", "arena_bytes", "runtime_thresholds")
"""What a card says of a single file."""


@dataclass(frozen=True)
class Segment:
    """One stage as a `.tflite` file of its own.

    Attributes:
        exit: name of the exit that it ends in.
        content: the file; its tensors have these names in its signature.
        inputs: what it takes, in the order of the file's inputs: the network's input, or
            outputs of earlier stages.
        outputs: what it gives, in the order of the file's outputs.
        scores: the output with the exit's class scores, (1, classes).
    """

    exit: str
    content: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    scores: str


@dataclass(frozen=True)
class Segments:
    """A self-exiting network, one file a stage.

    Attributes:
        stages: in the order of execution, one an exit.
        card: what is promised of the network, see `model.CompiledModel.to_json`; in it the
            exits with their thresholds.
    """

    stages: tuple[Segment, ...]
    card: Mapping[str, Any]

    @property
    def flash_bytes(self) -> int:
        """Size of all files together, as they lie in flash."""
        return sum(len(stage.content) for stage in self.stages)

    def manifest(self) -> dict[str, Any]:
        """The content of `manifest.json`: the card, `stages`, and `tensors` by name."""
        return {
            **self.card,
            "layout": LAYOUT,
            "flash_bytes": self.flash_bytes,
            "stages": [
                {
                    "file": f"stage_{k}.tflite",
                    "exit": stage.exit,
                    "sha256": hashlib.sha256(stage.content).hexdigest(),
                    "inputs": list(stage.inputs),
                    "outputs": list(stage.outputs),
                    "scores": stage.scores,
                }
                for k, stage in enumerate(self.stages)
            ],
            "tensors": {
                name: _described(tensor)
                for stage in self.stages
                for name, tensor in _named_tensors(flatbuffer.read(stage.content)).items()
            },
        }

    def save(self, folder: Path | str) -> None:
        """Write the files and the manifest; the folder is whole or not there.

        An earlier folder of this kind is replaced.

        Raises:
            UserError: the folder holds something else.
        """
        folder = Path(folder)
        if folder.exists() and not (folder / MANIFEST).is_file():
            raise UserError(f"{folder} exists and is not a folder of segments; nothing was written")
        for path in sorted(folder.iterdir()) if folder.exists() else ():
            if not _OWN_FILE.fullmatch(path.name):
                raise UserError(f"{path} would be lost with its folder of segments; move it away")
        manifest = self.manifest()
        entries = zip(manifest["stages"], self.stages, strict=True)
        files = {entry["file"]: stage.content for entry, stage in entries}
        write_folder(folder, {**files, MANIFEST: json_bytes(manifest)})

    @classmethod
    def load(cls, path: Path | str) -> "Segments":
        """Read a manifest and its stages.

        Args:
            path: the manifest or its folder.

        Raises:
            UserError: a file cannot be read, is not what the manifest says, or the stages do
                not fit together.
        """
        path = Path(path)
        path = path / MANIFEST if path.is_dir() else path
        try:
            card = json.loads(read_bytes(path))
            entries = card.pop("stages")
            stages = tuple(_load_stage(path.parent, entry) for entry in entries)
            levels = [exit_["threshold_int8"] for exit_ in card["exits"]]
            check_confidence(card["confidence"])
            if card.pop("layout") != LAYOUT or card["schema"] != 1 or not stages:
                raise ValueError(f"no stages of layout {LAYOUT!r}, schema 1")
            spliced.check_thresholds(levels, len(stages))
            del card["tensors"], card["flash_bytes"]
        except UserError:
            raise
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
            said = f"no {error}" if isinstance(error, KeyError) else error
            raise UserError(f"{path} is not a manifest of segments: {said}") from error
        _check_chain(stages)
        return cls(stages, card)


def is_segments(path: Path) -> bool:
    """Whether a path is that of a folder of segments or its manifest, not of one file."""
    return path.is_dir() or path.suffix == ".json"


def split(model: CompiledModel) -> Segments:
    """One file a stage, from a self-exiting file and its card.

    Every operator is in exactly one stage, with its weights; tensors that cross a cut are an
    output of the stage that makes them and an input of those that read them.

    Raises:
        UserError: an exit has no operators of its own.
    """
    static = flatbuffer.read(unsplice(model.content))
    names = _tensor_names(static)
    stages = cut(static, spliced.inspect(model.content).exits).stages
    card = {key: value for key, value in model.to_json().items() if key not in _NOT_OF_STAGES}
    return Segments(tuple(_segment(static, stages, k, names) for k in range(len(stages))), card)


def _segment(
    static: fb.ModelT, stages: Sequence[Stage], k: int, names: Mapping[int, str]
) -> Segment:
    """Stage k as a model: its operators, with what crosses its borders as inputs and outputs."""
    stage = stages[k]
    if not stage.operators:
        raise UserError(f"exit {stage.exit} says what an earlier one has computed: leave one out")
    made, read = _made_and_read(static, [stage])
    _, later = _made_and_read(static, stages[k + 1 :])
    inputs = sorted(read - made)
    outputs = [stage.scores, *sorted((made & later) - {stage.scores})]
    model, main = copy.copy(static), copy.copy(static.subgraphs[0])
    main.inputs, main.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    model.subgraphs = [main]
    schema.sign(model, *({names[i]: i for i in side} for side in (inputs, outputs)))
    builder = Builder(model)
    graph = builder.graph("main", inputs)
    for position in stage.operators:
        graph.copy_operator(position)
    graph.outputs = [graph.tensor(index) for index in outputs]
    said = [names[index] for index in outputs]
    content = flatbuffer.write(builder.finish(said))
    return Segment(stage.exit, content, tuple(names[i] for i in inputs), tuple(said), said[0])


def _made_and_read(static: fb.ModelT, stages: Sequence[Stage]) -> tuple[set[int], set[int]]:
    """Tensors that the stages write, and those that they read, constants aside."""
    main = static.subgraphs[0]
    operators = [main.operators[i] for stage in stages for i in stage.operators]
    made = {int(i) for op in operators for i in op.outputs}
    read = {int(i) for op in operators for i in op.inputs if i >= 0}
    return made, {i for i in read if not schema.is_constant(static, main.tensors[i])}


def _tensor_names(static: fb.ModelT) -> dict[int, str]:
    """A name for every tensor, unlike all others; inputs keep theirs."""
    names = {index: name for name, index in schema.inputs_by_name(static).items()}
    taken = set(names.values())
    for index, tensor in enumerate(static.subgraphs[0].tensors):
        if index not in names:
            name = schema.text(tensor.name) or "tensor"
            names[index] = name if name not in taken else f"{name}:{index}"
            taken.add(names[index])
    return names


def _named_tensors(model: fb.ModelT) -> dict[str, fb.TensorT]:
    """Inputs and outputs by name, in the order of the file."""
    main, found = model.subgraphs[0], {}
    for by_name, order in (
        (schema.inputs_by_name(model), main.inputs),
        (schema.outputs_by_name(model), main.outputs),
    ):
        names = {index: name for name, index in by_name.items()}
        found.update({names[int(index)]: main.tensors[index] for index in order})
    return found


def _described(tensor: fb.TensorT) -> dict[str, Any]:
    scale, zero_point = schema.quantization(tensor)
    return {
        "shape": list(schema.shape(tensor)),
        "type": schema.dtype(tensor).name,
        "scale": scale,
        "zero_point": zero_point,
    }


def _check_chain(stages: Sequence[Segment]) -> None:
    """Raise a `UserError` unless each stage takes what is there before it, in type and shape."""
    known: dict[str, dict[str, Any]] = {}
    for k, stage in enumerate(stages):
        tensors = _named_tensors(flatbuffer.read(stage.content))
        if list(tensors) != [*stage.inputs, *stage.outputs] or stage.scores not in stage.outputs:
            raise UserError(f"stage {k} has other inputs or outputs than the manifest says")
        described = {name: _described(tensor) for name, tensor in tensors.items()}
        for name in stage.inputs if k else ():
            if described[name] != known.get(name):
                raise UserError(
                    f"stage {k} takes {name} as {described[name]}, but before it there is "
                    f"{known.get(name, 'no such tensor')}"
                )
        known |= described


def _load_stage(folder: Path, entry: Mapping[str, Any]) -> Segment:
    path = folder / entry["file"]
    content = read_bytes(path)
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise UserError(f"{path} is not the file that the manifest was written for")
    inputs, outputs = tuple(entry["inputs"]), tuple(entry["outputs"])
    return Segment(str(entry["exit"]), content, inputs, outputs, entry["scores"])
