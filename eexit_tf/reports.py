"""What people look at: tables for the terminal and the plot of a front."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from eexit_tf.fronts import SearchFront
from eexit_tf.vocabulary import OperatingPoint, counted

if TYPE_CHECKING:
    from eexit_tf.tflite.evaluation import Evaluation

PLOT = "front.png"
MOST_ROWS = 16


def front_table(found: SearchFront) -> Table:
    """The front's points; of a long front the ends, the knee and points evenly between."""
    points = found.front.points
    knee = found.front.knee() if points else None
    shown = _spread(points, knee)
    left_out = len(points) - len(shown)
    caption = "* knee" if points else "nothing keeps the bounds of the search"
    if left_out:
        caption += f"; {left_out} points between are in front.json"
    if found.front.gap:
        caption += f"; the search may have missed up to {found.front.gap:.2%} of accuracy"
    table = Table(
        title=f"front on {found.dataset}: {counted(len(points), 'point')} of "
        f"{counted(found.trials, 'trial')}, "
        f"hypervolume {found.hypervolume:.4f}",
        caption=caption,
        title_justify="left",
        caption_justify="left",
    )
    for name in ("id", "accuracy", "mean\nMACs", "worst\nMACs", "flash\n≈ kB", "arena\n≈ kB"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("exits", justify="right")
    table.add_column("leave at", overflow="fold")
    for point in shown:
        table.add_row(
            f"{'* ' if point is knee else ''}{point.id}",
            f"{point.val_accuracy:.2%}",
            f"{point.mean_macs:,.0f}",
            f"{point.max_macs:,}",
            _kilobytes(point.flash_bytes),
            _kilobytes(point.arena_bytes),
            str(len(point.exits)),
            _shares_by_tap(point),
        )
    return table


def _kilobytes(count: int | None) -> str:
    return "-" if count is None else f"{count / 1000:,.1f}"


def _shares_by_tap(point: OperatingPoint) -> str:
    """Where samples leave; several heads at one tap count together."""
    shares: dict[str, float] = {}
    for use in point.exits:
        shares[use.at] = shares.get(use.at, 0.0) + use.share
    return ", ".join(f"{tap} {share:.0%}" for tap, share in shares.items())


def _spread(
    points: tuple[OperatingPoint, ...], knee: OperatingPoint | None
) -> list[OperatingPoint]:
    if len(points) <= MOST_ROWS:
        return list(points)
    step = (len(points) - 1) / (MOST_ROWS - 1)
    rows = {round(step * row) for row in range(MOST_ROWS)}
    return [point for row, point in enumerate(points) if row in rows or point is knee]


def front_plot(found: SearchFront, directory: Path) -> Path:
    """Write the front to `front.png` in a folder: accuracy against mean MACs."""
    import io

    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, PercentFormatter

    from eexit_tf.files import write_bytes

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    points = found.front.points
    macs = [point.mean_macs for point in points]
    accuracy = [point.val_accuracy for point in points]
    axes.step(macs, accuracy, where="post", color="tab:blue", linewidth=1, alpha=0.6)
    trials = sorted({point.trial for point in points})
    for trial in trials:
        mine = [point for point in points if point.trial == trial]
        axes.scatter(
            [point.mean_macs for point in mine],
            [point.val_accuracy for point in mine],
            s=18,
            label=f"trial {trial}",
            zorder=3,
        )
    if points:
        knee = found.front.knee()
        # Left above and right below it nothing is drawn; take the side with more room.
        middle = (points[0].mean_macs * points[-1].mean_macs) ** 0.5
        side, at = ("right", (-18, 6)) if knee.mean_macs > middle else ("left", (18, -14))
        axes.annotate(
            f"knee: {knee.val_accuracy:.1%}, {counted(len(knee.exits), 'exit')}",
            (knee.mean_macs, knee.val_accuracy),
            xytext=at,
            textcoords="offset points",
            horizontalalignment=side,
            arrowprops={"arrowstyle": "->", "color": "gray"},
        )
        axes.legend(loc="lower right", frameon=False)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.xaxis.set_minor_formatter(EngFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("mean MACs a sample, executed heads charged")
    axes.set_ylabel("validation accuracy")
    axes.set_title(f"{found.dataset}: front over {found.trials} trials")
    axes.grid(alpha=0.25, which="both")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    return write_bytes(directory / PLOT, content.getvalue())


def evaluation_table(result: "Evaluation", title: str) -> Table:
    """What a file does, exit by exit, and its last exit alone."""
    table = Table(
        title=f"{title}, {result.samples} samples, {result.runtime}", title_justify="left"
    )
    for name in ("", "share", "accuracy", "MACs"):
        table.add_column(name, justify="right" if name else "left")
    for number, exit_ in enumerate(result.exits, start=1):
        accuracy = "-" if exit_.accuracy is None else f"{exit_.accuracy:.2%}"
        table.add_row(f"exit {number}", f"{exit_.share:.1%}", accuracy, f"{exit_.macs:,}")
    table.add_section()
    mean = f"{result.mean_macs:,.0f}"
    table.add_row("all, leaving early", "100%", f"{result.accuracy:.2%}", mean)
    static = result.static
    table.add_row("last exit alone", "100%", f"{static.accuracy:.2%}", f"{static.macs:,}")
    return table


def summary_table(card: Mapping[str, Any], evaluations: Mapping[str, Mapping[str, Any]]) -> Table:
    """The demo's last word: the chosen network beside its own last exit alone.

    Args:
        card: of the compiled network (`M.json`).
        evaluations: by runtime, as `evaluate --json` writes them.
    """
    table = Table(
        title="test data, measured through the compiled file",
        caption=f"{card['flash_bytes']:,} bytes of flash, {card['arena_bytes']:,} bytes of arena",
        title_justify="left",
        caption_justify="left",
    )
    for name in ("network", "runtime", "accuracy", "mean MACs", "share per exit"):
        table.add_column(name, justify="left" if name in ("network", "runtime") else "right")
    for runtime, result in evaluations.items():
        static = result["static"]
        shares = " / ".join(f"{exit_['share']:.1%}" for exit_ in result["exits"])
        part = result["mean_macs"] / static["macs"]
        accuracy, macs = f"{result['accuracy']:.2%}", f"{result['mean_macs']:,.0f} ({part:.0%})"
        table.add_row("leaving early", runtime, accuracy, macs, shares)
        accuracy, macs = f"{static['accuracy']:.2%}", f"{static['macs']:,} (100%)"
        table.add_row("last exit alone", runtime, accuracy, macs, "100%")
    return table
