"""A point of a search trained for longer: in parts, and never twice."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Run

from eexit_tf.data import load
from eexit_tf.fronts import SearchFront
from eexit_tf.reporter import Reporter
from eexit_tf.tuners.winner import Winner

EPOCHS = 3


class StopsAfter(Reporter):
    """A reporter that keeps what it is told, and breaks off after an epoch."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.epochs: list[int] = []

    def step(self, done: int, total: int, what: str) -> None:
        self.epochs.append(done)
        if done == self.last:
            raise KeyboardInterrupt


def test_a_longer_training_goes_on_where_it_was_stopped_and_is_not_done_twice(
    small_search: Path, some_digits: Path
) -> None:
    data = load(str(some_digits))
    point = SearchFront.load(small_search).front.points[0]

    def winner() -> Winner:
        return Winner(data, small_search, point)

    before = winner().net.get_weights()
    with pytest.raises(KeyboardInterrupt):
        winner().train(EPOCHS, seed=1, reporter=StopsAfter(1))
    rest = StopsAfter(last=-1)
    resumed = winner()
    resumed.train(EPOCHS, seed=1, reporter=rest)
    assert rest.epochs == [0, 2, 3]
    after = resumed.net.get_weights()
    assert not all(np.array_equal(a, b) for a, b in zip(after, before, strict=True))

    nothing = StopsAfter(last=0)  # would break off before the first epoch
    again = winner()
    again.train(EPOCHS, seed=1, reporter=nothing)
    assert nothing.epochs == []
    assert all(np.array_equal(a, b) for a, b in zip(again.net.get_weights(), after, strict=True))


def test_the_card_says_where_a_network_comes_from_and_keeps_it(
    eexit_tf: Run, small_search: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.tflite"
    options = ["--output", model, "--quantize", "ptq", "--seed", "3"]
    made = eexit_tf("convert", small_search, *options, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    origin = json.loads(model.with_suffix(".json").read_text())["origin"]
    assert origin["search"] == json.loads((small_search / "search.json").read_text())
    assert (origin["seed"], origin["train_epochs"]) == (3, 0)
    early = len(json.loads(model.with_suffix(".json").read_text())["exits"]) - 1
    thresholds = ",".join(["0.5"] * early)
    if early:
        assert eexit_tf("retune", model, "--thresholds", thresholds, cwd=tmp_path).returncode == 0
        assert json.loads(model.with_suffix(".json").read_text())["origin"] == origin
