"""Hypervolume against trials and seconds of training: our oracle against others.

    python benchmarks/oracle.py [--seeds N] [--trials N] [--only METHOD …] [--keep FOLDER]

Every search is replayed from a table of real trainings (`benchmarks/oracle_table.py` has its
recipe), so that all of them train the same networks in the same way. Needs the extra
`benchmarks`. Three ways to count a trial:

ours            one trial trains a backbone with all its exits and brings the whole front.
one policy      a genome is a backbone, a head or none at each tap and a threshold; a trial brings
                one point (accuracy, mean MACs). This is how the others work.
given fronts    the others search over backbones and are given our fronts; their objectives are
                the accuracies at three costs. What is left is the oracles' difference.
"""

import argparse
import json
import statistics
import tempfile
import warnings
from collections.abc import Callable
from math import log
from pathlib import Path
from time import process_time
from typing import Any

import keras_tuner
import numpy as np
import oracle_rivals as rivals
import oracle_table as table
import threadpoolctl
from keras_tuner.engine.trial import TrialStatus
from oracle_report import Curve, plot, report

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.files import write_json
from eexit_tf.outputs import ExitOutputs
from eexit_tf.pareto import hypervolume, pareto_front
from eexit_tf.policies import Policy, score
from eexit_tf.tuners.archive import save_front
from eexit_tf.tuners.oracle import OBJECTIVE, ParetoOracle
from eexit_tf.tuners.rungs import Climb, Points, hopeless
from eexit_tf.vocabulary import LEVELS, ExitUse, Front, OperatingPoint

REFERENCE_MACS = (2_000.0, float(table.MAX_MACS))
THRESHOLDS = tuple(1 - 0.5**k for k in np.linspace(1, 8, 15).tolist())
"""From 0.5 to 0.996, finer where networks are sure."""
TAPS = 1 + max(table.SPACE["stages"]) * max(table.SPACE["depth"])
GENOME = (
    dict(table.SPACE)
    | {f"exit{tap}": ("none", *table.HEADS) for tap in range(TAPS - 1)}
    | {"last": table.HEADS, "threshold": THRESHOLDS}
)
"""What the others search when a trial is one policy; the last tap always has an exit."""
PLOT = Path(__file__).with_suffix(".png")


class Replay:
    """Runs trials from the table and keeps count.

    Attributes:
        curve: how the search went.
    """

    def __init__(self, rows: list[table.Training]) -> None:
        self._rows = dict(zip(map(_key, table.every_point()), rows, strict=True))
        self._archive: list[tuple[float, float]] = []
        self.curve: Curve = []

    def row(self, values: dict[str, Any]) -> table.Training:
        return self._rows[_key(values)]

    def add(self, points: Any, seconds: float) -> None:
        """A trial has brought these points."""
        points = [*self._archive, *points]
        kept = pareto_front([p[1] for p in points], [p[0] for p in points])
        self._archive = [points[i] for i in kept]
        before = self.curve[-1][0] if self.curve else 0.0
        self.curve.append((before + seconds, hypervolume(self._archive, REFERENCE_MACS)))

    def one_policy(self, genome: dict[str, Any]) -> tuple[float, float]:
        """Accuracy and cheapness (from 0 at the dearest to 1) of one policy."""
        row = self.row(genome)
        macs, accuracy = policy_point(genome, row.costs, row.outputs)
        self.add([(macs, accuracy)], row.seconds[-1])
        return accuracy, cheapness(macs)

    def accuracies(self, genome: dict[str, Any]) -> tuple[float, ...]:
        """The front's best accuracies at three costs."""
        row = self.row(genome)
        self.add(row.fronts[-1], row.seconds[-1])
        low, high = REFERENCE_MACS
        costs = [low * (high / low) ** part for part in (0.25, 0.5, 0.75)]
        return tuple(max((a for m, a in row.fronts[-1] if m <= c), default=0.0) for c in costs)


def policy_point(
    genome: dict[str, Any], costs: ExitCosts, outputs: ExitOutputs
) -> tuple[float, float]:
    """(mean MACs, accuracy) of a genome's policy."""
    places = {(e.at, e.head): index for index, e in enumerate(costs.exits)}
    taps = list(dict.fromkeys(e.at for e in costs.exits))
    heads = [genome[f"exit{number}"] for number in range(len(taps) - 1)]
    chosen = [places[p] for p in zip(taps, heads, strict=False) if p in places]
    there = [head for head in table.HEADS if (taps[-1], head) in places]
    chosen.append(places[taps[-1], genome["last"] if genome["last"] in there else there[0]])
    level = round(genome["threshold"] * LEVELS)
    chosen.sort()  # of a network cut short, the last tap's only exit may come first
    policy = Policy(tuple(chosen), (*[level] * (len(chosen) - 1), 0))
    result = score(policy, outputs, costs)
    return result.mean_macs, result.accuracy


def cheapness(macs: float) -> float:
    low, high = REFERENCE_MACS
    return 1 - log(macs / low) / log(high / low)


