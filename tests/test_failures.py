"""Trials that fail, and a dead chief, in this process."""

import json
import queue
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from keras_tuner import HyperParameters
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src.distribute.oracle_client import OracleClient
from lines import Lines

from eexit_tf.bounds import Bounds
from eexit_tf.cli import cli
from eexit_tf.data import Dataset, load
from eexit_tf.errors import UserError
from eexit_tf.keras import keras, tf
from eexit_tf.locks import locked
from eexit_tf.tuners import tuner, worker
from eexit_tf.tuners.archive import load_front
from eexit_tf.tuners.chief import Chief, served
from eexit_tf.tuners.progress import SearchProgress
from eexit_tf.tuners.search import _write_front, make_tuner, search
from eexit_tf.tuners.settings import SearchSettings
from eexit_tf.tuners.space import ExitSpace
from eexit_tf.tuners.worker import Address, ChiefClient

LIMITS: dict[str, Any] = {"bounds": Bounds(max_macs=60_000), "epochs": 1, "seed": 3}


@pytest.fixture(scope="module")
def digits(some_digits: Path) -> Dataset:
    return load(str(some_digits))


def test_trials_that_diverge_or_run_out_of_memory_find_nothing_and_the_search_goes_on(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []
    really_fit = tuner.fit

    def fit(net: Any, train: Any, **further: Any) -> Any:
        begun.append(net)
        if len(begun) == 1:
            tf.zeros([2**45])  # more than there is
        if len(begun) == 2:
            np.empty(2**50)
        # A huge one diverges on some processors only.
        return really_fit(net, train, optimizer=keras.optimizers.legacy.SGD(np.nan), **further)

    monkeypatch.setattr(tuner, "fit", fit)
    lines = Lines()
    with pytest.raises(UserError, match="none of 3 trials learnt anything"):
        search(digits, tmp_path, max_trials=3, reporter=lines, **LIMITS)
    assert "out of memory: " in lines.said[0]
    assert "OOM when allocating tensor" in lines.said[0]
    assert "out of memory: Unable to allocate" in lines.said[1]
    assert "diverged: its loss became nan in epoch 1" in lines.said[2]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--chief", "nowhere"], "'nowhere' is not HOST:PORT, such as"),
        (["--join", "here:70000"], "'here:70000' is not HOST:PORT, such as"),
        (["--join", "here:7000", "--workers", "2"], "--join goes without --workers"),
    ],
)
def test_addresses_are_checked_before_the_data_is_read(options: list[str], said: str) -> None:
    run = CliRunner().invoke(cli, ["search", "--dataset", "no", "--output", "no", *options])
    assert (run.exit_code, said in run.output) == (2, True), run.output


