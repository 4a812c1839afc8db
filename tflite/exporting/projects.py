"""The formats of `export`: a folder of templates each, for a toolchain's own kind of project.

The templates are files in `sources/`, named and laid out as in the project that they make. In
their text `@word@` stands for a value, and in their names `NAME` for the network's name.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite.exporting import cpp, scratch
from eexit_tf.tflite.model import CompiledModel

_SOURCES = Path(__file__).parents[1] / "sources"
_HEADER = "eexit.h"
_ALIGNMENT = 16


@dataclass(frozen=True)
class Format:
    """A kind of project.

    Attributes:
        folders: of its templates, in `sources/`.
        network: folder of the project where the network's own sources go.
        kernels: whose optimised kernels its TFLM runs, in words.
        scratch_bytes: what those can ask of the arena for a network, in bytes.
        suffix: of C++ files, as the build system knows them.
    """

    folders: tuple[str, ...]
    network: str
    kernels: str
    scratch_bytes: Callable[[fb.ModelT], int]
    suffix: str = ".cc"


_CMSIS_NN = "Arm's CMSIS-NN"

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "cc": Format(("cc", "main"), "src", _CMSIS_NN, scratch.cmsis_nn_bytes),
        "arduino": Format(("arduino",), "src", _CMSIS_NN, scratch.cmsis_nn_bytes, ".cpp"),
        "esp-idf": Format(
            ("esp-idf",), "components/NAME_network", "Espressif's ESP-NN", scratch.esp_nn_bytes
        ),
        "zephyr": Format(("zephyr", "main"), "src", _CMSIS_NN, scratch.cmsis_nn_bytes),
        "cmsis": Format(("cmsis", "main"), "src", _CMSIS_NN, scratch.cmsis_nn_bytes),
    }
)
"""By the name that `eexit-tf export --format` takes."""


def render(kind: Format, card: CompiledModel, model: fb.ModelT, name: str) -> dict[str, bytes]:
    """The project's files: path, with `/`, -> content.

    Args:
        kind: one of `FORMATS`.
        card: the network and what is known of it.
        model: its content, checked.
        name: an identifier, see `cpp.identifier`.
    """
    margin = kind.scratch_bytes(model)
    arena = -(-(card.arena_bytes + margin) // _ALIGNMENT) * _ALIGNMENT
    values = {
        **cpp.values(card, model, name),
        "kernels": kind.kernels,
        "measured": str(card.arena_bytes),
        "margin": str(margin),
        "arena": str(arena),
        "summary": _summary(card, arena),
    }
    files = {}
    for path, template in _templates(kind):
        text = re.sub(r"@(\w+)@", lambda word: values[word[1]], template)
        files[path.replace("NAME", name)] = text.encode()
    return files


def _templates(kind: Format) -> Iterator[tuple[str, str]]:
    """The project's paths and templates."""
    network = PurePosixPath(kind.network)
    yield str(network / _HEADER), (_SOURCES / _HEADER).read_text("utf-8")
    for inside, template in _files("network"):
        suffix = kind.suffix if inside.suffix == ".cc" else inside.suffix
        yield str(network / inside.with_suffix(suffix)), template
    for folder in kind.folders:
        for inside, template in _files(folder):
            yield str(inside), template


def _files(folder: str) -> Iterator[tuple[PurePosixPath, str]]:
    for path in sorted((_SOURCES / folder).rglob("*")):
        if path.is_file():
            yield PurePosixPath(path.relative_to(_SOURCES / folder)), path.read_text("utf-8")


def _summary(card: CompiledModel, arena: int) -> str:
    """What a README says of the network."""
    rows = "\n".join(
        f"| {k} | {_plain(exit_.at)} | {exit_.threshold:.3f} | {exit_.macs:,} |"
        for k, exit_ in enumerate(card.exits)
    )
    shape = " x ".join(map(str, card.input.shape))
    return f"""
## The network

It takes int8 values ({shape}; `eexit::quantize` makes them from raw ones), tells
{len(card.classes)} classes apart, and lies in {card.flash_bytes:,} bytes of flash. Its arena has
{arena:,} bytes of RAM.

| exit | at | leaves from a confidence of | multiply-accumulates |
|---|---|---|---|
{rows}"""


def _plain(text: str) -> str:
    """Without characters that mean something in Markdown."""
    return re.sub(r"[^A-Za-z0-9./:-]", "_", text)
