"""Hyperparameters of the user's own, in every form that the search takes."""

from pathlib import Path
from typing import Any

import pytest
from lines import Lines

from eexit_tf.data import load
from eexit_tf.tuners import tuner
from eexit_tf.tuners.networks import Networks
from eexit_tf.tuners.search import search
from eexit_tf.vocabulary import Bounds

pytestmark = pytest.mark.usefixtures("mine")


@pytest.fixture(autouse=True)
def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks keep their first weights."""
    monkeypatch.setattr(tuner, "fit", lambda net, train, **further: None)


@pytest.mark.parametrize(
    ("networks", "trials"),
    # A space of four networks, and four backbones with many heads each.
    [({"space": "mine:Scoped"}, 4), ({"backbone": "mine:scoped"}, 5)],
)
def test_scopes_open_and_close_in_a_search_and_when_it_is_resumed(
    some_digits: Path, tmp_path: Path, networks: dict[str, str], trials: int
) -> None:
    def lines(max_trials: int) -> list[str]:
        reporter = Lines()
        given: Any = {"bounds": Bounds(), "epochs": 1, "seed": 0, "networks": Networks(**networks)}
        data, output = load(str(some_digits)), tmp_path / "search"
        search(data, output, max_trials=max_trials, reporter=reporter, **given)
        return reporter.said

    said = [line.split(": ")[1] for line in lines(2) + lines(5)]
    assert len(said) == len(set(said)) == trials
    for network in said:
        assert ("small_width" in network) != ("big_width" in network)
        assert "size small, small_width" in network or "size big, big_width" in network
