"""Searches whose processes are killed, interrupted and starved, with trainings of no time."""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import EEXIT_TF

from eexit_tf.cli import cli
from eexit_tf.locks import holder

FAKE_TRAINING = Path(__file__).with_name("fake_training")
TRIALS = 3
KILLS = int(os.environ.get("EEXIT_TF_KILLS", "2"))
PATIENCE = 240


class Searches:
    """Starts searches of one data set in one folder, and sees which trainings began."""

    def __init__(self, dataset: Path, folder: Path) -> None:
        self.output = folder / "search"
        self.fake = folder / "fake"
        self.fake.mkdir(parents=True)
        self.dataset = dataset
        self.processes: list[subprocess.Popen[str]] = []

    def command(self, *further: str) -> list[str]:
        given = ["--dataset", str(self.dataset), "--output", str(self.output)]
        limits = ["--max-macs", "60k", "--max-trials", str(TRIALS), "--epochs", "2"]
        return ["search", *given, *limits, *further]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": _path(), "FAKE_TRAINING": str(self.fake)}

    def start(self, *further: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(EEXIT_TF), *self.command(*further)],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Who runs the tests in the background has Ctrl-C ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.processes.append(process)
        return process

    def run(self, *further: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*further)
        said, _ = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, said)

    def hold(self, *trials: int) -> None:
        for trial in trials:
            (self.fake / f"hold{trial}").touch()

    def release(self, trial: int) -> None:
        (self.fake / f"hold{trial}").unlink()

    def runs(self) -> list[tuple[int, int]]:
        """Trial and process of each training that began."""
        path = self.fake / "runs"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(int(line.split()[0]), int(line.split()[1])) for line in lines]

    def began(self, trial: int, times: int = 1) -> int:
        """Wait until a trial's training has begun so often; the process of the last time."""
        until(lambda: [trial for trial, _ in self.runs()].count(trial) >= times)
        return [process for number, process in self.runs() if number == trial][-1]

    def until_it_trains(self, search: subprocess.Popen[str], begun: int) -> None:
        """Or has ended."""
        until(lambda: len(self.runs()) > begun or search.poll() is not None)

    def finished_trials(self) -> list[Path]:
        return [
            path.parent
            for path in sorted(self.output.glob("trials/trial_*/trial.json"))
            if json.loads(path.read_text())["status"] == "COMPLETED"
        ]

    def finished(self) -> dict[Path, bytes]:
        """All files of the finished trials."""
        return {file: file.read_bytes() for t in self.finished_trials() for file in t.iterdir()}

    def front(self) -> str:
        return (self.output / "front.json").read_text()


