"""The next network, where so many candidates are drawn that all of a small space are among them."""

from collections.abc import Sequence
from itertools import product
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from keras_tuner.engine.hyperparameters import Choice

from eexit_tf.costs import ExitCosts
from eexit_tf.tuners import proposals
from eexit_tf.tuners.evolution import Values
from eexit_tf.tuners.proposals import FEWEST_LEARNT, Finished, Proposer
from eexit_tf.tuners.surrogate import (
    Encoder,
    FrontSurrogate,
    expected_gains,
    front_places,
    staircase,
)
from eexit_tf.vocabulary import Exit

REFERENCE = (50.0, 1e5)
SPACE = [
    Choice("width", [4, 8, 12, 16, 24], ordered=True),
    Choice("depth", [1, 2, 3], ordered=True),
    Choice("family", ["plain", "residual"], ordered=False),
]
EVERY: list[Values] = [
    {"width": width, "depth": depth, "family": family}
    for width, depth, family in product((4, 8, 12, 16, 24), (1, 2, 3), ("plain", "residual"))
]


def costs(values: Values) -> ExitCosts:
    """Two exits; wider, deeper and residual networks cost more."""
    block = values["width"] ** 2 * (9 if values["family"] == "residual" else 4)
    trunk, exits = (block, block * (1 + values["depth"])), (Exit("a"), Exit("b"))
    return ExitCosts(exits, trunk, (10, 10), trunk, (10, 10), decision=5)


def proposer(**changes: Any) -> Proposer:
    given: dict[str, Any] = {
        "rejected": lambda values: False,
        "costs": costs,
        "canonical": lambda values: values,
        "candidates": 400,
    }
    return Proposer(SPACE, reference_macs=REFERENCE, **given | changes)


def test_what_only_the_smallest_networks_keep_is_found() -> None:
    """Neither random networks nor all that are gone through are among them here."""
    near = {"width": 8, "depth": 1, "family": "plain"}
    tight = proposer(
        rejected=lambda values: values not in (EVERY[0], near),
        smallest=lambda: iter(EVERY[:2]),
        candidates=100,
    )
    with (
        patch.object(proposals, "random_point", lambda *_: EVERY[-1]),
        patch.object(proposals, "every_point", lambda *_: iter(())),
    ):
        assert propose(tight, []) == EVERY[0]
        assert propose(tight, [], [EVERY[0]]) == near
        assert propose(tight, [], [EVERY[0], near]) is None


def finished(*chosen: int) -> list[Finished]:
    """Trials of some of `EVERY` that brought a front of two points each."""
    made = []
    for number, index in enumerate(chosen):
        cheap, dear = (costs(EVERY[index]).alone_macs(exit_) for exit_ in range(2))
        accuracy = 0.4 + 0.05 * (number % 3) + 0.01 * EVERY[index]["width"]
        made.append(Finished(EVERY[index], [(cheap, accuracy), (dear, accuracy + 0.1)]))
    return made


def propose(of: Proposer, trials: Sequence[Finished], running: Sequence[Values] = ()) -> Any:
    return of.propose(np.random.default_rng(0), trials, running)