def test_other_ways_to_distribute_are_told_apart(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    with pytest.raises(UserError, match="KERASTUNER_ORACLE_IP is set; unset it, and use --chief"):
        search(digits, tmp_path, max_trials=1, **LIMITS)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Address:
    """One at which nobody listens, where a worker looks for its chief for only a moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = ("127.0.0.1", int(free.getsockname()[1]))
    monkeypatch.setattr(worker, "LOST", 1.0)
    monkeypatch.setattr(worker, "BEAT", 0.2)
    return found


def test_a_worker_without_a_chief_says_so(address: Address, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no chief answers at 127.0.0.1:{address[1]}; start it"):
        client(address, tmp_path).connect()


def test_a_worker_whose_chief_has_gone_ends(
    address: Address, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ends: queue.Queue[int] = queue.Queue()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker.os, "_exit", ends.put)
        with locked(tmp_path) as token, served(chief(tmp_path, token), address):
            client(address, tmp_path).connect()
        assert ends.get(timeout=60) == 1
    assert "has not answered for 1 s; this worker stops" in capsys.readouterr().err


def test_a_worker_in_another_folder_than_its_chief_says_so(
    address: Address, tmp_path: Path
) -> None:
    with (
        locked(tmp_path / "here"),
        served(chief(tmp_path, "elsewhere"), address),
        pytest.raises(UserError, match="--output must be one folder that all machines share"),
    ):
        client(address, tmp_path / "here").connect()


def test_a_worker_gives_back_trials_that_it_cannot_run(
    address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a folder that was copied, or of another version of the user's own code."""
    given = Trial(HyperParameters(), "7", TrialStatus.RUNNING)
    ends: list[Trial] = []
    monkeypatch.setattr(OracleClient, "create_trial", lambda self, tuner_id: given)
    monkeypatch.setattr(OracleClient, "end_trial", lambda self, trial: ends.append(trial))
    there = client(address, tmp_path)
    monkeypatch.setattr(there, "get_space", HyperParameters)
    with pytest.raises(UserError, match="is not the folder in which the chief"):
        there.create_trial("w")
    there.leave()
    assert [(trial.trial_id, trial.status) for trial in ends] == [("7", TrialStatus.INVALID)]

    (tmp_path / "trials" / "trial_7").mkdir(parents=True)
    given.save(str(tmp_path / "trials" / "trial_7" / "trial.json"))
    assert there.create_trial("w").trial_id == "7"

    def refuse(trial: Trial) -> None:
        raise UserError(f"trial {trial.trial_id} is of other code")

    monkeypatch.setattr(there, "_check", refuse)
    with pytest.raises(UserError, match="trial 7 is of other code"):
        there.create_trial("w")


def test_a_worker_that_cannot_read_the_data_says_so_and_no_more(
    small_search: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_search, tmp_path / "search"))
    settings = json.loads((folder / "search.json").read_text())
    (folder / "search.json").write_text(json.dumps({**settings, "dataset": "gone.npz"}))
    command = [sys.executable, "-m", "eexit_tf.tuners.worker", folder, "127.0.0.1", "1", "w"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.wait(timeout=120) == 1
        assert process.stderr is not None
        assert process.stderr.read() == "worker w: no such .npz file: gone.npz\n"


def test_two_chiefs_do_not_share_a_port(address: Address, tmp_path: Path) -> None:
    with (
        served(chief(tmp_path, ""), address),
        pytest.raises(UserError, match="give an address of this machine and a free port"),
        served(chief(tmp_path, ""), address),
    ):
        pass


def test_a_trial_in_which_two_workers_died_is_infeasible(tmp_path: Path) -> None:
    server = chief(tmp_path, "")
    decides = server.oracle
    first = decides.create_trial("worker0").trial_id
    assert server.bury("worker0", "was killed by signal 9")
    assert not server.bury("worker0", "was killed by signal 9")  # in no trial any more
    assert decides.create_trial("worker1").trial_id == first
    assert server.bury("worker1", "was killed by signal 9")
    assert decides.end_order == [first]
    folder = tmp_path / "trials" / f"trial_{first}"
    assert (folder / "failure.txt").read_text() == "its worker was killed by signal 9, 2 times\n"
    assert not load_front(folder).points
    assert decides.create_trial("worker2").trial_id != first


def client(address: Address, directory: Path) -> ChiefClient:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TUNER_ID", "ORACLE_IP", "ORACLE_PORT"):
            patch.setenv(f"KERASTUNER_{name}", "")  # as it was, at the end
        worker.set_environment("join0", address)
        return ChiefClient(None, directory, check=lambda trial: None)


def chief(directory: Path, token: str) -> Chief:
    bounds = Bounds()
    space = ExitSpace((8, 8, 1), 4, bounds)
    tuner_ = make_tuner(space, directory, SearchSettings("digits", "", 0, 1, bounds), max_trials=4)
    found = _write_front(tuner_, directory, SearchSettings("digits", "", 0, 1, bounds))
    progress = SearchProgress(Lines(), tuner_.oracle, 1, found, str)
    return Chief(tuner_.oracle, progress, lambda trial_id: None, token)