def ours(replay: Replay, trials: int, seed: int, stop: bool = True) -> None:
    """The very oracle that `eexit-tf search` uses, stopping trainings at the same rungs."""
    oracle = ParetoOracle(
        max_trials=trials,
        bounds=Bounds(),
        reference_macs=REFERENCE_MACS,
        rejected=lambda values: False,
        costs=lambda values: replay.row(values).costs,
        seed=seed,
    )
    for name, choices in table.SPACE.items():
        oracle.hyperparameters.Choice(name, list(choices), ordered=name != "family")
    climbed: list[tuple[Climb, Points]] = []
    with tempfile.TemporaryDirectory() as directory:
        oracle._set_project_dir(directory, "trials")
        for _ in range(trials):
            trial = oracle.create_trial("tuner0")
            row = replay.row(trial.hyperparameters.values)
            climb, last = Climb({}), len(table.RUNGS) - 1
            for rung, epoch in enumerate(table.RUNGS[:-1]):
                points = row.fronts[rung]
                climb = Climb({**climb.rungs, epoch: points})
                if stop and hopeless(points, epoch, climbed, REFERENCE_MACS):
                    climb, last = Climb(climb.rungs, epoch), rung
                    break
            points = row.fronts[last]
            climbed.append((climb, points))
            trial_directory = Path(oracle._get_trial_dir(trial.trial_id))
            climb.save(trial_directory)
            save_front(trial_directory, as_front(points))
            oracle.update_trial(trial.trial_id, {OBJECTIVE: 0.0})
            trial.status = TrialStatus.COMPLETED
            oracle.end_trial(trial)
            replay.add(points, row.seconds[last])


def as_front(points: tuple[tuple[float, float], ...]) -> Front:
    use = ExitUse("stem", "grid_dense", 0.0, 1.0, 1)
    return Front(tuple(OperatingPoint("", "", a, m, 1, 1, (use,)) for m, a in points))


def random_fronts(replay: Replay, trials: int, seed: int) -> None:
    points = table.every_point()
    for index in np.random.default_rng(seed).permutation(len(points))[:trials]:
        replay.accuracies(points[index])


def one_policy(search: rivals.Search) -> Callable[[Replay, int, int], None]:
    return lambda replay, trials, seed: search(GENOME, replay.one_policy, 2, trials, seed)


def given_fronts(search: rivals.Search) -> Callable[[Replay, int, int], None]:
    return lambda replay, trials, seed: search(table.SPACE, replay.accuracies, 3, trials, seed)


METHODS: dict[str, Callable[[Replay, int, int], None]] = {
    "ours": ours,
    "ours, never stopping": lambda replay, trials, seed: ours(replay, trials, seed, stop=False),
    "Optuna NSGA-II": one_policy(rivals.optuna_search("NSGAII")),
    "Optuna TPE": one_policy(rivals.optuna_search("TPE")),
    "Optuna GP": one_policy(rivals.optuna_search("GP")),
    "KerasTuner random": one_policy(rivals.keras_tuner_search(bayesian=False)),
    "KerasTuner Bayesian": one_policy(rivals.keras_tuner_search(bayesian=True)),
    "NACHOS's loop": one_policy(rivals.nachos_search),
    "random, given fronts": random_fronts,
    "Optuna NSGA-II, given fronts": given_fronts(rivals.optuna_search("NSGAII")),
    "Optuna TPE, given fronts": given_fronts(rivals.optuna_search("TPE")),
    "Optuna GP, given fronts": given_fronts(rivals.optuna_search("GP")),
    "KerasTuner Bayesian, given fronts": given_fronts(rivals.keras_tuner_search(bayesian=True)),
}


def run(
    rows: list[table.Training], name: str, trials: int, seed: int, keep: Path | None
) -> tuple[Curve, float]:
    """One search's curve, and the processor seconds that it thought for."""
    path = keep / f"{name}-{trials}-{seed}.json" if keep else None
    if path and path.exists():
        kept = json.loads(path.read_text())
        return kept["curve"], kept["thought"]
    replay = Replay(rows)
    begin = process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        METHODS[name](replay, trials, seed)
    thought = process_time() - begin
    if path:
        write_json(path, {"curve": replay.curve, "thought": thought})
    return replay.curve, thought


def _key(values: dict[str, Any]) -> tuple:
    return tuple(values[name] for name in table.SPACE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--keep", type=Path, help="finished searches, taken from there again")
    parser.add_argument("--plot", type=Path, default=PLOT)
    arguments = parser.parse_args()
    threadpoolctl.threadpool_limits(1)
    rows = table.load()
    everything = Replay(rows)
    for row in rows:
        everything.add(row.fronts[-1], row.seconds[-1])
    curves: dict[str, list[Curve]] = {}
    thought: dict[str, float] = {}
    for name in arguments.only:
        runs = []
        for seed in range(arguments.seeds):
            print(f"{name}, seed {seed}", end=" \r", flush=True)
            runs.append(run(rows, name, arguments.trials, seed, arguments.keep))
        curves[name] = [curve for curve, _ in runs]
        thought[name] = statistics.median(seconds for _, seconds in runs)
    versions = [f"{m.__name__} {m.__version__}" for m in (keras_tuner, rivals.optuna, np)]
    print(f"{', '.join(versions)}; medians (quartiles)")
    report(curves, thought, everything.curve[-1][1])
    plot(curves, everything.curve[-1][1], arguments.plot)


if __name__ == "__main__":
    main()
