"""`eexit-tf front`: what a search found, as a table and as a plot."""

import contextlib
import time
from pathlib import Path

import click

from eexit_tf.cli.console import out
from eexit_tf.cli.options import quiet_option, seed_option

POLL = 1.0
"""Seconds between two looks at a running search."""
STARTUP = 30.0
"""Seconds that a search may take to load TensorFlow before it works in its folder."""


@click.command(short_help="Show a search's front as a table and as a plot.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--watch", is_flag=True, help="Follow the search until it ends; Ctrl-C stops.")
@seed_option
@quiet_option
def front(directory: Path, watch: bool, seed: int, quiet: bool) -> None:
    """Show the front of the search in DIR as a table, and write it to DIR/front.png.

    A search that still runs shows the front over the trials that have finished.
    """
    from eexit_tf.fronts import SearchFront
    from eexit_tf.reports import front_plot, front_table

    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            _follow(directory)
    found = SearchFront.load(directory)
    if not quiet:
        out.print(front_table(found))
    out.print(f"plot in {front_plot(found, directory)}")


def _follow(directory: Path) -> None:
    """Show the table anew whenever it changes, until no search works in the folder.

    Where there is none yet, it may be starting.
    """
    from rich.live import Live

    from eexit_tf.fronts import FRONT, SearchFront
    from eexit_tf.locks import is_locked
    from eexit_tf.reports import front_table

    path, begun = directory / FRONT, time.monotonic()
    with Live(f"no search works in {directory} yet", console=out, transient=True) as live:
        while not path.is_file() and not is_locked(directory):
            if time.monotonic() > begun + STARTUP:
                return
            time.sleep(POLL)
        while is_locked(directory):
            found = path.is_file()
            live.update(
                front_table(SearchFront.load(directory)) if found else "no trial has finished yet"
            )
            time.sleep(POLL)
