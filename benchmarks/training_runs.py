"""What `training_ablation.py`, `side_by_side.py` and `quantization.py` share: data, network,
figures, and a file that holds every finished run, so that a stopped benchmark goes on."""

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eexit_tf.augmentation import Augmentation
from eexit_tf.backbones import Stage, Stem, residual
from eexit_tf.costs import ExitCosts
from eexit_tf.data import Dataset, Samples, load
from eexit_tf.files import write_json
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import score
from eexit_tf.threshold_grid import Scored
from eexit_tf.vocabulary import LEVELS

BATCH = 128
TAPS = ("stem", "block1", "block2", "block3")
REFERENCE_MACS = (120_000.0, 900_000.0)
BUDGETS = tuple(np.geomspace(*REFERENCE_MACS, 25).tolist())
"""Mean MACs at most; evenly spaced on the logarithmic scale of `pareto.hypervolume`."""
SHOWN = (200_000, 400_000, 600_000)
"""Budgets in the tables."""
SHIFTED = Augmentation(flip=True, shift=4)
Figures = dict[str, Any]


@dataclass(frozen=True)
class Work:
    """What every run gets.

    Attributes:
        data: all three parts; validation chooses, test reports.
        train: the samples that are trained on.
        epochs: of training in all.
    """

    data: Dataset
    train: Samples
    epochs: int

    @classmethod
    def of(cls, dataset: str, samples: int, epochs: int) -> "Work":
        data = load(dataset)
        return cls(data, data.train.draw(samples, seed=0), epochs)

    @property
    def steps(self) -> int:
        return self.epochs * -(-len(self.train.x) // BATCH)

    def backbone(self, width: int = 16) -> Any:
        """A ResNet of four maps, from 16 x 16 to 2 x 2: with a width of 16, 0.9 M MACs."""
        stages = [Stage(width), Stage(2 * width), Stage(4 * width)]
        return residual(self.data.input_shape, stem=Stem(width, stride=2), stages=stages)


class Runs:
    """Finished runs by name and seed, in a JSON file that is written after each of them.

    Args:
        path: of the file.
        settings: that all its runs have in common.
    """

    def __init__(self, path: Path, settings: Figures) -> None:
        self.path, self.settings = path, settings
        self.done: dict[str, dict[str, Figures]] = {}
        if path.exists():
            kept = json.loads(path.read_text())
            if kept["settings"] != settings:
                raise SystemExit(
                    f"{path} holds runs with {kept['settings']}, not {settings}; "
                    f"name another file with --json"
                )
            self.done = kept["runs"]

    def once(self, name: str, seed: int, run: Callable[[], Figures]) -> None:
        """Do what is not done yet."""
        if str(seed) in self.done.get(name, {}):
            return
        print(f"{name}, seed {seed}", flush=True)
        self.done.setdefault(name, {})[str(seed)] = run()
        write_json(self.path, {"settings": self.settings, "runs": self.done})

    def each(self, name: str, figure: Callable[[Figures], float]) -> list[float]:
        """A figure of every seed."""
        return [figure(run) for run in self.done[name].values()]

    def gains(self, name: str, over: str, figure: Callable[[Figures], float]) -> list[float]:
        """What a figure is more than in another method's run with the same seed, if that ran."""
        others = self.done.get(over, {})
        return [
            figure(run) - figure(others[seed])
            for seed, run in self.done[name].items()
            if seed in others
        ]


def front_figures(chosen: Iterable[Scored], test: ExitOutputs, costs: ExitCosts) -> Figures:
    """What policies that were chosen on validation samples do on test samples.

    Args:
        chosen: policies and their scores on the validation samples.

    Returns:
        `points`: for each of `BUDGETS` the budget, and the mean MACs and the accuracy on test of
        the policy that is the most accurate within it on validation; nothing where none is.
        `hypervolume`: the mean of these accuracies, 0 where there is nothing. It is
        `pareto.hypervolume` without a choice by the test samples.
    """
    by_cost = sorted(chosen, key=lambda each: (each[1].mean_macs, -each[1].correct))
    points = []
    for budget in (*BUDGETS, *SHOWN):
        within = [each for each in by_cost if each[1].mean_macs <= budget]
        if within:
            best = max(within, key=lambda each: each[1].correct)
            on_test = score(best[0], test, costs)
            points.append((budget, on_test.mean_macs, on_test.accuracy))
    volume = sum(accuracy for budget, _, accuracy in points if budget in BUDGETS) / len(BUDGETS)
    return {"hypervolume": volume, "points": points}


def ranking(outputs: ExitOutputs) -> list[float]:
    """Of each exit, how often a right answer is surer than a wrong one (area under the ROC).

    Equally sure counts one half.
    """
    areas = []
    for levels, right in zip(outputs.levels, outputs.right, strict=True):
        good = np.bincount(levels[right], minlength=LEVELS)
        bad = np.bincount(levels[~right], minlength=LEVELS)
        less_sure = np.cumsum(bad) - bad / 2
        areas.append(float(good @ less_sure / (good.sum() * bad.sum())))
    return areas


def accuracy_within(budget: float) -> Callable[[Figures], float]:
    """The figure: accuracy on test within one of the `SHOWN` budgets, not a number if none is."""
    return lambda run: next((point[2] for point in run["points"] if point[0] == budget), math.nan)


def mean_and_deviation(values: list[float]) -> str:
    """In percent, such as `61.20 ± 0.31`; of a single value no deviation is known."""
    if any(map(math.isnan, values)):
        return "none"
    mean = f"{100 * statistics.mean(values):.2f}"
    return f"{mean} ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else mean


def show(
    done: Runs,
    columns: dict[str, Callable[[Figures], float]],
    over: Mapping[str, str] | None = None,
) -> None:
    """Print a line for each method: means and deviations over its seeds.

    Args:
        columns: figures by name.
        over: of methods, which other one they are compared with; a last column is what their
            first figure is more than its.
    """
    first = next(iter(columns.values()))
    gain = ["gain"] if over else []
    print(f"{'':28}{'seeds':>6}" + "".join(f"{name:>16}" for name in [*columns, *gain]))
    for name, seeds in done.done.items():
        cells = [mean_and_deviation(done.each(name, figure)) for figure in columns.values()]
        if over and name in over and (gains := done.gains(name, over[name], first)):
            cells.append(mean_and_deviation(gains))
        print(f"{name:28}{len(seeds):6}" + "".join(f"{cell:>16}" for cell in cells))


def options(script: Path, about: str, names: Iterable[str], seeds: int) -> argparse.ArgumentParser:
    """What these benchmarks take on the command line."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--samples", type=int, default=8_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--only", nargs="+", choices=list(names), default=list(names))
    parser.add_argument("--json", type=Path, default=script.with_suffix(".json"))
    return parser


def run_all(arguments: argparse.Namespace, run: Callable[[str, int, Work], Figures]) -> Runs:
    """Every run that is not done yet: of a name, with a seed."""
    work = Work.of(arguments.dataset, arguments.samples, arguments.epochs)
    done = Runs(arguments.json, {"samples": arguments.samples, "epochs": arguments.epochs})
    for seed in range(arguments.seeds):
        for name in arguments.only:
            done.once(name, seed, lambda n=name, s=seed: run(n, s, work))
    return done
