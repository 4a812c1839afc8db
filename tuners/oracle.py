"""What to try next: an evolutionary KerasTuner oracle that ranks trials by their whole fronts."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from eexit_tf.files import write_json
from eexit_tf.pareto import hypervolume, pareto_rank
from eexit_tf.tuners.archive import Archive, load_front
from eexit_tf.vocabulary import Bounds, OperatingPoint

OBJECTIVE = "hypervolume"
RANDOM_TRIALS = 4
"""Trials that are drawn at random before evolution starts."""
RANDOM_PART = 0.2
"""Part of the later trials that still are."""
MOST_PROPOSALS = 50
"""Proposals in a row that were tried before or break a bound, after which the whole space is
gone through."""
FINISHED = (TrialStatus.COMPLETED, TrialStatus.FAILED)


class ParetoOracle(keras_tuner.Oracle):
    """Evolution over backbones by Pareto rank in accuracy (up) and mean MACs (down).

    A trial brings a whole front. Its rank is the best non-dominated rank (NSGA-II, Deb et al.
    2002) of its points among the points of all trials; between equal ranks decides what the
    archive's hypervolume would lose without it.

    What is proposed for a trial depends on the seed, the trial's number and the finished trials
    alone, so that a search that was interrupted goes on as if it had not been.

    Args:
        max_trials: how many to run.
        bounds: points that break them rank behind those that keep them.
        reference_macs: from where to where hypervolumes count.
        rejected: tells of hyperparameter values that they cannot keep the bounds.
        seed: of all proposals.
    """

    def __init__(
        self,
        *,
        max_trials: int,
        bounds: Bounds,
        reference_macs: tuple[float, float],
        rejected: Callable[[dict[str, Any]], bool],
        seed: int,
    ) -> None:
        objective = keras_tuner.Objective(OBJECTIVE, "max")
        # KerasTuner takes a seed of 0 for none.
        super().__init__(objective=objective, max_trials=max_trials, seed=seed + 1)
        self.verbose = 0
        self.bounds = bounds
        self.reference_macs = reference_macs
        self._rejected = rejected
        self._rejections: dict[tuple[Any, ...], bool] = {}

    def archive(self) -> Archive:
        """The fronts of the finished trials, read from their folders."""
        fronts = {
            trial_id: load_front(Path(self._get_trial_dir(trial_id)))
            for trial_id in sorted(self.end_order)
            if self.trials[trial_id].status == TrialStatus.COMPLETED
        }
        return Archive(fronts, self.reference_macs)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Propose the values of a trial (KerasTuner calls this)."""
        rng = np.random.default_rng((self.seed, int(trial_id)))
        archive = self.archive()
        evolve = int(trial_id) >= RANDOM_TRIALS and rng.random() >= RANDOM_PART
        ranking = self.ranking(archive) if evolve else []
        for values in itertools.chain(self._proposals(rng, ranking), self._all(rng)):
            if not self._tried(values) and not self._known_rejected(values):
                return {"status": TrialStatus.RUNNING, "values": values}
        return {"status": TrialStatus.STOPPED}

    def score_trial(self, trial: Trial) -> None:
        """A trial is scored with its own front's hypervolume (KerasTuner calls this)."""
        front = load_front(Path(self._get_trial_dir(trial.trial_id)))
        points = [(p.mean_macs, p.val_accuracy) for p in front]
        trial.score = hypervolume(points, self.reference_macs)
        trial.best_step = 0  # the only one there is: a trial reports once

    def ranking(self, archive: Archive) -> list[str]:
        """Finished trials, the best first."""
        owners = [name for name, front in archive.fronts.items() for _ in front]
        points = [point for front in archive.fronts.values() for point in front]
        ranks = pareto_rank(
            [point.val_accuracy for point in points],
            [point.mean_macs for point in points],
            [violation(point, self.bounds) for point in points],
        )
        best: dict[str, int] = {}
        for owner, rank in zip(owners, ranks.tolist(), strict=True):
            best[owner] = min(rank, best.get(owner, rank))
        return sorted(best, key=lambda name: (best[name], -archive.gain(name), name))

    def _proposals(self, rng: np.random.Generator, ranking: list[str]) -> Iterator[dict[str, Any]]:
        for _ in range(MOST_PROPOSALS):
            yield self._child(rng, ranking) if len(ranking) > 1 else self._random(rng)

    def _all(self, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Every point of the space, in random order."""
        space = self.hyperparameters.space
        every = list(itertools.product(*(p.values for p in space)))
        for index in rng.permutation(len(every)):
            yield dict(zip([p.name for p in space], every[index], strict=True))

    def _random(self, rng: np.random.Generator) -> dict[str, Any]:
        return {p.name: p.values[rng.integers(len(p.values))] for p in self.hyperparameters.space}

    def _child(self, rng: np.random.Generator, ranking: list[str]) -> dict[str, Any]:
        """Uniform crossover of two parents, each the better of two, and one to two mutations."""
        first, second = (
            self.trials[ranking[min(rng.integers(len(ranking), size=2))]].hyperparameters.values
            for _ in range(2)
        )
        space = self.hyperparameters.space
        child = {p.name: (first, second)[rng.integers(2)][p.name] for p in space}
        for position in rng.choice(len(space), size=rng.integers(1, 3), replace=False):
            parameter = space[position]
            values = list(parameter.values)
            here = values.index(child[parameter.name])
            if parameter.ordered:
                there = int(np.clip(here + rng.choice([-1, 1]), 0, len(values) - 1))
            else:
                there = int(rng.integers(len(values)))
            child[parameter.name] = values[there]
        return child

    def _known_rejected(self, values: dict[str, Any]) -> bool:
        """Building a network to count its cost takes half a second: once for each is enough."""
        key = tuple(sorted(values.items()))
        if key not in self._rejections:
            self._rejections[key] = self._rejected(values)
        return self._rejections[key]

    def _tried(self, values: dict[str, Any]) -> bool:
        return any(trial.hyperparameters.values == values for trial in self.trials.values())

    # What KerasTuner writes in place is written atomically here, and a state that a kill left
    # between two of its files is put right.

    def save(self) -> None:
        write_json(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial: Trial) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        for trial_id in set(self.trials) - set(self.start_order):
            del self.trials[trial_id]  # killed before the oracle knew of it: proposed again
        for tuner_id, trial in list(self.ongoing_trials.items()):
            if trial.status in FINISHED:
                del self.ongoing_trials[tuner_id]
                if trial.trial_id not in self.end_order:
                    self.end_order.append(trial.trial_id)


def violation(point: OperatingPoint, bounds: Bounds) -> float:
    """By how much a point breaks the bounds on mean MACs and accuracy, relative to them.

    The other bounds are known before training and never broken.
    """
    broken = 0.0
    if bounds.max_mean_macs is not None:
        broken += max(0.0, point.mean_macs / bounds.max_mean_macs - 1)
    if bounds.min_accuracy:
        broken += max(0.0, 1 - point.val_accuracy / bounds.min_accuracy)
    return broken
