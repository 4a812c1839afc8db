"""What to try next: a KerasTuner oracle that learns from the whole fronts of finished trials."""

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.files import write_json
from eexit_tf.pareto import hypervolume_gain, pareto_rank
from eexit_tf.tuners.archive import Archive, load_front, pairs
from eexit_tf.tuners.evolution import Values
from eexit_tf.tuners.proposals import CANDIDATES, Finished, Proposer
from eexit_tf.tuners.rungs import Climb, Points, expected_end
from eexit_tf.vocabulary import OperatingPoint

OBJECTIVE = "hypervolume"
FINISHED = (TrialStatus.COMPLETED, TrialStatus.FAILED)


class ParetoOracle(keras_tuner.Oracle):
    """Two objectives, accuracy (up) and mean MACs (down), and every trial brings a whole front.

    What is proposed is the network whose front is expected to add the most hypervolume to the
    archive; see `proposals` and `surrogate`.

    A trial's rank is the best non-dominated rank (NSGA-II, Deb et al. 2002) of its points among
    the points of all trials; between equal ranks decides what the archive's hypervolume would
    lose without it.

    What is proposed for a trial depends on the seed, the trial's number and the trials that are
    finished and running then. So with one worker a search that was interrupted goes on as if it
    had not been; with several it depends on the order in which their trials end, too.

    Args:
        max_trials: how many to run.
        bounds: points that break them rank behind those that keep them.
        reference_macs: from where to where hypervolumes count.
        rejected: tells of hyperparameter values that they cannot keep the bounds.
        costs: gives the costs of a network's candidate exits.
        canonical: gives the values that stand for all that build the same network.
        smallest: gives the cheapest networks of the space, if they are known.
        seed: of all proposals.
        candidates: networks that a proposal starts from.
    """

    def __init__(
        self,
        *,
        max_trials: int,
        bounds: Bounds,
        reference_macs: tuple[float, float],
        rejected: Callable[[Values], bool],
        costs: Callable[[Values], ExitCosts],
        canonical: Callable[[Values], Values] = dict,
        smallest: Callable[[], Iterable[Values]] = tuple,
        seed: int,
        candidates: int = CANDIDATES,
    ) -> None:
        objective = keras_tuner.Objective(OBJECTIVE, "max")
        # KerasTuner takes a seed of 0 for none.
        super().__init__(objective=objective, max_trials=max_trials, seed=seed + 1)
        self.verbose = 0
        self.bounds = bounds
        self.reference_macs = reference_macs
        self._rejected = rejected
        self._costs = costs
        self._canonical = canonical
        self._smallest = smallest
        self._candidates = candidates

    @cached_property
    def _proposer(self) -> Proposer:
        # The hyperparameters are declared after the oracle is made, and do not change then.
        return Proposer(
            self.hyperparameters.space,
            reference_macs=self.reference_macs,
            rejected=self._rejected,
            costs=self._costs,
            canonical=self._canonical,
            smallest=self._smallest,
            min_accuracy=self.bounds.min_accuracy or 0.0,
            candidates=self._candidates,
        )

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
        archive = self.archive()
        ended = self.ranking(archive)
        ended += [name for name in sorted(self.end_order) if name not in ended]  # found nothing
        expected = self._expected_ends(archive)
        finished = [Finished(self._values(name), expected.get(name, ())) for name in ended]
        running = [self._values(name) for name in sorted(self.trials) if name not in ended]
        rng = np.random.default_rng((self.seed, int(trial_id)))
        values = self._proposer.propose(rng, finished, running)
        if values is None:
            return {"status": TrialStatus.STOPPED}
        return {"status": TrialStatus.RUNNING, "values": values}

    def _expected_ends(self, archive: Archive) -> dict[str, Points]:
        """Each trial's front; of a stopped one, what it would have come to."""
        climbs = {n: Climb.load(Path(self._get_trial_dir(n))) for n in archive.fronts}
        climbed = [(climb, archive.pairs(name)) for name, climb in climbs.items()]
        return {
            name: expected_end(archive.pairs(name), climb.stopped, climbed, self.reference_macs)
            if climb.stopped is not None
            else archive.pairs(name)
            for name, climb in climbs.items()
        }

    def _values(self, trial_id: str) -> Values:
        values: Values = self.trials[trial_id].hyperparameters.values
        return values

    def score_trial(self, trial: Trial) -> None:
        """A trial's score is the hypervolume that it adds to the archive (KerasTuner calls this).

        Its metric is the hypervolume of its own front.
        """
        front = load_front(Path(self._get_trial_dir(trial.trial_id)))
        found = self.archive().front()
        trial.score = hypervolume_gain(pairs(front), pairs(found), self.reference_macs)
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

    # What KerasTuner writes in place is written atomically here, and a state that a kill left
    # between two of its files is put right.

    def save(self) -> None:
        write_json(self._get_oracle_fname(), self.get_state())

    def _save_trial(self, trial: Trial) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        for trial_id in set(self.start_order) - set(self.trials):
            raise ValueError(f"no trial.json of trial {trial_id}")
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
