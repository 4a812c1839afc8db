"""How a trial is run: one training of all exits, then the exact search over their policies."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import Trial

from eexit_tf.augmentation import UNCHANGED, Augmentation
from eexit_tf.data import Dataset
from eexit_tf.errors import UserError
from eexit_tf.files import write_bytes, write_json
from eexit_tf.keras import keras, seed_everything
from eexit_tf.network_costs import exit_costs
from eexit_tf.outputs import ExitOutputs
from eexit_tf.pareto import hypervolume
from eexit_tf.policies import policy_points
from eexit_tf.training import fit, load_weights, save_weights, scores
from eexit_tf.tuners.archive import pairs, save_front
from eexit_tf.tuners.candidates import CandidateSpace
from eexit_tf.tuners.failures import InfeasibleError, infeasible_networks
from eexit_tf.tuners.oracle import OBJECTIVE, ParetoOracle
from eexit_tf.tuners.stopping import StopHopeless
from eexit_tf.tuners.trial_policies import trial_policies
from eexit_tf.vocabulary import Front

WEIGHTS = "network.weights.h5"
OUTPUTS = "outputs.npz"
FAILURE = "failure.txt"
"""Why a trial found nothing, or its traceback if it stopped the search."""
EVENTS = "tensorboard"


class ExitTuner(keras_tuner.Tuner):
    """Trains each proposed backbone with all its candidate exits.

    A trial's folder keeps the weights, the validation outputs of every exit and the front. Its
    training depends on the search's seed, the trial's number and its values, and in the last bits
    on the processor and on the number of threads. It is stopped early if it will add nothing to
    the fronts of the trials that have ended (see `rungs`).

    Args:
        oracle: proposes the trials.
        space: builds the networks.
        directory: the search's folder; trials go to `trials` in it.
        seed: a trial's own seed comes from this one and its number.
        augmentation: of the training samples.
        tensorboard: keep the training's curves in each trial's folder.

    Attributes:
        on_epoch: called with a trial's id and the number of epochs it has trained.
        after_trial: called with a trial's id when its results are on disk.
    """

    oracle: ParetoOracle

    def __init__(
        self,
        oracle: ParetoOracle,
        space: CandidateSpace,
        directory: Path,
        *,
        seed: int,
        augmentation: Augmentation = UNCHANGED,
        tensorboard: bool = False,
    ) -> None:
        self._seed = seed
        self._augmentation = augmentation
        self.on_epoch: Callable[[str, int], object] = lambda trial_id, epoch: None
        self.after_trial: Callable[[str], object] = lambda trial_id: None
        self._tensorboard = tensorboard
        self._reference_macs = oracle.reference_macs  # a worker's oracle is a proxy without it
        super().__init__(oracle, space, directory=str(directory), project_name="trials")

    def run_trial(self, trial: Trial, data: Dataset, epochs: int) -> dict[str, float]:
        """Train, search policies, keep what was found (KerasTuner calls this).

        A network that diverges, or for which there is no memory, finds nothing.
        """
        directory = Path(self.get_trial_dir(trial.trial_id))
        (directory / FAILURE).unlink(missing_ok=True)
        try:
            with infeasible_networks():
                front = self._train(trial, data, epochs)
        except InfeasibleError as error:
            front = found_nothing(directory, str(error))
        return {OBJECTIVE: hypervolume(pairs(front), self._reference_macs)}

    def _run_and_update_trial(self, trial: Trial, *given: Any, **further: Any) -> None:
        """Any other exception stops the search: a bug must never look like a bad trial."""
        try:
            super()._run_and_update_trial(trial, *given, **further)
        except Exception as error:
            raise keras_tuner.errors.FatalError(f"trial {trial.trial_id} stopped") from error

    def _train(self, trial: Trial, data: Dataset, epochs: int) -> Front:
        bounds = self.hypermodel.bounds
        directory = Path(self.get_trial_dir(trial.trial_id))

        keras.backend.clear_session()
        seed_everything(trial_seed(self._seed, trial.trial_id))
        self.on_epoch(trial.trial_id, 0)
        net = self.hypermodel.build(trial.hyperparameters)
        stop = StopHopeless(
            net,
            data.validation,
            epochs=epochs,
            bounds=bounds.of_structure,
            min_accuracy=bounds.min_accuracy or 0.0,
            directory=directory,
            reference_macs=self._reference_macs,
        )
        callbacks = [*self._callbacks(trial.trial_id), stop]
        fit(
            self.hypermodel.to_train(net),
            data.train,
            epochs=epochs,
            learning_rate=self.hypermodel.learning_rate,
            augmentation=self._augmentation,
            callbacks=callbacks,
        )
        said = scores(net, data.validation.x)
        if not all(np.isfinite(score).all() for score in said):
            raise InfeasibleError("its outputs are not finite")
        outputs = ExitOutputs.from_scores(said, data.validation.y)
        costs = exit_costs(net)
        found = trial_policies(outputs, costs, bounds)
        front = policy_points(found, outputs, costs, trial.trial_id)
        outputs.save(directory / OUTPUTS)
        save_weights(net, directory / WEIGHTS)
        save_front(directory, front)
        return front

    def _callbacks(self, trial_id: str) -> Sequence[keras.callbacks.Callback]:
        def on_epoch_end(epoch: int, logs: Any) -> None:
            self.on_epoch(trial_id, epoch + 1)

        callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end), StopDivergence()]
        if self._tensorboard:
            events = Path(self.get_trial_dir(trial_id)) / EVENTS
            callbacks.append(keras.callbacks.TensorBoard(str(events), write_graph=False))
        return callbacks

    def load_network(self, trial_id: str) -> keras.Model:
        """A finished trial's network with its trained weights.

        Raises:
            UserError: the trial's weights are gone, or not of this network.
        """
        path = Path(self.get_trial_dir(trial_id)) / WEIGHTS
        if not path.is_file():
            raise UserError(f"the weights of trial {trial_id} are missing: {path}")
        net = self.hypermodel.network(self.oracle.get_trial(trial_id).hyperparameters.values)
        load_weights(net, path)
        return net

    def on_search_begin(self) -> None:
        # Without this a kill in the first trial would leave nothing that KerasTuner resumes.
        self.save()

    def on_trial_end(self, trial: Trial) -> None:
        super().on_trial_end(trial)
        self.after_trial(trial.trial_id)

    def save(self) -> None:
        if not self._is_worker():  # the state is the chief's
            self.oracle.save()
            write_json(self._get_tuner_fname(), self.get_state())

    def _populate_initial_space(self) -> None:
        # KerasTuner would build a network to discover the hyperparameters; they are known.
        hp = self.oracle.get_space()
        self.hypermodel.declare_hyperparameters(hp)
        self.oracle.update_space(hp)


class StopDivergence(keras.callbacks.Callback):
    """Ends a training whose loss is no number any more, which nothing can mend.

    Raises:
        InfeasibleError: after the first such step.
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not np.isfinite(logs["loss"]):
            raise InfeasibleError(
                f"diverged: its loss became {logs['loss']} in epoch {self._epoch + 1}"
            )


def found_nothing(directory: Path, reason: str) -> Front:
    """Keep in a trial's folder that it found nothing, and why."""
    write_bytes(directory / FAILURE, f"{reason}\n".encode())
    save_front(directory, Front(()))
    return Front(())


def failure(directory: Path) -> str:
    """Why a trial found nothing or stopped the search; empty if neither."""
    path = directory / FAILURE
    return path.read_text("utf-8").strip() if path.is_file() else ""


def trial_seed(seed: int, trial_id: str) -> int:
    """A trial's own seed, the same on every machine and in every process."""
    digest = hashlib.sha256(f"{seed}/{int(trial_id)}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
