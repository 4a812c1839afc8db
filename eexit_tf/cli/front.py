"""`eexit-tf front`: what a search found, as a table and as a plot."""

from pathlib import Path

import click

from eexit_tf.cli.console import out
from eexit_tf.cli.options import quiet_option, seed_option


@click.command(short_help="Show a search's front as a table and as a plot.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@seed_option
@quiet_option
def front(directory: Path, seed: int, quiet: bool) -> None:
    """Show the front of the search in DIR as a table, and write it to DIR/front.png."""
    from eexit_tf.fronts import SearchFront
    from eexit_tf.reports import front_plot, front_table

    found = SearchFront.load(directory)
    if not quiet:
        out.print(front_table(found))
    out.print(f"plot in {front_plot(found, directory)}")
