"""One of several processes that train a search's trials, on this machine or another.

KerasTuner's own protocol is spoken. Beside it, every few seconds a worker tells the chief which
trial it trains and how far it is, and so learns whether there still is a chief.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_client import OracleClient

from eexit_tf.errors import UserError
from eexit_tf.files import write_bytes
from eexit_tf.locks import holder
from eexit_tf.tuners.failures import TrialError
from eexit_tf.tuners.tuner import FAILURE

BEAT = 2.0
"""Seconds between two signs of life."""
LOST = 40.0
"""Seconds without a sign of life after which the other side is given up."""
TUNER_HEADER = "eexit-tf-tuner"
EPOCH = "epoch"
CHANNEL = (
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_reconnect_backoff_ms", int(BEAT * 1000)),
)
Answer = TypeVar("Answer")
Address = tuple[str, int]


def set_environment(tuner_id: str, address: Address) -> None:
    """Make this process one of KerasTuner's workers."""
    host, port = address
    os.environ["KERASTUNER_TUNER_ID"] = tuner_id
    os.environ["KERASTUNER_ORACLE_IP"] = f"[{host}]" if ":" in host else host
    os.environ["KERASTUNER_ORACLE_PORT"] = str(port)


class ChiefClient(OracleClient):
    """KerasTuner's client, which lives through a restart of the chief but not without one.

    Args:
        oracle: whose attributes can be read here.
        directory: the search's folder, which all machines must share.
        check: refuses trials that the code on this machine does not know.
    """

    def __init__(self, oracle: Any, directory: Path, check: Callable[[Trial], object]) -> None:
        super().__init__(oracle)
        self._check = check
        target = ":".join(os.environ[f"KERASTUNER_ORACLE_{part}"] for part in ("IP", "PORT"))
        self._target = target
        self._directory = directory
        self.stub = protos.get_service_grpc().OracleStub(grpc.insecure_channel(target, CHANNEL))
        self._trial_id = ""
        self._epoch = 0

    def connect(self) -> None:
        """Wait for the chief, check that its folder is ours, and show signs of life from now on.

        Raises:
            UserError: there is no chief, or its folder is another one.
        """
        deadline = time.monotonic() + LOST
        while (token := self._beat()) is None:
            if time.monotonic() > deadline:
                raise UserError(
                    f"no chief answers at {self._target}; start it with --chief {self._target}"
                )
            time.sleep(BEAT / 4)
        self._wait_for(lambda: holder(self._directory).get("token") == token)
        threading.Thread(target=self._keep_beating, daemon=True).start()

    def _wait_for(self, shared: Callable[[], bool]) -> None:
        """Until something of the chief's is seen in the folder.

        Raises:
            UserError: it is not.
        """
        deadline = time.monotonic() + 5 * BEAT  # a network's file system may lag behind
        while not shared():
            if time.monotonic() > deadline:
                raise UserError(
                    f"{self._directory} on {socket.gethostname()} is not the folder in which the "
                    f"chief at {self._target} works; --output must be one folder that all "
                    f"machines share"
                )
            time.sleep(BEAT / 4)

    def epoch(self, trial_id: str, epoch: int) -> None:
        """What the next signs of life say."""
        self._trial_id, self._epoch = trial_id, epoch

    def create_trial(self, tuner_id: str) -> Trial:
        """The next trial; waits while there is none but others still train.

        Raises:
            UserError: it is not in this folder, or `check` refuses it.
        """
        while True:
            trial = _patiently(super().create_trial, tuner_id)
            if trial.status == TrialStatus.RUNNING:
                self._trial_id = trial.trial_id
                # The message has rounded its values to float32; the file has not.
                file = self._trial_directory(trial.trial_id) / "trial.json"
                self._wait_for(file.is_file)
                trial = Trial.load(str(file))
                self._check(trial)
                return trial
            if trial.status != TrialStatus.IDLE:
                return trial
            time.sleep(BEAT / 4)

    def get_trial(self, trial_id: str) -> Trial:
        return _patiently(super().get_trial, trial_id)

    def update_trial(self, trial_id: str, metrics: dict[str, float], step: int = 0) -> Trial:
        return _patiently(super().update_trial, trial_id, metrics, step)

    def end_trial(self, trial: Trial) -> None:
        _patiently(super().end_trial, trial)
        self._trial_id = ""

    def stop_search(self, message: str) -> None:
        """Tell the chief why its search cannot go on."""
        with contextlib.suppress(OSError):  # the disk may be full
            write_bytes(self._trial_directory(self._trial_id) / FAILURE, message.encode())
        self._give_back(TrialStatus.FAILED)

    def leave(self) -> None:
        """Let another worker run the trial."""
        if self._trial_id:
            self._give_back(TrialStatus.INVALID)

    def _give_back(self, status: str) -> None:
        trial = Trial(self.get_space(), self._trial_id, status)
        with contextlib.suppress(grpc.RpcError):  # how the chief answers when it stops
            super().end_trial(trial)

    def _trial_directory(self, trial_id: str) -> Path:
        return self._directory / "trials" / f"trial_{trial_id}"

    def _beat(self) -> str | None:
        """A sign of life; the chief's token if it answers."""
        request = protos.get_service().UpdateTrialRequest(
            trial_id=self._trial_id, metrics={EPOCH: self._epoch}
        )
        try:
            answer = self.stub.UpdateTrial(
                request, timeout=5 * BEAT, metadata=((TUNER_HEADER, self.tuner_id),)
            )
        except grpc.RpcError:
            return None
        token: str = answer.trial.trial_id
        return token

    def _keep_beating(self) -> None:
        heard = time.monotonic()
        while time.monotonic() < heard + LOST:
            time.sleep(BEAT)
            if self._beat() is not None:
                heard = time.monotonic()
        print(
            f"the chief at {self._target} has not answered for {LOST:.0f} s; this worker stops. "
            f"No finished trial is lost: start the chief again, then this worker",
            file=sys.stderr,
            flush=True,
        )
        os._exit(1)  # training may be anywhere; what it wrote so far is whole


def _patiently(call: Callable[..., Answer], *arguments: Any) -> Answer:
    """Call again when the chief went away under the call; `_keep_beating` ends it if for good."""
    while True:
        try:
            return call(*arguments)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            time.sleep(BEAT / 4)


def main() -> None:
    """A local worker: `python -m eexit_tf.tuners.worker DIR HOST PORT ID [--tensorboard]`."""
    from eexit_tf.data import load
    from eexit_tf.tuners.joining import work
    from eexit_tf.tuners.settings import SearchSettings

    directory, host, port, tuner_id, *flags = sys.argv[1:]
    # The chief holds the other end: if it dies, however that happens, so do its own workers.
    threading.Thread(target=_end_with_input, daemon=True).start()
    try:
        settings = SearchSettings.load(Path(directory))
        work(
            load(settings.dataset),
            Path(directory),
            settings,
            (host, int(port)),
            tuner_id=tuner_id,
            tensorboard="--tensorboard" in flags,
        )
    except (UserError, OSError) as error:
        sys.exit(f"worker {tuner_id}: {error}")
    except TrialError:
        sys.exit(1)  # the chief knows and tells


def _end_with_input() -> None:
    os.read(sys.stdin.fileno(), 1)  # `sys.stdin` would hold a lock that the interpreter's end needs
    os._exit(1)


if __name__ == "__main__":
    main()
