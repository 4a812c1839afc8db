"""Options that several verbs share, each defined once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from eexit_tf.vocabulary import Bounds

SUFFIXES = {"k": 1e3, "m": 1e6, "g": 1e9}
Command = Callable[..., Any]


class Count(click.ParamType):
    """A whole number above 0 that may be written with a suffix: 400k, 2.44M."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip().lower().replace("_", "")
        factor = SUFFIXES.get(text[-1:], 1.0)
        try:
            count = round(float(text[:-1] if text[-1:] in SUFFIXES else text) * factor)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a number such as 120000, 400k or 2.44M", param, ctx)
        if count <= 0:
            self.fail(f"{value!r} is not more than 0", param, ctx)
        return count


def dataset_option(required: bool = True) -> Callable[[Command], Command]:
    return click.option(
        "--dataset",
        metavar="D",
        required=required,
        help="digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file, a folder of class "
        "folders, or module:function.",
    )


seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random."
)


def host_and_port(
    _: click.Context, __: click.Parameter, value: str | None
) -> tuple[str, int] | None:
    """Of `HOST:PORT`, where an IPv6 host is in brackets."""
    if value is None:
        return None
    host, colon, port = value.rpartition(":")
    if not (colon and port.isdecimal() and 0 < int(port) < 65536):
        raise click.BadParameter(f"{value!r} is not HOST:PORT, such as 192.168.1.5:8000")
    return host.strip("[]"), int(port)


def tflite_path(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """Check the name of an output."""
    if path is not None and path.suffix != ".tflite":
        raise click.BadParameter(f"{path} must end in .tflite; its card goes beside it, as .json")
    return path


output_option = click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    callback=tflite_path,
    metavar="M.tflite",
    help="The file; its card goes beside it, as M.json.",
)


def _thresholds(_: click.Context, __: click.Parameter, value: str | None) -> list[float] | None:
    if value is None:
        return None
    try:
        return [float(part) for part in value.split(",") if part.strip()]
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 0.9,0.8") from error


def thresholds_option(required: bool = True) -> Callable[[Command], Command]:
    return click.option(
        "--thresholds",
        required=required,
        callback=_thresholds,
        metavar="T,…",
        help="Confidence to leave at, 0 to 1, one for each exit but the last.",
    )


runtime_thresholds_option = click.option(
    "--runtime-thresholds",
    is_flag=True,
    help="Make thresholds an input, set by the application before each run; these are its default.",
)
quiet_option = click.option("--quiet", is_flag=True, help="No progress, only the results.")
json_option = click.option(
    "--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Also write here."
)

_BOUNDS = (
    click.option("--max-macs", type=Count(), help="MACs of one sample at worst."),
    click.option("--max-mean-macs", type=Count(), help="MACs of a sample on average."),
    click.option("--max-params", type=Count(), help="Weights and biases of the network."),
    click.option("--min-accuracy", type=click.FloatRange(0, 1), help="On validation data, 0 to 1."),
)


def bounds_options(command: Command) -> Command:
    """All bounds, handed to the command as one `Bounds`."""
    from functools import wraps

    @wraps(command)
    def with_bounds(
        *args: Any,
        max_macs: int | None,
        max_mean_macs: int | None,
        max_params: int | None,
        min_accuracy: float | None,
        **kwargs: Any,
    ) -> Any:
        bounds = Bounds(max_macs, max_mean_macs, max_params, min_accuracy)
        return command(*args, bounds=bounds, **kwargs)

    wrapped: Command = with_bounds
    for option in reversed(_BOUNDS):
        wrapped = option(wrapped)
    return wrapped
