"""The command line: one file a verb, each calling one library function.

What is heavy to import is imported inside the verbs, so that `--help` answers at once.
"""

import os
import sys
from importlib import import_module
from io import TextIOWrapper
from typing import Any

import click

from eexit_tf.errors import UserError
from eexit_tf.interrupts import resend_lost_interrupts
from eexit_tf.version import __version__

VERBS = (
    "search",
    "front",
    "convert",
    "compile",
    "retune",
    "evaluate",
    "benchmark",
    "export",
    "demo",
)
"""In the order of the pipeline; the verb `search` is the command `search` in `cli/search.py`."""


_WRONG_PATHS = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
"""What the user can mend by another path; a full disk is not among them."""


class Pipeline(click.Group):
    """The verbs in the order of the pipeline, with errors told apart by their exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{name}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        # An empty path would be the current folder.
        if any(not arg or (arg.startswith("--") and arg.endswith("=")) for arg in args):
            raise click.UsageError("an argument is empty; is a variable of the shell not set?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UserError as error:
            raise click.UsageError(str(error)) from error
        except BrokenPipeError:
            raise
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            kind = click.UsageError if isinstance(error, _WRONG_PATHS) else click.ClickException
            raise kind(f"{where}{error.strerror or error}") from error


@click.command(cls=Pipeline, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="eexit-tf")
def cli() -> None:
    """Early-exit networks for microcontrollers.

    From labelled data and limits to one .tflite file that leaves early by itself. The verbs
    are in the order in which they are used; `eexit-tf demo` shows all of them at work.
    """


def main() -> None:
    """Entry point of the console script."""
    resend_lost_interrupts()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names of files may have what it cannot write
            stream.reconfigure(errors="backslashreplace")
    # A reader that closes the pipe early (head, less) is not an error of ours.
    try:
        cli(prog_name="eexit-tf")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
