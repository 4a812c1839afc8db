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


def save(model: "CompiledModel", output: Path, layout: str) -> tuple[Path, str]:
    """Write the network; returns the file or the folder, and in words how large it is."""
    if layout == "single":
        model.save(output)
        flash, arena = model.flash_bytes, model.arena_bytes
        return output, f"{flash:,} bytes of flash, {arena:,} bytes of arena"
    from eexit_tf.tflite.segments import SUFFIX, split

    folder = output.with_suffix(SUFFIX)
    segments = split(model)
    segments.save(folder)
    return folder, f"{segments.flash_bytes:,} bytes of flash in {len(segments.stages)} files"
