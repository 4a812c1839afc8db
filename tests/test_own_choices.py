"""Hyperparameters of the user's own, in every form that the search takes."""

from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from lines import Lines

from eexit_tf.bounds import Bounds
from eexit_tf.data import load
from eexit_tf.errors import UserError
from eexit_tf.tuners import tuner
from eexit_tf.tuners.networks import Networks
from eexit_tf.tuners.own_choices import MOST_VALUES, active, checked, choices
from eexit_tf.tuners.own_space import HyperModelSpace
from eexit_tf.tuners.search import search

pytestmark = pytest.mark.usefixtures("mine")


@pytest.fixture(autouse=True)
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks keep their first weights."""
    monkeypatch.setattr(tuner, "fit", lambda net, train, **further: None)


def search_lines(
    dataset: Path, folder: Path, networks: dict[str, str], max_trials: int
) -> list[str]:
    """What a search says of each trial, the first time or when it is resumed."""
    reporter = Lines()
    given: Any = {"bounds": Bounds(), "epochs": 1, "seed": 0, "networks": Networks(**networks)}
    output = folder / "search"
    search(load(str(dataset)), output, max_trials=max_trials, reporter=reporter, **given)
    return reporter.said


@pytest.mark.parametrize(
    ("networks", "trials"),
    # A space of four networks, and four backbones with many heads each.
    [({"space": "mine:Scoped"}, 4), ({"backbone": "mine:scoped"}, 5)],
)
def test_scopes_open_and_close_in_a_search_and_when_it_is_resumed(
    some_digits: Path, tmp_path: Path, networks: dict[str, str], trials: int
) -> None:
    said = [
        line.split(": ")[1]
        for max_trials in (2, 5)
        for line in search_lines(some_digits, tmp_path, networks, max_trials)
    ]
    assert len(said) == len(set(said)) == trials
    for network in said:
        assert ("small_width" in network) != ("big_width" in network)
        assert "size small, small_width" in network or "size big, big_width" in network


def test_hyperparameters_of_few_values_are_choices(some_digits: Path, tmp_path: Path) -> None:
    space = HyperModelSpace((8, 8, 1), 10, Bounds(), spec="mine:AnyKind")
    hp = keras_tuner.HyperParameters()
    space.declare_hyperparameters(hp)
    assert [(choice.name, choice.values, choice.default) for choice in hp.space] == [
        ("width", [4, 8, 12], 4),
        ("bias", [0, 1], 0),
        ("kernel", [3], 3),
        ("wide", [2, 4, 8], 2),
        ("rate", pytest.approx([0.1, 0.3, 0.5]), 0.1),
    ]
    values = hp.values | {"width": 8, "bias": 1}
    assert space.describe(values) == "width 8, bias True, kernel 3, wide 2, rate 0.1"
    assert len(search_lines(some_digits, tmp_path, {"space": "mine:AnyKind"}, 2)) == 2
    assert len(search_lines(some_digits, tmp_path, {"space": "mine:AnyKind"}, 4)) == 2


def test_ranges_are_choices_if_they_have_few_steps() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Int("width", 4, 12, step=4, default=7)
    hp.Float("rate", 0, 1, step=0.25, default=0.4)
    hp.Int("many", 1, MOST_VALUES, step=1)
    checked(hp.space)
    assert [choice.default for choice in choices(hp.space)] == [8, 0.5, 1]  # the nearest
    hp.Int("more", 0, MOST_VALUES, step=1)
    with pytest.raises(UserError, match="'more' is a Int without steps, or with more than 64"):
        checked(hp.space)


def test_what_is_in_a_closed_scope_is_not_there() -> None:
    hp = keras_tuner.HyperParameters()
    hp.Boolean("deep")
    with hp.conditional_scope("deep", [True]):
        hp.Choice("layers", [2, 3])
        with hp.conditional_scope("layers", [3]):
            hp.Int("last", 1, 2)
    every = {"deep": 1, "layers": 3, "last": 2}
    assert active(hp.space, every) == {"deep": True, "layers": 3, "last": 2}
    assert active(hp.space, every)["deep"] is True
    assert active(hp.space, every | {"layers": 2}) == {"deep": True, "layers": 2}
    assert active(hp.space, every | {"deep": 0}) == {"deep": False}
    assert [choice.conditions for choice in choices(hp.space)] == [[], [], []]


@pytest.mark.parametrize("senseless", [{"max_trials": 0}, {"max_trials": 1, "workers": -1}])
def test_a_search_does_something(
    some_digits: Path, tmp_path: Path, senseless: dict[str, int]
) -> None:
    given: Any = {"bounds": Bounds(), "epochs": 1, "seed": 0, **senseless}
    with pytest.raises(UserError, match=r"must be (1|0) or more"):
        search(load(str(some_digits)), tmp_path / "search", **given)
    assert not (tmp_path / "search").exists()
