"""Options that several verbs share, each defined once."""

import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from eexit_tf.bounds import Bounds

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


class OutputPath(click.Path):
    """Where something will be written; refused before the work where that cannot be."""

    def convert(
        self,
        value: "str | os.PathLike[str]",
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:
        path = Path(str(super().convert(value, param, ctx))).absolute()
        if path.is_symlink():
            path = Path(os.path.realpath(path))  # what is written
        places = (path, *path.parents) if self.dir_okay else path.parents
        folder = next(place for place in places if os.path.exists(place))
        if not folder.is_dir():
            self.fail(f"{folder} is a file; expected a folder", param, ctx)
        if not os.access(folder, os.W_OK | os.X_OK):
            self.fail(f"{folder} is a folder in which you may not write", param, ctx)
        return Path(value)


output_file = OutputPath(dir_okay=False, writable=True)
output_folder = OutputPath(file_okay=False)


def model_argument(stages: bool = False) -> Callable[[Command], Command]:
    """Of a verb that takes a file, or the folder of its stages as well."""
    return click.argument(
        "model",
        metavar="M.tflite",
        type=click.Path(path_type=Path),
        callback=None if stages else _one_file,
        is_eager=True,  # other parameters are checked against it
    )


def _one_file(ctx: click.Context, _: click.Parameter, path: Path) -> Path:
    if path.is_dir():
        raise click.BadParameter(
            f"{path} is a folder; `evaluate` runs a network's stages, {ctx.info_name} takes its "
            f"one .tflite"
        )
    return path


def dataset_option(required: bool = True) -> Callable[[Command], Command]:
    return click.option(
        "--dataset",
        metavar="D",
        required=required,
        help="digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file, a folder of class "
        "folders, or module:function.",
    )


seed_option = click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),  # what numpy's generator takes
    default=0,
    show_default=True,
    help="Of everything random.",
)


def host_and_port(
    _: click.Context, __: click.Parameter, value: str | None
) -> tuple[str, int] | None:
    """Of `HOST:PORT`, where an IPv6 host is in brackets."""
    if value is None:
        return None
    host, colon, port = value.rpartition(":")
    if not (host.strip("[]") and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise click.BadParameter(f"{value!r} is not HOST:PORT, such as 192.168.1.5:8000")
    return host.strip("[]"), int(port)


def tflite_path(_: click.Context, __: click.Parameter, path: Path | None) -> Path | None:
    """Check the name of an output."""
    if path is not None and path.suffix != ".tflite":
        raise click.BadParameter(f"{path} must end in .tflite; its card goes beside it, as .json")
    return path


def _free_tflite_path(ctx: click.Context, param: click.Parameter, path: Path) -> Path:
    """The same, where the card will replace nothing else: found out before the work."""
    from eexit_tf.tflite.cards import check_card_place

    tflite_path(ctx, param, path)
    check_card_place(path)
    return path


output_option = click.option(
    "--output",
    type=output_file,
    required=True,
    callback=_free_tflite_path,
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
        help="Confidence to leave at, 0 to 1, one for each exit but the last; rounded up to steps "
        "of 1/256, 255/256 at most, in a float32 network, too.",
    )


runtime_thresholds_option = click.option(
    "--runtime-thresholds",
    is_flag=True,
    help="Make thresholds an input, set by the application before each run; these are its default.",
)
quiet_option = click.option("--quiet", is_flag=True, help="No progress, only the results.")


def _json_path(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Refuse to replace the network that is measured, a card, a part of a search, or data."""
    if path is None:
        return None
    model = ctx.params["model"].resolve()
    if path.suffix != ".json":
        raise click.BadParameter(f"{path} must end in .json")
    if path.resolve() == model.with_suffix(".json") or path.resolve().is_relative_to(model):
        raise click.BadParameter(f"{path} belongs to {ctx.params['model']}; choose another name")
    if path.exists() and not _is_report(path):
        raise click.BadParameter(f"{path} is no earlier report; choose another name")
    return path


def _is_report(path: Path) -> bool:
    """Whether a file may be a report: JSON without the schema that cards and searches have."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "schema" not in value


json_option = click.option(
    "--json", "json_path", type=output_file, callback=_json_path, help="Also write here."
)

_BOUNDS = (
    click.option("--max-macs", type=Count(), help="MACs of one sample at worst."),
    click.option("--max-mean-macs", type=Count(), help="MACs of a sample on average."),
    click.option("--max-params", type=Count(), help="Weights and biases of the network."),
    click.option("--max-flash", type=Count(), help="Bytes of the .tflite."),
    click.option("--max-arena", type=Count(), help="Bytes of memory that TFLM needs for it."),
    click.option("--min-accuracy", type=click.FloatRange(0, 1), help="On validation data, 0 to 1."),
)


def bounds_options(command: Command) -> Command:
    """All bounds, handed to the command as one `Bounds`."""
    from functools import wraps

    @wraps(command)
    def with_bounds(*args: Any, **kwargs: Any) -> Any:
        bounds = Bounds(**{field.name: kwargs.pop(field.name) for field in fields(Bounds)})
        return command(*args, bounds=bounds, **kwargs)

    wrapped: Command = with_bounds
    for option in reversed(_BOUNDS):
        wrapped = option(wrapped)
    return wrapped
