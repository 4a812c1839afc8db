"""The process that owns a search's oracle and hands its trials to workers.

KerasTuner's service is served as it is; what is ours is the loop around it. KerasTuner's own one
looks every 20 seconds whether all is done, shares its port with a second chief, waits for ever
for a worker that was killed, and after an exception in the oracle stands still.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from eexit_tf.errors import UserError
from eexit_tf.tuners.failures import TrialError
from eexit_tf.tuners.oracle import FINISHED, OBJECTIVE, ParetoOracle
from eexit_tf.tuners.progress import SearchProgress
from eexit_tf.tuners.tuner import failure, found_nothing
from eexit_tf.tuners.worker import BEAT, EPOCH, LOST, TUNER_HEADER, Address

MOST_DEATHS = 2
"""Workers that may die in one trial; with the last of them it counts as infeasible."""


class Chief(OracleServicer):
    """KerasTuner's service, which also knows who is alive and stops at the first error.

    Args:
        oracle: decides.
        progress: told about epochs.
        after_trial: called with a trial's id when it has ended.
        token: says in answer to a sign of life which search this is.
    """

    def __init__(
        self,
        oracle: ParetoOracle,
        progress: SearchProgress,
        after_trial: Callable[[str], object],
        token: str,
    ) -> None:
        super().__init__(oracle)
        self._progress = progress
        self._after_trial = after_trial
        self._token = token
        self._lock = threading.Lock()
        self._error: BaseException | None = None
        self._seen: dict[str, float] = {}
        self._deaths: dict[str, int] = {}
        # Workers that outlived an earlier chief are heard before their trials are given away.
        self._grace = time.monotonic() + (3 * BEAT if oracle._retry_queue else 0)
        self._dismissed: set[str] = set()

    # KerasTuner's messages

    def CreateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._exclusively(context):
            self._seen[request.tuner_id] = time.monotonic()
            if time.monotonic() < self._grace:
                return _answer(Trial(self.oracle.get_space(), "", TrialStatus.IDLE))
            trial = self.oracle.create_trial(request.tuner_id)
            if trial.status == TrialStatus.STOPPED:
                if self.oracle.ongoing_trials:  # one of them may have to be run again
                    return _answer(Trial(trial.hyperparameters, "", TrialStatus.IDLE))
                self.stop_triggered = True
                self._dismissed.add(request.tuner_id)
                self._seen.pop(request.tuner_id)
            return _answer(trial)

    def UpdateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        sender = dict(context.invocation_metadata()).get(TUNER_HEADER)
        if sender is None:
            with self._exclusively(context):
                return super().UpdateTrial(request, context)
        # A sign of life; it does not wait for the oracle, which may be thinking.
        if sender not in self._dismissed:
            self._seen[sender] = time.monotonic()
        if request.trial_id in self.oracle._retry_queue:
            self._adopt(sender, request.trial_id, context)
        elif request.trial_id in self.oracle.trials:
            self._progress.epoch(request.trial_id, round(request.metrics[EPOCH]))
        token = Trial(self.oracle.get_space(), self._token)
        return protos.get_service().UpdateTrialResponse(trial=token.to_proto())

    def EndTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        ended = Trial.from_proto(request.trial)
        if ended.trial_id not in self.oracle.trials:  # of a search that was here before
            context.abort(grpc.StatusCode.ABORTED, "unknown trial")
        with self._exclusively(context):
            trial = self.oracle.get_trial(ended.trial_id)
            if ended.status == TrialStatus.COMPLETED:
                self._end(trial)
            elif ended.status == TrialStatus.INVALID:
                self._abandon(trial)
            else:
                directory = Path(self.oracle._get_trial_dir(trial.trial_id))
                raise TrialError(failure(directory) or f"trial {trial.trial_id} stopped")
        return protos.get_service().EndTrialResponse()

    # What the loop around asks

    def check(self) -> bool:
        """Give up who is silent; whether all is done.

        Raises:
            Exception: what stopped the search, be it here or on a worker.
        """
        if self._error is not None:
            raise self._error
        for tuner_id, seen in list(self._seen.items()):
            if time.monotonic() > seen + LOST:
                self.bury(tuner_id, "was lost")
        return self.stop_triggered and not self._seen

    def bury(self, tuner_id: str, how: str) -> bool:
        """A worker is dead: its trial is run again, but not for ever.

        Returns:
            Whether it died in a trial.
        """
        with self._exclusively():
            self._seen.pop(tuner_id, None)
            self.oracle.tuner_ids.discard(tuner_id)
            trial = self.oracle.ongoing_trials.get(tuner_id)
            if trial is None:
                return False
            deaths = self._deaths.get(trial.trial_id, 0) + 1
            self._deaths[trial.trial_id] = deaths
            if deaths < MOST_DEATHS:
                self._abandon(trial)
                return True
            directory = Path(self.oracle._get_trial_dir(trial.trial_id))
            found_nothing(directory, f"its worker {how}, {deaths} times")
            self.oracle.update_trial(trial.trial_id, {OBJECTIVE: 0.0})
            self._end(trial)
            return True

    def finished(self) -> bool:
        """Whether there is nothing to do from the start."""
        oracle = self.oracle
        return oracle.remaining_trials() <= 0 and not oracle._retry_queue

    def _end(self, trial: Trial) -> None:
        if trial.status in FINISHED:
            return  # said twice: the chief died between hearing it and answering, or two ran it
        trial.status = TrialStatus.COMPLETED
        self.oracle.end_trial(trial)  # with the oracle's own, exact hyperparameters
        if trial.trial_id in self.oracle._retry_queue:
            self.oracle._retry_queue.remove(trial.trial_id)
        self._after_trial(trial.trial_id)

    def _abandon(self, trial: Trial) -> None:
        """Let the next worker that asks run a trial."""
        for tuner_id, ongoing in list(self.oracle.ongoing_trials.items()):
            if ongoing is trial:
                del self.oracle.ongoing_trials[tuner_id]
                self.oracle._retry_queue.append(trial.trial_id)
        self.oracle.save()

    def _adopt(self, tuner_id: str, trial_id: str, context: Any) -> None:
        """Leave a trial with the worker that has trained it all along."""
        with self._exclusively(context):
            if trial_id in self.oracle._retry_queue and tuner_id not in self.oracle.ongoing_trials:
                self.oracle._retry_queue.remove(trial_id)
                self.oracle.ongoing_trials[tuner_id] = self.oracle.get_trial(trial_id)
                self.oracle.tuner_ids.add(tuner_id)

    @contextlib.contextmanager
    def _exclusively(self, context: Any = None) -> Iterator[None]:
        """One at a time, and none after an error: KerasTuner's own lock would be held for ever."""
        with self._lock:
            if self._error is None:
                try:
                    yield
                    return
                except Exception as error:
                    self._error = error
        if context is None:
            raise self._error
        context.abort(grpc.StatusCode.ABORTED, "the search has stopped")


def _answer(trial: Trial) -> Any:
    return protos.get_service().CreateTrialResponse(trial=trial.to_proto())


@contextlib.contextmanager
def served(chief: Chief, address: Address) -> Iterator[Address]:
    """Serve while the context lasts.

    Args:
        chief: what is served.
        address: where; port 0 takes a free one.

    Yields:
        Where it is served.

    Raises:
        UserError: nothing can be served there.
    """
    host, port = address
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)]
    )
    protos.get_service_grpc().add_OracleServicer_to_server(chief, server)
    try:
        bound = server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    except RuntimeError as error:
        raise UserError(
            f"cannot listen at {host}:{port}; give an address of this machine and a free port"
        ) from error
    server.start()
    try:
        yield host, bound
    finally:
        server.stop(grace=BEAT / 4).wait()