def features(points: Sequence[Values]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    encoder = Encoder(SPACE, REFERENCE)
    return (
        np.array([encoder.hyperparameters(values) for values in points]),
        np.array([encoder.costs(costs(values)) for values in points]),
        np.array([front_places(costs(values)) for values in points]),
    )


@pytest.mark.parametrize(("ended", "running"), [((3,), ()), ((3, 20), (9,)), ((), (12, 13, 14))])
def test_what_differs_most_is_tried_while_little_is_known(
    ended: tuple[int, ...], running: tuple[int, ...]
) -> None:
    assert len(ended) < FEWEST_LEARNT
    hyperparameters, macs, _ = features(EVERY)
    known = [*ended, *running]
    apart = ((hyperparameters[:, None] - hyperparameters[known]) ** 2).mean(axis=2)
    apart += ((macs[:, None] - macs[known]) ** 2).mean(axis=2)
    found = propose(proposer(), finished(*ended), [EVERY[index] for index in running])
    nearest = apart.min(axis=1)
    assert nearest[EVERY.index(found)] == pytest.approx(nearest.max())


def expected(
    trials: Sequence[Finished], running: Sequence[int] = (), min_accuracy: float = 0.0
) -> np.ndarray:
    """What each of `EVERY` is expected to add."""
    known = features([trial.values for trial in trials])
    fronts = [trial.points for trial in trials]
    accuracies = np.array([staircase(*each) for each in zip(fronts, known[2], strict=True)])
    failed = np.array([not front for front in fronts])
    accuracies[failed] = accuracies[~failed].min(axis=0)
    surrogate = FrontSurrogate(*known, accuracies)
    archive = [point for front in fronts for point in front]
    if running:
        theirs = features([EVERY[index] for index in running])
        means, _ = surrogate.predict(*theirs)
        archive += zip(np.exp(theirs[2]).ravel(), means.ravel(), strict=True)
    every = features(EVERY)
    return expected_gains(*surrogate.predict(*every), every[2], archive, REFERENCE, min_accuracy)


@pytest.mark.parametrize("min_accuracy", [0.0, 0.7])
@pytest.mark.parametrize("running", [(), (25, 29)])
@pytest.mark.parametrize("failed", [(), (28,)])
def test_what_is_expected_to_add_most_is_tried_next(
    min_accuracy: float, running: tuple[int, ...], failed: tuple[int, ...]
) -> None:
    trials = [*finished(0, 5, 8, 15, 22), *(Finished(EVERY[index], ()) for index in failed)]
    gains = expected(trials, running, min_accuracy)
    gains[[EVERY.index(trial.values) for trial in trials] + list(running)] = -1
    known = proposer(min_accuracy=min_accuracy)
    found = propose(known, trials, [EVERY[index] for index in running])
    assert gains[EVERY.index(found)] == pytest.approx(gains.max())
    assert gains.max() > np.median(gains)


def test_children_of_few_candidates_are_better_than_these() -> None:
    trials = finished(0, 5, 8, 15, 22)
    gains = expected(trials)

    def found() -> float:
        drawn = (
            proposer(candidates=8).propose(np.random.default_rng(seed), trials)
            for seed in range(12)
        )
        return float(np.mean([gains[EVERY.index(values)] for values in drawn]))

    with patch.object(proposals, "GENERATIONS", 0):
        without = found()
    assert without < found() <= gains.max()


def test_children_that_were_tried_are_not_tried_again() -> None:
    trials = finished(0, 5, 8, 15, 22)
    trials[2] = Finished(trials[2].values, ())
    tried = [trial.values for trial in trials]
    few = proposer(candidates=8, rejected=lambda values: values["family"] == "residual")
    for seed in range(30):
        assert few.propose(np.random.default_rng(seed), trials) not in tried


@pytest.mark.parametrize("known", [2, 29])
def test_the_last_one_left_is_found_and_then_none(known: int) -> None:
    def rejected(values: Values) -> bool:
        return known == 2 and EVERY.index(values) not in (0, 1, 17)

    trials = finished(*[index for index in range(30) if index != 17][:known])
    few = proposer(candidates=1, rejected=rejected)
    assert propose(few, trials) == EVERY[17]
    assert propose(few, trials, [EVERY[17]]) is None
    assert propose(few, [*trials, Finished(EVERY[17], ())]) is None


def test_networks_that_are_the_same_are_described_once_and_proposed_by_one_name() -> None:
    asked: list[Values] = []

    def rejected(values: Values) -> bool:
        asked.append(values)
        return False

    def canonical(values: Values) -> Values:
        return values | {"depth": 1} if values["width"] == 4 else values

    same = proposer(rejected=rejected, canonical=canonical)
    for _ in range(3):
        assert canonical(propose(same, finished(0, 9))) == propose(same, finished(0, 9))
    assert len(asked) == 30 - 4 - 2  # as few as there are, less those that were tried
    assert all(canonical(values) == values for values in asked)
