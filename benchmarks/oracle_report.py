"""What the searches of `oracle.py` came to: the table and the plot."""

import statistics
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

Curve = list[tuple[float, float]]
"""(seconds of training, hypervolume), after each trial."""
ONE_POLICY, GIVEN = "one policy a trial", "given our fronts"
"""The ways in which the others' trials count; neither is that of our own."""


def medians(curves: list[Curve], column: int) -> list[float]:
    return [statistics.median(curve[n][column] for curve in curves) for n in range(len(curves[0]))]


def first_to_reach(curve: list[float], value: float) -> int | None:
    return next((n + 1 for n, v in enumerate(curve) if v >= value), None)


def way(name: str) -> str | None:
    """How a method's trials count, by its name."""
    return None if "ours" in name else GIVEN if "given" in name else ONE_POLICY


def report(curves: dict[str, list[Curve]], thought: dict[str, float], best: float) -> None:
    trials = len(next(iter(curves.values()))[0])
    marks = sorted({trials // 6, trials // 3, trials // 2, trials})
    print(f"{'hypervolume after … trials':36}" + "".join(f"{n:>24}" for n in marks), end="")
    print(f"{'training s':>12}{'thinking s':>12}{'seeds':>7}")
    for name, runs in curves.items():
        cells = []
        for n in marks:
            low, middle, high = np.percentile([r[n - 1][1] for r in runs], (25, 50, 75))
            cells.append(f"{middle:.4f} ({low:.4f}-{high:.4f})")
        seconds = statistics.median(r[-1][0] for r in runs)
        print(f"{name:36}" + "".join(f"{c:>24}" for c in cells), end="")
        print(f"{seconds:12.0f}{thought[name]:12.1f}{len(runs):7}")
    print(f"{'the whole table':36}{best:>24.4f}")
    if "ours" not in curves:
        return
    mine, seconds = medians(curves["ours"], 1), medians(curves["ours"], 0)
    for title in (ONE_POLICY, GIVEN):
        known = [name for name in curves if way(name) == title]
        if not known:
            continue
        other = max(known, key=lambda name: medians(curves[name], 1)[-1])
        goal = medians(curves[other], 1)[-1]
        needed = first_to_reach(mine, goal)
        theirs = medians(curves[other], 0)[-1]
        if needed is None:
            print(f"{title}: ours does not reach {other}'s {goal:.4f} within {trials} trials")
        else:
            print(
                f"{title}: the best, {other}, has {goal:.4f} after {trials} trials and "
                f"{theirs:.0f} s; ours after {needed} and {seconds[needed - 1]:.0f} s"
            )


def plot(curves: dict[str, list[Curve]], best: float, path: Path) -> None:
    """Medians and quartiles, against trials and against seconds."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True, layout="constrained")
    colours = {counted: iter(plt.get_cmap("tab10").colors) for counted in (ONE_POLICY, GIVEN)}
    for name, runs in curves.items():
        given, mine = way(name) == GIVEN, way(name) is None
        colour = "black" if mine else next(colours[way(name)])
        style: dict[str, Any] = {
            "color": colour,
            "linestyle": ":" if given else "--" if mine and name != "ours" else "-",
            "linewidth": 2.2 if mine else 1.2,
        }
        volumes = np.array([[v for _, v in r] for r in runs])
        low, middle, high = np.percentile(volumes, (25, 50, 75), axis=0)
        number = np.arange(1, len(middle) + 1)
        axes[0].plot(number, middle, label=name, **style)
        axes[1].plot(medians(runs, 0), middle, **style)
        if not given:
            axes[0].fill_between(number, low, high, color=colour, alpha=0.15, linewidth=0)
    for axis, label in zip(axes, ("trials", "seconds of training (one core)"), strict=True):
        axis.axhline(best, color="grey", linewidth=0.8, linestyle="--")
        axis.set_xlabel(label)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("hypervolume")
    bottom = np.percentile([r[2][1] for runs in curves.values() for r in runs], 5)
    axes[0].set_ylim(bottom, best + 0.1 * (best - bottom))
    axes[0].legend(fontsize=7, loc="lower right")
    figure.savefig(path, dpi=90)
