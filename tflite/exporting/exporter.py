"""A self-exiting network as a C++ project for a toolchain."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as fb

from eexit_tf.errors import UserError
from eexit_tf.files import json_bytes, read_bytes, write_bytes, write_folder, write_json
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.cards import card_of
from eexit_tf.tflite.describe import describe
from eexit_tf.tflite.exporting.cpp import identifier, thresholds_input
from eexit_tf.tflite.exporting.projects import FORMATS, render
from eexit_tf.tflite.model import CompiledModel
from eexit_tf.tflite.splicing import spliced

MARKER = "eexit-export.json"
"""The file in an exported folder that lists what `export` wrote there."""


def export(
    model: CompiledModel | str | Path,
    directory: str | Path,
    *,
    format: str,  # noqa: A002 - what the command line calls it
    name: str | None = None,
) -> list[Path]:
    """Write a project that runs the network on TensorFlow Lite for Microcontrollers.

    It holds the file as a C array, its operators, arena size, labels, thresholds and input
    quantisation as constants, the header `eexit.h` and an example. Equal arguments give equal
    bytes.

    Args:
        model: a self-exiting int8 network, or its `.tflite` file; the divisor of its input is
            that of the card beside it, or the file's own if there is none.
        directory: where to; new, empty, or holding an earlier export, which is replaced unless
            one of its files was changed since. Other files there are left alone.
        format: a key of `projects.FORMATS`: the toolchain whose kind of project is wanted.
        name: of the network in the sources, made an identifier; the file's name if not given.

    Returns:
        the files written, the marker included.

    Raises:
        UserError: not such a file, an unknown format, a card of another file, or a folder that
            holds other things or files that were changed since they were exported.
    """
    if format not in FORMATS:
        raise UserError(f"unknown format {format!r}; there are {', '.join(FORMATS)}")
    if not isinstance(model, CompiledModel):
        name = Path(model).stem if name is None else name
        model = load(model)
    name = identifier(name or "model")
    files = render(FORMATS[format], model, _int8_network(model.content), name)
    digests = {path: _digest(content) for path, content in sorted(files.items())}
    marker = {"schema": 1, "format": format, "name": name, "files": digests}
    directory = Path(directory)
    there = next(place for place in (directory, *directory.absolute().parents) if place.exists())
    if not there.is_dir():
        raise UserError(f"{there} is a file; expected a folder")
    if there != directory:
        write_folder(directory, {**files, MARKER: json_bytes(marker)})
    else:
        _write_over(directory, files, marker)
    return [directory / path for path in (*digests, MARKER)]


def load(path: str | Path) -> CompiledModel:
    """A self-exiting `.tflite` file, with its input's divisor from the card beside it, `M.json`,
    or its own if there is none.

    Raises:
        UserError: not such a file, or a card that belongs to another file or is damaged.
    """
    content = read_bytes(path)
    spliced.inspect(content)  # is refused before its card
    card = card_of(Path(path), content)
    return describe(content, divisor=None if card is None else float(card["input"]["divisor"]))


def _int8_network(content: bytes) -> fb.ModelT:
    """The checked model of a self-exiting int8 file."""
    model = flatbuffer.read(content)
    main = model.subgraphs[0]
    if len(main.inputs) != 1 + (thresholds_input(model) >= 0):
        raise UserError(
            f"expected a network with one input, and perhaps one of thresholds, got "
            f"{len(main.inputs)}"
        )
    for what, index in (
        *((f"input {name}", place) for name, place in schema.inputs_by_name(model).items()),
        ("scores", schema.outputs_by_name(model)[spliced.SCORES]),
    ):
        tensor = main.tensors[index]
        if tensor.type != fb.TensorType.INT8:
            raise UserError(
                f"expected an int8 network, but its {what} is {schema.dtype(tensor)}; quantise "
                f"it before it is compiled"
            )
    return model


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_over(directory: Path, files: Mapping[str, bytes], marker: dict[str, Any]) -> None:
    """Replace an earlier export in the folder, or fill it if it is empty."""
    earlier = _earlier(directory)
    changed = [
        path
        for path in sorted({*files, *earlier})
        if (directory / path).exists()
        and _found(directory / path) not in (earlier.get(path), marker["files"].get(path))
    ]
    if changed:
        raise UserError(
            f"{directory / changed[0]} was not written by an earlier export, or was changed "
            f"since; move it away or export to another folder"
        )
    for path, content in files.items():
        write_bytes(directory / path, content)
    for path in earlier:
        if path not in files:
            (directory / path).unlink(missing_ok=True)
    write_json(directory / MARKER, marker)


def _found(path: Path) -> str | None:
    return _digest(path.read_bytes()) if path.is_file() else None


def _earlier(directory: Path) -> dict[str, str]:
    """Digests of the files that an earlier export wrote; nothing for an empty folder."""
    if not any(directory.iterdir()):
        return {}
    try:
        files = json.loads((directory / MARKER).read_bytes())["files"]
        if all(map(_is_inside, files)):
            return dict(files)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UserError(
        f"{directory} is not empty and was not written by export; name a new or empty folder"
    )


def _is_inside(path: str) -> bool:
    """Whether a path in a marker leads nowhere but into the marker's folder."""
    return not Path(path).is_absolute() and ".." not in Path(path).parts
