"""`eexit-tf compile`: a multi-exit int8 file from anywhere made self-exiting."""

from pathlib import Path

import click

from eexit_tf.cli.console import out
from eexit_tf.cli.options import output_option, quiet_option, seed_option


def _thresholds(_: click.Context, __: click.Parameter, value: str) -> list[float]:
    try:
        return [float(part) for part in value.split(",") if part.strip()]
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 0.9,0.8") from error


@click.command(short_help="Make a multi-exit .tflite from anywhere self-exiting.")
@click.argument("multi", metavar="MULTI_EXIT.tflite", type=click.Path(path_type=Path))
@output_option
@click.option(
    "--thresholds",
    required=True,
    callback=_thresholds,
    metavar="T,…",
    help="Confidence to leave at, 0 to 1, one for each exit but the last.",
)
@seed_option
@quiet_option
def compile(multi: Path, output: Path, thresholds: list[float], seed: int, quiet: bool) -> None:
    """Make MULTI_EXIT.tflite, a static file with one softmax output an exit, self-exiting.

    Its exits are asked in the order of their cost.
    """
    from eexit_tf.tflite.compiler import compile_file

    if output.resolve() == multi.resolve():
        raise click.BadParameter(f"{output} is the file to compile", param_hint="--output")
    model = compile_file(multi, thresholds)
    model.save(output)
    exits = ", ".join(f"{exit_.at} ({exit_.macs:,} MACs)" for exit_ in model.exits)
    out.print(
        f"{output}: exits {exits}; {model.flash_bytes:,} bytes of flash, "
        f"{model.arena_bytes:,} bytes of arena"
    )
