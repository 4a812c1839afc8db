"""`eexit-tf search`: run or resume a search."""

from pathlib import Path

import click

from eexit_tf.cli.console import out, progress
from eexit_tf.cli.options import bounds_options, dataset_option, quiet_option, seed_option
from eexit_tf.pipeline import EPOCHS, MAX_TRIALS
from eexit_tf.vocabulary import Bounds


@click.command(short_help="Search backbone, exits, heads and thresholds; resumes by itself.")
@dataset_option()
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Its folder.",
)
@bounds_options
@click.option(
    "--max-trials",
    type=click.IntRange(min=1),
    default=MAX_TRIALS,
    show_default=True,
    help="Trainings in all.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=EPOCHS,
    show_default=True,
    help="Of each training.",
)
@click.option("--overwrite", is_flag=True, help="Start over instead of resuming.")
@seed_option
@quiet_option
def search(
    dataset: str,
    output: Path,
    bounds: Bounds,
    max_trials: int,
    epochs: int,
    overwrite: bool,
    seed: int,
    quiet: bool,
) -> None:
    """Search backbone, exits, heads and thresholds together.

    Each trial trains one backbone with all its candidate exits; then every subset of exits with
    every threshold is searched on the validation outputs. DIR/front.json holds the front over
    all trials and grows while the search runs. The same command resumes a search that was
    stopped, however it was stopped.
    """
    from eexit_tf import pipeline
    from eexit_tf.data import load

    try:
        with progress(quiet) as reporter:
            front = pipeline.search(
                load(dataset),
                output,
                bounds=bounds,
                max_trials=max_trials,
                epochs=epochs,
                seed=seed,
                overwrite=overwrite,
                reporter=reporter,
            )
    except KeyboardInterrupt:
        raise click.ClickException("stopped; the same command resumes the search") from None
    knee = front.knee()
    out.print(
        f"{len(front)} points in {output / 'front.json'}; the knee is {knee.id}: "
        f"{knee.val_accuracy:.2%} at {knee.mean_macs:,.0f} mean MACs"
    )
