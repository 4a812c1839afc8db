"""What a trial's policies are, within the bounds of the search and beyond them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_problems import problems, some_costs

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import search_policies
from eexit_tf.tuners.trial_policies import BRIEF, trial_policies


@given(problems(), st.floats(0, 1), st.floats(5, 200))
def test_it_is_the_front_without_bounds_on_what_is_measured(
    problem: tuple[ExitOutputs, ExitCosts], accuracy: float, macs: float
) -> None:
    bounds = Bounds(max_macs=150, min_accuracy=accuracy, max_mean_macs=macs)
    found = trial_policies(*problem, bounds)
    whole = search_policies(*problem, Bounds(max_macs=150))
    assert [score for _, score in found.found] == [score for _, score in whole.found]
    assert found.gap == 0


def noise(exits: int, samples: int, accuracies: np.ndarray) -> tuple[ExitOutputs, ExitCosts]:
    """Exits that know nothing of when they are right, so that proofs are long."""
    rng = np.random.default_rng(0)
    right = rng.random((exits, samples)) < accuracies[:, None]
    outputs = ExitOutputs(rng.integers(0, 256, right.shape).astype(np.uint8), right)
    return outputs, some_costs(np.arange(1, exits + 1) * 100, np.full(exits, 10))


def test_proving_that_nothing_is_accurate_enough_takes_little() -> None:
    problem = noise(12, 300, np.full(12, 0.2))
    found = trial_policies(*problem, Bounds(min_accuracy=0.97))
    brief = search_policies(*problem, effort=BRIEF)
    assert (found.gap, brief.gap > 0) == (0, True)
    assert [score for _, score in found.found] == [score for _, score in brief.found]


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(max_mean_macs=400)])
def test_what_is_within_the_bounds_is_searched_thoroughly(bounds: Bounds) -> None:
    problem = noise(6, 200, np.linspace(0.5, 0.9, 6))
    assert search_policies(*problem, effort=BRIEF).gap > 0
    assert trial_policies(*problem, bounds).gap == 0
