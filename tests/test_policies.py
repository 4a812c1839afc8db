"""Policies: the score against a loop over samples, the search against brute force."""

from collections.abc import Iterator
from itertools import combinations, product
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.outputs import ExitOutputs
from eexit_tf.pareto import pareto_front
from eexit_tf.policies import Policy, PolicyScore, policy_points, score, search_policies
from eexit_tf.policy_search import branches, cuts
from eexit_tf.policy_search import search as search_module
from eexit_tf.policy_search.neighbours import Neighbours
from eexit_tf.vocabulary import Bounds, Exit


def every_policy(outputs: ExitOutputs) -> Iterator[Policy]:
    """All policies whose thresholds are levels that occur: the others do the same as these."""
    exits = range(len(outputs.levels))
    levels = [sorted({int(v) for v in row} - {0}) for row in outputs.levels]
    for size in range(1, len(exits) + 1):
        for chosen in combinations(exits, size):
            for early in product(*(levels[i] for i in chosen[:-1])):
                yield Policy(chosen, (*early, 0))


@st.composite
def problems(draw: st.DrawFn) -> tuple[ExitOutputs, ExitCosts]:
    """A few exits and samples, few levels, confidences that know a little; shared taps."""
    exits = draw(st.integers(1, 4))
    samples = draw(st.integers(1, 12))
    few = draw(st.integers(1, 5 if exits < 4 else 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    right = rng.random((exits, samples)) < np.linspace(0.4, 0.9, exits)[:, None]
    palette = np.sort(rng.choice(256, few, replace=False))
    if draw(st.booleans()):
        palette[-1] = 255
    skill = draw(st.sampled_from([0.0, 0.3, 0.7]))
    raw = np.clip(rng.random((exits, samples)) * (1 - skill) + skill * right, 0, 0.999)
    levels = palette[(raw * few).astype(int)].astype(np.uint8)
    trunk = np.cumsum(rng.integers(0, 4, exits) * 10) + 5
    return ExitOutputs(levels, right), some_costs(
        trunk, rng.integers(0, 9, exits), int(rng.integers(0, 3))
    )


def test_too_many_exits_are_refused() -> None:
    outputs = ExitOutputs(np.zeros((65, 3), np.uint8), np.zeros((65, 3), np.bool_))
    costs = some_costs(np.arange(1, 66), np.ones(65, int))
    with pytest.raises(UserError, match="65 exits to choose from; expected 64 at most"):
        search_policies(outputs, costs)


def some_costs(trunk: np.ndarray, heads: np.ndarray, decision: int = 1) -> ExitCosts:
    return ExitCosts(
        exits=tuple(Exit(f"block{i}") for i in range(len(trunk))),
        trunk_macs=tuple(int(v) for v in trunk),
        head_macs=tuple(int(v) for v in heads),
        trunk_params=tuple(int(v) * 2 for v in trunk),
        head_params=tuple(int(v) * 3 for v in heads),
        decision=decision,
    )


def front_of(scores: list[PolicyScore]) -> list[tuple[int, int]]:
    front = pareto_front([s.correct for s in scores], [s.total_macs for s in scores])
    return [(scores[i].correct, scores[i].total_macs) for i in front]


@given(problems())
def test_score_is_what_happens_sample_by_sample(problem: tuple[ExitOutputs, ExitCosts]) -> None:
    outputs, costs = problem
    for policy in list(every_policy(outputs))[:40]:
        correct, total, leaves = 0, 0, [0] * len(policy.exits)
        for sample in range(outputs.samples):
            paid = 0
            for position, (index, threshold) in enumerate(
                zip(policy.exits, policy.thresholds, strict=True)
            ):
                last = position == len(policy.exits) - 1
                paid += costs.head_macs[index] + (0 if last else costs.decision)
                if outputs.levels[index, sample] >= threshold:
                    correct += bool(outputs.right[index, sample])
                    total += costs.trunk_macs[index] + paid
                    leaves[position] += 1
                    break
        result = score(policy, outputs, costs)
        assert (result.correct, result.total_macs, result.leaves) == (
            correct,
            total,
            tuple(leaves),
        )
        assert result.params == costs.params(policy.exits)
        assert result.max_macs == costs.leave_macs(policy.exits)[-1]


@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("branching", [0.0, 1.0], ids=["cuts", "branches"])
@given(problem=problems())
def test_the_search_misses_nothing(
    branching: float, problem: tuple[ExitOutputs, ExitCosts]
) -> None:
    outputs, costs = problem
    with patch.object(search_module, "BRANCHING", branching):
        found = search_policies(outputs, costs)
    every = [score(policy, outputs, costs) for policy in every_policy(outputs)]
    assert [(s.correct, s.total_macs) for _, s in found.found] == front_of(every)
    assert all(score(policy, outputs, costs) == s for policy, s in found.found)
    assert found.gap == 0


@pytest.mark.parametrize("branching", [0.0, 1.0], ids=["cuts", "branches"])
@settings(max_examples=100, deadline=None)
@given(problem=problems(), tolerance=st.sampled_from([0.1, 0.25, 0.5]))
def test_the_tolerance_is_kept(
    branching: float, problem: tuple[ExitOutputs, ExitCosts], tolerance: float
) -> None:
    outputs, costs = problem
    with patch.object(search_module, "BRANCHING", branching):
        search = search_policies(outputs, costs, tolerance=tolerance)
    found = [s for _, s in search.found]
    assert search.gap <= tolerance
    assert front_of(found) == [(s.correct, s.total_macs) for s in found]
    for policy in every_policy(outputs):
        s = score(policy, outputs, costs)
        assert any(
            f.total_macs <= s.total_macs and f.accuracy >= s.accuracy - search.gap - 1e-12
            for f in found
        )


@pytest.mark.parametrize("branching", [0.0, 1.0], ids=["cuts", "branches"])
@settings(max_examples=150, deadline=None)
@given(problem=problems(), data=st.data())
def test_bounds_are_kept_and_nothing_within_them_is_missed(
    branching: float, problem: tuple[ExitOutputs, ExitCosts], data: st.DataObject
) -> None:
    outputs, costs = problem
    every = [score(policy, outputs, costs) for policy in every_policy(outputs)]
    limit = data.draw(st.sampled_from(every))
    which = data.draw(st.lists(st.sampled_from(["macs", "mean", "params", "accuracy"]), min_size=1))
    bounds = Bounds(
        max_macs=limit.max_macs if "macs" in which else None,
        max_mean_macs=limit.mean_macs if "mean" in which else None,
        max_params=limit.params if "params" in which else None,
        min_accuracy=limit.accuracy if "accuracy" in which else None,
    )
    tolerance = data.draw(st.sampled_from([0.0, 0.0, 0.2]))
    with patch.object(search_module, "BRANCHING", branching):
        search = search_policies(outputs, costs, bounds, tolerance)
    found = [s for _, s in search.found]
    assert all(s.meets(bounds) for s in found)
    within = [s for s in every if s.meets(bounds)]
    if tolerance == 0:
        assert [(s.correct, s.total_macs) for s in found] == front_of(within)
    for s in within:
        assert any(
            f.total_macs <= s.total_macs and f.accuracy >= s.accuracy - tolerance - 1e-12
            for f in found
        )


@pytest.mark.parametrize("branching", [0.0, 1.0], ids=["cuts", "branches"])
@settings(max_examples=100, deadline=None)
@given(problem=problems(), effort=st.sampled_from([0.0, 300.0, 3000.0]), forgetful=st.booleans())
def test_a_search_that_stops_early_says_how_good_it_is(
    branching: float, problem: tuple[ExitOutputs, ExitCosts], effort: float, forgetful: bool
) -> None:
    outputs, costs = problem
    bytes_ = 0 if forgetful else 1 << 20
    with (
        patch.object(search_module, "BRANCHING", branching),
        patch.multiple(branches, MEMORY_BYTES=bytes_, BATCH=2),
        patch.multiple(cuts, MEMORY_BYTES=bytes_, BATCH=2),
        patch.object(Neighbours, "run"),  # good policies from the start would hide the gap
    ):
        search = search_policies(outputs, costs, effort=effort)
    for policy in every_policy(outputs):
        s = score(policy, outputs, costs)
        found = [f.accuracy for _, f in search.found if f.total_macs <= s.total_macs]
        assert max(found, default=0) >= s.accuracy - search.gap - 1e-12


def test_most_samples_at_the_highest_level() -> None:
    rng = np.random.default_rng(5)
    right = rng.random((3, 200)) < np.array([[0.7], [0.8], [0.9]])
    levels = np.where(rng.random((3, 200)) < 0.8, 255, rng.integers(250, 255, (3, 200)))
    outputs = ExitOutputs(levels.astype(np.uint8), right)
    costs = some_costs(np.array([10, 20, 40]), np.array([1, 1, 1]))
    every = [score(policy, outputs, costs) for policy in every_policy(outputs)]
    search = search_policies(outputs, costs)
    assert [(s.correct, s.total_macs) for _, s in search.found] == front_of(every)


def test_the_same_search_finds_the_same() -> None:
    rng = np.random.default_rng(6)
    outputs = ExitOutputs(
        rng.integers(0, 256, (6, 100)).astype(np.uint8), rng.random((6, 100)) < 0.7
    )
    costs = some_costs(np.array([10, 10, 20, 20, 40, 40]), np.array([1, 3, 1, 3, 1, 3]))
    one, other = (search_policies(outputs, costs, effort=1e6) for _ in range(2))
    assert one == other
    assert one.gap > 0


def test_bounds_that_nothing_keeps_find_nothing() -> None:
    outputs = ExitOutputs(np.full((2, 3), 7, np.uint8), np.ones((2, 3), bool))
    costs = some_costs(np.array([5, 9]), np.array([1, 1]))
    assert search_policies(outputs, costs, Bounds(max_macs=5)).found == ()


def test_the_number_of_policies_is_counted_as_defined() -> None:
    def brute(exits: int) -> int:
        subsets = (c for n in range(1, exits + 1) for c in combinations(range(exits), n))
        return sum(255 ** (len(chosen) - 1) for chosen in subsets)

    for exits in range(1, 5):
        outputs = ExitOutputs(np.zeros((exits, 2), np.uint8), np.ones((exits, 2), bool))
        costs = some_costs(np.arange(1, exits + 1), np.ones(exits))
        search = search_policies(outputs, costs)
        assert search.evaluated_policies == brute(exits)
        assert search.explicit >= exits


def test_one_exit_has_one_policy() -> None:
    outputs = ExitOutputs(np.array([[3, 200]], np.uint8), np.array([[True, False]]))
    search = search_policies(outputs, some_costs(np.array([10]), np.array([2])))
    assert [(p, s.correct, s.total_macs) for p, s in search.found] == [(Policy((0,), (0,)), 1, 24)]


def test_thresholds_lie_halfway_between_the_levels_they_separate() -> None:
    outputs = ExitOutputs(
        np.array([[100, 201, 255], [0, 0, 0]], np.uint8),
        np.array([[False, True, True], [True, False, False]]),
    )
    search = search_policies(outputs, some_costs(np.array([10, 100]), np.array([1, 1])))
    assert search.found[-1][0] == Policy((0, 1), (151, 0))
    assert search.found[-1][1].correct == 3


def test_points_say_what_the_policies_do() -> None:
    outputs = ExitOutputs(
        np.array([[100, 201, 255], [0, 0, 0]], np.uint8),
        np.array([[False, True, True], [True, False, False]]),
    )
    costs = some_costs(np.array([10, 100]), np.array([1, 2]), decision=3)
    search = search_policies(outputs, costs)
    front = policy_points(search, outputs, costs, trial="t7")
    assert [point.id for point in front] == ["t7-0", "t7-1"]
    assert front.evaluated_policies == search.evaluated_policies == 257
    best = front.points[-1]
    assert (best.trial, best.val_accuracy) == ("t7", 1.0)
    assert best.mean_macs == pytest.approx((14 + 14 + 106) / 3)
    assert (best.max_macs, best.params) == (106, 200 + 3 + 6)
    assert [(u.at, u.threshold, u.macs) for u in best.exits] == [
        ("block0", 151 / 256, 14),
        ("block1", 0.0, 106),
    ]
    assert [u.share for u in best.exits] == pytest.approx([2 / 3, 1 / 3])
    assert policy_points(search, outputs, costs).points[0].id == "p0"


@pytest.mark.parametrize(
    ("exits", "thresholds"),
    [((), ()), ((1, 0), (5, 0)), ((0, 0), (5, 0)), ((0,), (1,)), ((0, 1), (0, 0)), ((0,), (1, 0))],
)
def test_policies_check_themselves(exits: tuple[int, ...], thresholds: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="a policy needs"):
        Policy(exits, thresholds)


def test_outputs_and_costs_must_be_of_the_same_exits() -> None:
    outputs = ExitOutputs(np.zeros((2, 2), np.uint8), np.ones((2, 2), bool))
    costs = some_costs(np.array([5]), np.array([1]))
    with pytest.raises(ValueError, match="same exits"):
        search_policies(outputs, costs)
    with pytest.raises(ValueError, match="same exits"):
        score(Policy((0,), (0,)), outputs, costs)


def test_optimism_is_what_the_choice_gains_on_its_own_samples() -> None:
    # Exits that know nothing: on fresh samples half of the answers are right, whatever is chosen.
    costs = some_costs(np.array([10, 20, 40]), np.ones(3))
    chosen, expected = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        levels = rng.integers(0, 256, (3, 80)).astype(np.uint8)
        outputs = ExitOutputs(levels, rng.random((3, 80)) < 0.5)
        best = policy_points(search_policies(outputs, costs), outputs, costs).points[-1]
        assert best.expected_accuracy is not None
        chosen.append(best.val_accuracy)
        expected.append(best.expected_accuracy)
    assert np.mean(chosen) > 0.57
    assert abs(np.mean(expected) - 0.5) < 0.04


def test_exits_that_always_agree_leave_no_optimism() -> None:
    outputs = ExitOutputs(np.full((2, 40), 9, np.uint8), np.ones((2, 40), bool))
    costs = some_costs(np.array([5, 9]), np.array([1, 1]))
    points = policy_points(search_policies(outputs, costs), outputs, costs)
    assert [point.expected_accuracy for point in points] == [1.0]