def _path() -> str:
    return os.pathsep.join(filter(None, [str(FAKE_TRAINING), os.environ.get("PYTHONPATH")]))


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def gone(process: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet has."""
    try:
        state = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state.rpartition(")")[2].split()[0] == "Z"


@pytest.fixture
def searches(some_digits: Path, tmp_path: Path) -> Iterator[Searches]:
    made = Searches(some_digits, tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def uninterrupted(some_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Searches:
    """A search without workers that nothing happened to."""
    made = Searches(some_digits, tmp_path_factory.mktemp("whole"))
    run = made.run()
    assert run.returncode == 0, run.stdout
    assert [trial for trial, _ in made.runs()] == [0, 1, 2]
    return made


def test_no_more_workers_start_than_there_are_trials(searches: Searches) -> None:
    searches.hold(0)
    chief = searches.start("--workers", "5", "--max-trials", "1")
    searches.began(0)
    children = Path(f"/proc/{chief.pid}/task/{chief.pid}/children").read_text().split()
    assert len(children) == 1


def test_a_search_with_a_worker_survives_all_and_ends_like_one_without(
    searches: Searches, uninterrupted: Searches
) -> None:
    # A bug in `build` stops the search and is shown as the user's own.
    (searches.fake / "bug").touch()
    stopped = searches.run("--workers", "1")
    assert stopped.returncode == 1
    assert "ZeroDivisionError: the user's own mistake" in stopped.stdout
    assert ", in build\n" in stopped.stdout
    assert stopped.stdout.count("Traceback") == 1
    assert searches.finished() == {}
    (searches.fake / "bug").unlink()

    # A worker is killed in the middle of a trial: it is run again, once.
    searches.hold(0, 1)
    chief = searches.start("--workers", "1")
    os.kill(searches.began(0, times=2), signal.SIGKILL)
    searches.began(0, times=3)
    second = CliRunner().invoke(cli, searches.command())
    assert second.exit_code == 2
    assert f"another search works in {searches.output} (process {chief.pid} on" in second.output
    searches.release(0)

    # Ctrl-C in the middle of the next: nothing runs on, and the front is there.
    worker = searches.began(1)
    front = CliRunner().invoke(cli, ["front", str(searches.output)])
    assert front.exit_code == 0, front.output
    assert "of 1 trial," in front.output
    chief.send_signal(signal.SIGINT)
    said, _ = chief.communicate(timeout=PATIENCE)
    assert chief.returncode == 1
    assert "stopped; the same command resumes the search" in said
    assert "Traceback" not in said
    until(lambda: gone(worker))
    kept = searches.finished()

    # The chief is killed: a worker of another machine goes on and finds the next one.
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    chief = searches.start("--chief", address)
    joined = searches.start("--join", address)
    searches.began(1, times=2)
    chief.kill()
    chief.wait()
    chief = searches.start("--chief", address)
    until(lambda: chief.poll() is not None or holder(searches.output).get("pid") == chief.pid)
    watch = subprocess.Popen(
        [str(EEXIT_TF), "front", str(searches.output), "--watch"], stdout=subprocess.PIPE, text=True
    )
    searches.release(1)
    said, _ = chief.communicate(timeout=PATIENCE)
    assert chief.returncode == 0, said
    assert "trial 3 of 3: " in said
    assert "3 of 3 trials done, best " in said
    said, _ = joined.communicate(timeout=PATIENCE)
    assert joined.returncode == 0, said
    said, _ = watch.communicate(timeout=PATIENCE)
    assert "of 3 trials" in said

    assert [trial for trial, _ in searches.runs()] == [0, 0, 0, 1, 1, 2]
    assert {path: path.read_bytes() for path in kept} == kept
    assert searches.front() == uninterrupted.front()


def test_random_kills_lose_no_finished_trial_and_corrupt_nothing(
    searches: Searches, uninterrupted: Searches
) -> None:
    """Of chiefs, workers and searches without workers, at any moment from their start on."""
    rng = random.Random(KILLS)
    kept: dict[Path, bytes] = {}
    for _ in range(KILLS):
        if len(searches.finished_trials()) == TRIALS:
            shutil.rmtree(searches.output)
            kept = {}
        begun = len(searches.runs())
        search = searches.start("--workers", rng.choice(["0", "1"]))
        if rng.random() < 0.8:  # else anywhere between its start and its first training
            searches.until_it_trains(search, begun)
        time.sleep(rng.random())
        workers = {process for _, process in searches.runs()[begun:]} - {search.pid}
        if workers and rng.random() < 0.5:
            with contextlib.suppress(ProcessLookupError):
                os.kill(max(workers), signal.SIGKILL)
            time.sleep(rng.random())
        search.kill()
        search.communicate()
        workers = {process for _, process in searches.runs()[begun:]}
        until(lambda workers=workers: all(map(gone, workers)))
        assert {path: path.read_bytes() for path in kept} == kept
        kept = searches.finished()
        if (searches.output / "front.json").exists():
            json.loads(searches.front())
    run = searches.run()
    assert run.returncode == 0, run.stdout
    assert {path: path.read_bytes() for path in kept} == kept
    assert searches.front() == uninterrupted.front()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_full_disk_is_explained_and_the_search_goes_on_when_there_is_room(
    searches: Searches, uninterrupted: Searches, workers: str
) -> None:
    searches.output.mkdir()
    script = """
        mount -t tmpfs -o size=120k tmpfs "$0" || exit 77
        "$@"; echo "ended with $?"
        mount -o remount,size=64m "$0" || exit 77
        "$@" && cp -r "$0" "$0-kept"
    """
    own_mounts = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    run = subprocess.run(
        [*own_mounts, str(searches.output), str(EEXIT_TF), *searches.command("--workers", workers)],
        env=searches.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    if run.returncode == 77 or "unshare" in run.stdout:
        pytest.skip("no own file systems here")
    before, _, after = run.stdout.partition("ended with 1\n")
    assert "No space left on device" in before
    assert "Traceback" not in before
    assert run.returncode == 0, after
    searches.output = searches.output.with_name("search-kept")
    assert searches.front() == uninterrupted.front()
