"""`eexit-tf search`: run or resume a search."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import click

from eexit_tf.bounds import Bounds
from eexit_tf.cli.console import out, progress
from eexit_tf.cli.options import (
    bounds_options,
    dataset_option,
    host_and_port,
    output_folder,
    quiet_option,
    seed_option,
)
from eexit_tf.pipeline import EPOCHS, MAX_TRIALS
from eexit_tf.vocabulary import counted


@click.command(short_help="Search backbone, exits, heads and thresholds; resumes by itself.")
@dataset_option()
@click.option(
    "--output",
    type=output_folder,
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
@click.option(
    "--backbone",
    metavar="FILE|M:F",
    help="Your own: a Keras file (.h5, .keras) or module:function, of hp or of nothing; then only "
    "its exits, heads and thresholds are searched.",
)
@click.option(
    "--train",
    type=click.Choice(["heads", "all"]),
    help="Of your own backbone: heads alone, on a frozen backbone (the default for a ready "
    "model), or all, to fine-tune it.",
)
@click.option(
    "--input-scale",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    metavar="X",
    help="By what your own backbone wants the data set's inputs multiplied: 255 if it was trained "
    "on bytes that were not divided by 255.",
)
@click.option(
    "--space",
    metavar="M:F",
    help="module:function that returns a KerasTuner HyperModel of your own; its networks have one "
    "softmax output an exit.",
)
@click.option(
    "--augment",
    metavar="flip,shift=4,cutout=8",
    help="Change the training samples at random in every epoch, here and in convert: mirror them "
    "left and right, move them by up to N rows and columns, set a square of N to 0.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Processes that train side by side, each with its share of the threads and at most one a "
    "trial; 0 is this one.",
)
@click.option(
    "--chief",
    callback=host_and_port,
    metavar="HOST:PORT",
    help="Also let other machines train, who find this one there; trust all who can reach it.",
)
@click.option(
    "--join",
    callback=host_and_port,
    metavar="HOST:PORT",
    help="Train for the search of that chief: the same command as there, with the same folder "
    "--output, which all machines must share.",
)
@click.option(
    "--tensorboard", is_flag=True, help="Keep training curves in DIR/trials for TensorBoard."
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
    backbone: str | None,
    train: Literal["heads", "all"] | None,
    input_scale: float,
    space: str | None,
    augment: str | None,
    workers: int,
    chief: tuple[str, int] | None,
    join: tuple[str, int] | None,
    tensorboard: bool,
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
    if join and (workers or chief or overwrite):
        raise click.UsageError("--join goes without --workers, --chief and --overwrite")
    if tensorboard and find_spec("tensorboard") is None:
        raise click.UsageError("--tensorboard needs TensorBoard: pip install eexit-tf[tensorboard]")
    from eexit_tf.data import load

    data = load(dataset)  # before TensorFlow is, so that a name mistyped is told at once
    from eexit_tf import pipeline
    from eexit_tf.augmentation import UNCHANGED, Augmentation
    from eexit_tf.tuners import joining
    from eexit_tf.tuners.failures import TrialError
    from eexit_tf.tuners.networks import Networks

    networks = Networks(backbone, train, input_scale, space)
    augmentation = UNCHANGED if augment is None else Augmentation.parse(augment)
    try:
        if join:
            joining.join(
                data,
                output,
                join,
                bounds=bounds,
                epochs=epochs,
                seed=seed,
                networks=networks,
                augmentation=augmentation,
                tensorboard=tensorboard,
            )
            return
        with progress(quiet) as reporter:
            front = pipeline.search(
                data,
                output,
                bounds=bounds,
                max_trials=max_trials,
                epochs=epochs,
                seed=seed,
                networks=networks,
                augmentation=augmentation,
                workers=workers,
                chief=chief,
                tensorboard=tensorboard,
                overwrite=overwrite,
                reporter=reporter,
            )
    except TrialError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        raise click.ClickException("stopped; the same command resumes the search") from None
    knee = front.knee()
    out.print(
        f"{counted(len(front), 'point')} in {output / 'front.json'}; the knee is {knee.id}: "
        f"{knee.val_accuracy:.2%} at {knee.mean_macs:,.0f} mean MACs"
    )
