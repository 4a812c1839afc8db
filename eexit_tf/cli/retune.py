"""`eexit-tf retune`: other thresholds for a self-exiting file, in place."""

from pathlib import Path

import click

from eexit_tf.bounds import Bounds
from eexit_tf.cli.console import out, progress
from eexit_tf.cli.options import (
    Count,
    dataset_option,
    model_argument,
    output_file,
    quiet_option,
    seed_option,
    tflite_path,
    thresholds_option,
)
from eexit_tf.errors import UserError


@click.command(short_help="Other thresholds for a file, given or searched again.")
@model_argument()
@thresholds_option(required=False)
@click.option("--max-mean-macs", type=Count(), help="Search the best at no more MACs on average.")
@dataset_option(required=False)
@click.option("--min-accuracy", type=click.FloatRange(0, 1), help="Of what the search finds.")
@click.option(
    "--output",
    type=output_file,
    callback=tflite_path,
    metavar="M2.tflite",
    help="Another file to write, with its card.  [default: M.tflite itself]",
)
@seed_option
@quiet_option
def retune(
    model: Path,
    thresholds: list[float] | None,
    max_mean_macs: int | None,
    dataset: str | None,
    min_accuracy: float | None,
    output: Path | None,
    seed: int,
    quiet: bool,
) -> None:
    """Change the thresholds of M.tflite, and its card if there is one.

    Either give --thresholds, or --max-mean-macs and --dataset: then the thresholds with the best
    accuracy on the validation data are searched. All exits of the file stay in use; `convert`
    may leave some out.
    """
    search = (max_mean_macs, dataset, min_accuracy)
    if (thresholds is None) == (search == (None, None, None)):
        raise UserError("give either --thresholds, or --max-mean-macs and --dataset")
    if thresholds is None and (max_mean_macs is None or dataset is None):
        raise UserError("a search for thresholds needs both --max-mean-macs and --dataset")

    if output is None:
        output_file.convert(model, None, None)  # is refused before the work

    from eexit_tf.data import load
    from eexit_tf.files import read_bytes
    from eexit_tf.tflite.retuning import retune as run
    from eexit_tf.tflite.splicing import spliced
    from eexit_tf.tflite.units import in_units_of

    spliced.inspect(read_bytes(model))  # is refused before anything is loaded
    validation = None
    with progress(quiet) as reporter:
        if dataset is not None:
            data = in_units_of(model, load(dataset, for_search=False), reporter)
            validation = data.part("validation")
            reporter.say(f"searching thresholds on {len(validation.y)} validation samples")
        made = run(
            model,
            thresholds,
            calibrate_on=validation,
            bounds=Bounds(max_mean_macs=max_mean_macs, min_accuracy=min_accuracy),
            output=output,
            reporter=reporter,
        )
    said = ", ".join(f"{exit_.threshold:g}" for exit_ in made.exits[:-1])
    found = ""
    if made.mean_macs is not None:
        found = f"; {made.val_accuracy:.2%} at {made.mean_macs:,.0f} mean MACs on validation data"
    out.print(f"{output or model}: thresholds {said or 'none'}{found}")
