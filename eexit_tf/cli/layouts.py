"""Where a compiled network goes: one file, or a folder with a file a stage."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from eexit_tf.tflite.model import CompiledModel

layout_option = click.option(
    "--layout",
    type=click.Choice(["single", "segments"]),
    default="single",
    show_default=True,
    help="segments: instead of M.tflite a folder M.segments, with one .tflite a stage and "
    "manifest.json, for NPU compilers that do not know IF.",
)


def save(model: "CompiledModel", output: Path, layout: str) -> Path:
    """Write the network; returns the file or the folder."""
    if layout == "single":
        model.save(output)
        return output
    from eexit_tf.tflite.segments import SUFFIX, split

    folder = output.with_suffix(SUFFIX)
    split(model).save(folder)
    return folder
