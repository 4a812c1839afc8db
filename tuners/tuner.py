"""How a trial is run: one training of all exits, then the exact search over their policies."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from eexit_tf.data import Dataset
from eexit_tf.errors import UserError
from eexit_tf.files import write_json
from eexit_tf.keras import keras, seed_everything
from eexit_tf.network_costs import exit_costs
from eexit_tf.outputs import ExitOutputs
from eexit_tf.pareto import hypervolume
from eexit_tf.policies import policy_points, search_policies
from eexit_tf.reporter import Reporter
from eexit_tf.training import fit, report_epochs, scores
from eexit_tf.tuners.archive import save_front
from eexit_tf.tuners.oracle import OBJECTIVE, ParetoOracle
from eexit_tf.tuners.space import ExitSpace
from eexit_tf.vocabulary import Bounds, Front

TOLERANCE = 0.001
"""Accuracy that the policy search may miss; nothing at all with fewer than 1,000 samples."""
WEIGHTS = "network.weights.h5"
OUTPUTS = "outputs.npz"


class ExitTuner(keras_tuner.Tuner):
    """Trains each proposed backbone with all its candidate exits.

    A trial's folder keeps the weights, the validation outputs of every exit and the front.

    Args:
        oracle: proposes the trials.
        space: builds the networks.
        directory: the search's folder; trials go to `trials` in it.
        seed: a trial's own seed comes from this one and its number.
        after_trial: called when a trial's results are on disk.
        reporter: told about every epoch and every trial.
    """

    oracle: ParetoOracle

    def __init__(
        self,
        oracle: ParetoOracle,
        space: ExitSpace,
        directory: Path,
        *,
        seed: int,
        after_trial: Callable[["ExitTuner"], object],
        reporter: Reporter,
    ) -> None:
        self._seed = seed
        self._after_trial = after_trial
        self._reporter = reporter
        super().__init__(oracle, space, directory=str(directory), project_name="trials")

    def run_trial(self, trial: Trial, data: Dataset, epochs: int) -> dict[str, float]:
        """Train, search policies, keep what was found (KerasTuner calls this).

        Any exception stops the search: a bug must never look like a bad trial.
        """
        try:
            front = self._train(trial, data, epochs)
        except Exception as error:
            raise keras_tuner.errors.FatalError(f"trial {trial.trial_id} stopped") from error
        points = [(p.mean_macs, p.val_accuracy) for p in front]
        return {OBJECTIVE: hypervolume(points, self.oracle.reference_macs)}

    def _train(self, trial: Trial, data: Dataset, epochs: int) -> Front:
        number = int(trial.trial_id)
        total = (self.oracle.max_trials or 0) * epochs
        bounds = self.hypermodel.bounds
        values = trial.hyperparameters.values
        what = f"trial {number + 1} of {self.oracle.max_trials}: {describe(values)}"
        report = self._reporter

        keras.backend.clear_session()
        seed_everything(trial_seed(self._seed, trial.trial_id))
        net = self.hypermodel.build(trial.hyperparameters)
        progress = report_epochs(report, what, epochs, before=number * epochs, total=total)
        fit(net, data.train, epochs=epochs, callbacks=[progress])

        directory = Path(self.get_trial_dir(trial.trial_id))
        said = scores(net, data.validation.x)
        if not all(np.isfinite(score).all() for score in said):
            front = Front(())  # the training diverged
            report.say(f"{what}: diverged")
        else:
            outputs = ExitOutputs.from_scores(said, data.validation.y)
            costs = exit_costs(net)
            found = search_policies(outputs, costs, known_before_training(bounds), TOLERANCE)
            front = policy_points(found, outputs, costs, trial.trial_id)
            outputs.save(directory / OUTPUTS)
            net.save_weights(directory / WEIGHTS)
            report.say(f"{what}: {_result(front.within(bounds))}")
        save_front(directory, front)
        return front

    def load_network(self, trial_id: str) -> keras.Model:
        """A finished trial's network with its trained weights.

        Raises:
            UserError: the trial's weights are gone.
        """
        path = Path(self.get_trial_dir(trial_id)) / WEIGHTS
        if not path.is_file():
            raise UserError(f"the weights of trial {trial_id} are missing: {path}")
        net = self.hypermodel.network(self.oracle.get_trial(trial_id).hyperparameters.values)
        net.load_weights(path)
        return net

    def on_search_begin(self) -> None:
        # Without this a kill in the first trial would leave nothing that KerasTuner resumes.
        self.save()

    def on_trial_end(self, trial: Trial) -> None:
        super().on_trial_end(trial)
        self._after_trial(self)

    def save(self) -> None:
        self.oracle.save()
        write_json(self._get_tuner_fname(), self.get_state())

    def _populate_initial_space(self) -> None:
        # KerasTuner would build a network to discover the hyperparameters; they are known.
        hp = self.oracle.get_space()
        self.hypermodel.declare_hyperparameters(hp)
        self.oracle.update_space(hp)


def known_before_training(bounds: Bounds) -> Bounds:
    """The bounds that a policy's structure alone decides.

    A trial's front leaves the others out, so that points just beyond them guide the search.
    """
    return Bounds(max_macs=bounds.max_macs, max_params=bounds.max_params)


def trial_seed(seed: int, trial_id: str) -> int:
    """A trial's own seed, the same on every machine and in every process."""
    digest = hashlib.sha256(f"{seed}/{int(trial_id)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def describe(values: dict[str, Any]) -> str:
    """Hyperparameter values in a few words."""
    family = values["family"]
    return " ".join([family, *(f"{k} {v}" for k, v in values.items() if k != "family")])


def _result(front: Front) -> str:
    if not front.points:
        return "nothing within the bounds"
    first, last = front.points[0], front.points[-1]
    return (
        f"{first.val_accuracy:.1%} at {first.mean_macs:,.0f} to "
        f"{last.val_accuracy:.1%} at {last.mean_macs:,.0f} mean MACs"
    )
