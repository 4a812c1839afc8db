"""`eexit-tf export`: a self-exiting file as a C++ project."""

from pathlib import Path

import click

from eexit_tf.cli.console import out
from eexit_tf.cli.options import model_argument, output_folder, quiet_option, seed_option

FORMATS = ("cc", "arduino", "esp-idf", "zephyr", "cmsis")
"""As `eexit_tf.tflite.exporting.projects` has them, which `--help` does not wait for."""


@click.command(short_help="Write a C array and a project for a toolchain.")
@model_argument()
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    required=True,
    help="Plain C++ with CMake, or a project of that ecosystem.",
)
@click.option(
    "--output",
    type=output_folder,
    required=True,
    metavar="DIR",
    help="New, empty, or holding an earlier export, which is replaced.",
)
@click.option(
    "--name", help="Of the network in the sources; made an identifier.  [default: the file's name]"
)
@seed_option
@quiet_option
def export(model: Path, kind: str, output: Path, name: str | None, seed: int, quiet: bool) -> None:
    """Write M.tflite as a C++ project that runs it on TensorFlow Lite for Microcontrollers.

    The project holds the network as a C array, exactly the operators that it needs, its arena
    size, labels, thresholds and input quantisation, the header eexit.h and a small example.
    DIR/README.md says how it is built.
    """
    from eexit_tf.tflite.exporting.exporter import export as run

    files = run(model, output, format=kind, name=name)
    if not quiet:
        for path in files:
            out.print(path)
    out.print(f"{output}: {len(files)} files; {output / 'README.md'} says how to build them")
