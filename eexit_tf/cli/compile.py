"""`eexit-tf compile`: a multi-exit file from anywhere made self-exiting."""

import csv
from pathlib import Path

import click

from eexit_tf.cli.console import out, progress
from eexit_tf.cli.layouts import layout_option, save
from eexit_tf.cli.options import (
    output_option,
    quiet_option,
    runtime_thresholds_option,
    seed_option,
    thresholds_option,
)
from eexit_tf.confidences import CONFIDENCES, Confidence


def _names(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    if value is None:
        return None
    try:
        parts = next(csv.reader([value], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise click.BadParameter(f"{value!r} is not a list of names: {error}") from error
    return [name for part in parts if (name := part.strip())]


@click.command(short_help="Make a multi-exit .tflite from anywhere self-exiting.")
@click.argument("multi", metavar="MULTI_EXIT.tflite", type=click.Path(path_type=Path))
@output_option
@thresholds_option()
@click.option(
    "--exits",
    callback=_names,
    metavar="NAME,…",
    help="Which outputs are exits, if there are others, such as an embedding. Names with commas go "
    'in "".',
)
@click.option("--signature", metavar="NAME", help="Which one, if the file has several.")
@click.option(
    "--labels",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Names of the classes, one a line, to go into M.tflite.",
)
@click.option(
    "--confidence",
    type=click.Choice(CONFIDENCES),
    default="max",
    show_default=True,
    help="The largest score, or the largest less the second largest.",
)
@runtime_thresholds_option
@layout_option
@seed_option
@quiet_option
def compile(
    multi: Path,
    output: Path,
    thresholds: list[float],
    exits: list[str] | None,
    signature: str | None,
    labels: Path | None,
    confidence: Confidence,
    runtime_thresholds: bool,
    layout: str,
    seed: int,
    quiet: bool,
) -> None:
    """Make MULTI_EXIT.tflite, a static file with one output an exit, self-exiting.

    It may be int8 or float32, its outputs softmax scores, their logarithms or logits. Its exits
    are asked in the order of their cost, also where --exits names them in another.
    """
    from eexit_tf.tflite.compiler import compile_file
    from eexit_tf.tflite.flatbuffer import read
    from eexit_tf.tflite.hints import hints
    from eexit_tf.tflite.splicing.spliced import inspect

    if output.resolve() == multi.resolve():
        raise click.BadParameter(f"{output} is the file to compile", param_hint="--output")
    model = compile_file(
        multi,
        thresholds,
        exits=exits,
        signature=signature,
        class_names=None if labels is None else _lines(labels),
        confidence=confidence,
        runtime_thresholds=runtime_thresholds,
    )
    written, size = save(model, output, layout)
    named = zip(inspect(model.content).exits, model.exits, strict=True)
    said = ", ".join(f"{name} ({exit_.macs:,} MACs)" for name, exit_ in named)
    out.print(f"{written}: exits {said}; {size}")
    with progress(quiet) as reporter:
        for hint in hints(read(model.content)):
            reporter.say(f"hint: {hint}")


def _lines(path: Path) -> list[str]:
    from eexit_tf.errors import UserError
    from eexit_tf.files import read_bytes

    try:
        text = read_bytes(path).decode("utf-8-sig")  # Windows may begin with a mark
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8") from error
    names = text.rstrip().splitlines()
    for number, name in enumerate(names, 1):
        if not name.strip():
            raise UserError(f"line {number} of {path} is empty; expected the name of a class")
    return names
