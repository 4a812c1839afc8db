"""`eexit-tf convert`: a point of the front made one self-exiting `.tflite`."""

from collections.abc import Callable
from pathlib import Path

import click

from eexit_tf.bounds import Bounds
from eexit_tf.cli.console import out, progress
from eexit_tf.cli.layouts import layout_option, save
from eexit_tf.cli.options import (
    Command,
    bounds_options,
    dataset_option,
    output_option,
    quiet_option,
    runtime_thresholds_option,
    seed_option,
)
from eexit_tf.errors import UserError
from eexit_tf.vocabulary import counted


def bits_option(part: str) -> Callable[[Command], Command]:
    return click.option(
        f"--{part}-bits",
        type=click.Choice(["8", "4"]),
        default="8",
        show_default=True,
        help=f"Of the {part}'s weights, but depthwise ones; 4 halves their flash and needs qat.",
    )


@click.command(short_help="Quantise and compile a point of the front.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@output_option
@click.option(
    "--pick", default="knee", show_default=True, help="knee, best, or a point's id (see front)."
)
@bounds_options
@click.option(
    "--quantize",
    "method",
    type=click.Choice(["qat", "ptq"]),
    default="qat",
    show_default=True,
    help="Quantisation-aware fine-tuning, or ranges alone.",
)
@bits_option("backbone")
@bits_option("head")
@click.option(
    "--train-epochs",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Train it for so many epochs more before; kept in DIR, resumed if it is stopped.",
)
@runtime_thresholds_option
@dataset_option(required=False)
@layout_option
@seed_option
@quiet_option
def convert(
    directory: Path,
    output: Path,
    pick: str,
    bounds: Bounds,
    method: str,
    backbone_bits: str,
    head_bits: str,
    train_epochs: int,
    runtime_thresholds: bool,
    dataset: str | None,
    layout: str,
    seed: int,
    quiet: bool,
) -> None:
    """Make a point of the front in DIR one int8 .tflite that leaves early by itself.

    Thresholds are tuned once more, on the int8 network's own validation outputs. The data set
    is the search's; give --dataset if it has moved.
    """
    from eexit_tf import pipeline
    from eexit_tf.data import load
    from eexit_tf.fronts import SearchFront
    from eexit_tf.precision import check_bits

    # Is refused before anything is loaded.
    check_bits(method, int(backbone_bits), int(head_bits))
    found = SearchFront.load(directory)
    pipeline.pick_point(found.front, pick, bounds)
    try:
        data = load(dataset or found.dataset)
    except UserError as error:
        if dataset:
            raise
        raise UserError(
            f"{error} (the search in {directory} was on it; give --dataset if it has moved)"
        ) from error
    with progress(quiet) as reporter:
        model = pipeline.convert(
            data,
            directory,
            pick=pick,
            bounds=bounds,
            method=method,  # type: ignore[arg-type]  # click has checked it
            backbone_bits=int(backbone_bits),
            head_bits=int(head_bits),
            train_epochs=train_epochs,
            runtime_thresholds=runtime_thresholds,
            seed=seed,
            reporter=reporter,
        )
    written, size = save(model, output, layout)
    out.print(
        f"{written}: {model.val_accuracy:.2%} at {model.mean_macs:,.0f} mean MACs on validation "
        f"data, {counted(len(model.exits), 'exit')}, {size}"
    )
