"""`eexit-tf evaluate`: measure a self-exiting file on labelled data."""

from pathlib import Path

import click

from eexit_tf.cli.console import out, progress
from eexit_tf.cli.options import (
    dataset_option,
    json_option,
    model_argument,
    quiet_option,
    seed_option,
)


@click.command(short_help="Accuracy, share of samples per exit and mean MACs of a file.")
@model_argument(stages=True)
@dataset_option()
@click.option(
    "--runtime",
    type=click.Choice(["litert", "tflm"]),
    default="litert",
    show_default=True,
    help="LiteRT with reference kernels, or TFLite Micro; both give the same.",
)
@click.option(
    "--split",
    type=click.Choice(["test", "validation", "train"]),
    default="test",
    show_default=True,
    help="Which part of the data.",
)
@click.option("--samples", type=click.IntRange(min=1), help="Only so many, drawn by the seed.")
@json_option
@seed_option
@quiet_option
def evaluate(
    model: Path,
    dataset: str,
    runtime: str,
    split: str,
    samples: int | None,
    json_path: Path | None,
    seed: int,
    quiet: bool,
) -> None:
    """Run M.tflite on labelled data, and its last exit alone beside it.

    A folder of segments, M.segments, or its manifest is measured in the same way.
    """
    from eexit_tf.data import load
    from eexit_tf.files import write_json
    from eexit_tf.reports import evaluation_table
    from eexit_tf.tflite.evaluation import evaluate as run
    from eexit_tf.tflite.units import in_units_of

    with progress(quiet) as reporter:
        part = in_units_of(model, load(dataset, for_search=False), reporter).part(split)
        if samples is not None:
            part = part.draw(samples, seed)
        result = run(model, part, runtime=runtime, reporter=reporter)
    out.print(evaluation_table(result, f"{model.name} on {dataset} {split}"))
    if json_path is not None:
        write_json(json_path, result.to_json())
