"""`eexit-tf benchmark`: measure a self-exiting file on a device."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table

from eexit_tf.cli.console import out, progress
from eexit_tf.cli.options import (
    dataset_option,
    json_option,
    model_argument,
    quiet_option,
    seed_option,
)

if TYPE_CHECKING:
    from eexit_tf.tflite.benchmarking import Benchmark


@click.command(short_help="Latency or instructions, arena and accuracy on a device.")
@model_argument()
@dataset_option()
@click.option(
    "--target",
    default="host",
    show_default=True,
    metavar="T",
    help="host (TFLM's wheel), qemu:mps3-an547 (Cortex-M55), qemu:mps2-an386 (Cortex-M4), or "
    "serial:PORT, a board with the benchmark firmware on it.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="How many of the test data, drawn by the seed.",
)
@click.option(
    "--tflm-lib",
    type=click.Path(path_type=Path),
    help="For qemu: libtensorflow-microlite.a, built for the board's processor.",
)
@click.option(
    "--tflm-include",
    type=click.Path(path_type=Path),
    multiple=True,
    help="For qemu: TFLM's root folder; again for others that its headers need.",
)
@json_option
@seed_option
@quiet_option
def benchmark(
    model: Path,
    dataset: str,
    target: str,
    samples: int,
    tflm_lib: Path | None,
    tflm_include: tuple[Path, ...],
    json_path: Path | None,
    seed: int,
    quiet: bool,
) -> None:
    """Run samples of the test data on a device, one by one, and the last exit alone beside.

    On the host both networks run a sample three times before the next one, and the least time
    counts. Under QEMU time is counted in instructions, so that figures repeat exactly. If the
    device fails on the way, what was measured is shown and written all the same.
    """
    from eexit_tf.data import load
    from eexit_tf.errors import UserError
    from eexit_tf.files import write_json
    from eexit_tf.tflite.benchmarking import TflmLibrary, UnfinishedError
    from eexit_tf.tflite.benchmarking import benchmark as run
    from eexit_tf.tflite.units import in_units_of

    if tflm_lib is None and tflm_include:
        raise UserError("--tflm-include goes with --tflm-lib")
    tflm = None if tflm_lib is None else TflmLibrary(tflm_lib, tflm_include)
    failure = None
    with progress(quiet) as reporter:
        part = in_units_of(model, load(dataset, for_search=False), reporter).part("test")
        part = part.draw(samples, seed)
        try:
            found = run(model, part, target=target, tflm=tflm, reporter=reporter)
        except UnfinishedError as error:
            found, failure = error.partial, error
    if json_path is not None:  # first: what took long to measure is kept, whatever comes
        write_json(json_path, found.to_json())
    out.print(_table(found, f"{model.name} on {dataset} test"))
    if failure is not None:
        raise failure


def _table(found: "Benchmark", title: str) -> Table:
    """Exit by exit, then both networks as a whole."""
    said = found.to_json()
    litert = said["litert"]
    table = Table(
        title=f"{title}, {said['samples']} of {found.samples} samples, {found.target}",
        caption=f"scores CRC32 {said['scores_crc32']}, in LiteRT's reference kernels "
        f"{litert['scores_crc32']}: {litert['differing_samples']} samples differ",
        title_justify="left",
        caption_justify="left",
    )
    for name in ("", "samples", "share", "accuracy", found.unit, "arena bytes", "flash bytes"):
        table.add_column(name, justify="right" if name else "left")
    for number, exit_ in enumerate(said["exits"], start=1):
        share, accuracy = _percent(exit_["share"], 1), _percent(exit_["accuracy"], 2)
        row = [str(exit_["samples"]), share, accuracy, _count(exit_["latency"])]
        table.add_row(f"exit {number}", *row)
    table.add_section()
    for name, one, latency in (
        ("all, leaving early", said, "mean_latency"),
        ("last exit alone", said["static"], "static_latency"),
    ):
        sizes = [_count(one["arena_bytes"]), _count(one["flash_bytes"])]
        accuracy = _percent(one["accuracy"], 2)
        table.add_row(name, str(one["samples"]), "", accuracy, _count(said[latency]), *sizes)
    return table


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _percent(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}%}"
