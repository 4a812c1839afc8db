"""What a search says of where it stands, with trials that take no time."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_archive import front

from eexit_tf.bounds import Bounds
from eexit_tf.fronts import SearchFront
from eexit_tf.reporter import Reporter
from eexit_tf.tuners import progress
from eexit_tf.tuners.archive import save_front
from eexit_tf.tuners.progress import SearchProgress
from eexit_tf.tuners.rungs import Climb
from eexit_tf.tuners.tuner import FAILURE
from eexit_tf.vocabulary import Front

EPOCHS = 3


class Told(Reporter):
    """Keeps everything that was said."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, str]] = []
        self.lines: list[str] = []
        self.milestones: list[str] = []

    def step(self, done: int, total: int, what: str) -> None:
        self.steps.append((done, total, what))

    def say(self, line: str) -> None:
        self.lines.append(line)

    def milestone(self, line: str) -> None:
        self.milestones.append(line)


def found(points: Front, bounds: Bounds | None = None) -> SearchFront:
    return SearchFront("digits", 0, bounds or Bounds(), 1, 0.25, (1.0, 100.0), points)


def test_epochs_of_all_trials_count_and_one_more_for_each_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, told, nothing = [100.0], Told(), found(Front(()), Bounds(min_accuracy=0.7))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now[0]))
    trial = SimpleNamespace(hyperparameters=SimpleNamespace(values={"width": 8}))
    oracle: Any = SimpleNamespace(
        end_order=["0"],
        max_trials=4,
        get_trial=lambda _: trial,
        _get_trial_dir=lambda trial_id: tmp_path / trial_id,
    )
    search = SearchProgress(told, oracle, EPOCHS, nothing, str)
    search.epoch("1", 1)
    search.epoch("2", 2)
    search.epoch("1", 3)
    where = "1 of 4 trials done, nothing within the bounds yet, hypervolume 0.2500"
    assert told.steps == [(4 + 1, 16, where), (4 + 3, 16, where), (4 + 5, 16, where)]

    now[0] += 10
    (tmp_path / "1").mkdir()
    save_front(tmp_path / "1", front("1", (10, 0.5), (20, 0.75), (1000, 0.8)))
    oracle.end_order.append("1")
    best = front("1", (20, 0.75), (1000, 0.8))
    search.ended("1", found(best, nothing.bounds))
    said = "trial 2 of 4: {'width': 8}: "
    assert told.lines == [f"{said}75.0% at 20 to 80.0% at 1,000 mean MACs"]
    where = "2 of 4 trials done, best 80.0% at 1,000 mean MACs, hypervolume 0.2500"
    assert told.steps[3:] == [(8 + 2, 16, where)]
    # Six epochs took ten seconds; six are left.
    assert told.milestones == [f"{where}, about 10 s left"]

    (tmp_path / "2").mkdir()
    Climb({1: []}, stopped=1).save(tmp_path / "2")
    save_front(tmp_path / "2", front("2", (10, 0.5)))
    search.ended("2", found(best, nothing.bounds))
    said = "trial 3 of 4: {'width': 8}: "
    assert told.lines[1] == f"{said}stopped after epoch 1 of 3, nothing within the bounds"
    (tmp_path / "2" / FAILURE).write_text("out of memory\n")
    search.ended("2", found(best, nothing.bounds))
    assert told.lines[2] == f"{said}out of memory"


def test_what_is_done_is_never_more_than_there_is(tmp_path: Path) -> None:
    told, oracle = Told(), SimpleNamespace(end_order=["0", "1"], max_trials=2)
    search = SearchProgress(told, oracle, EPOCHS, found(Front(())), str)
    search.epoch("2", 3)  # of a trial that is run again
    assert [step[:2] for step in told.steps] == [(8, 8)]
