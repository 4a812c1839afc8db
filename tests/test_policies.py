"""Policies: the score against a loop over samples, and what is said of them."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from policy_problems import every_policy, problems, some_costs

from eexit_tf.costs import ExitCosts
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import Policy, policy_points, score, search_policies
from eexit_tf.policy_optimism import optimism


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
    [
        ((), ()),
        ((1, 0), (5, 0)),
        ((0, 0), (5, 0)),
        ((-1, 0), (5, 0)),
        ((0,), (1,)),
        ((0, 1), (0, 0)),
        ((0, 1), (256, 0)),
        ((0,), (1, 0)),
    ],
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


def test_a_policy_is_judged_on_the_exits_and_samples_that_there_are() -> None:
    costs = some_costs(np.array([5]), np.array([1]))
    with pytest.raises(ValueError, match="without samples"):
        score(
            Policy((0,), (0,)),
            ExitOutputs(np.zeros((1, 0), np.uint8), np.ones((1, 0), bool)),
            costs,
        )
    with pytest.raises(ValueError, match=r"uses the exits \(0, 1\) of 1"):
        score(
            Policy((0, 1), (9, 0)),
            ExitOutputs(np.zeros((1, 2), np.uint8), np.ones((1, 2), bool)),
            costs,
        )


def test_an_expected_accuracy_is_one() -> None:
    outputs = ExitOutputs(np.zeros((1, 2), np.uint8), np.array([[True, False]]))
    costs = some_costs(np.array([5]), np.array([1]))
    search = search_policies(outputs, costs)
    for lead, expected in ((0.25, 0.25), (2.0, 0.0), (-2.0, 0.5)):
        with patch("eexit_tf.policy_optimism.optimism", lambda *_, lead=lead: np.array([lead])):
            (point,) = policy_points(search, outputs, costs)
        assert point.expected_accuracy == expected


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


def test_optimism_by_hand() -> None:
    """Of each sample of four the three others choose an exit that is wrong on it."""
    outputs = ExitOutputs(np.full((2, 4), 9, np.uint8), np.array([[1, 1, 0, 0], [0, 0, 1, 1]]) > 0)
    costs = some_costs(np.array([5, 9]), np.array([1, 1]))
    # The cheap exit, for lower budgets, gains as much on two samples as it loses on the others.
    assert optimism(outputs, costs, [1, 6, 9.9, 10, 99]) == pytest.approx([0, 0, 0, 2 / 3, 2 / 3])
    few = ExitOutputs(outputs.levels[:, 1:], outputs.right[:, 1:])
    assert optimism(few, costs, [6, 10]).tolist() == [0, 0]


def test_exits_that_always_agree_leave_no_optimism() -> None:
    outputs = ExitOutputs(np.full((2, 40), 9, np.uint8), np.ones((2, 40), bool))
    costs = some_costs(np.array([5, 9]), np.array([1, 1]))
    points = policy_points(search_policies(outputs, costs), outputs, costs)
    assert [point.expected_accuracy for point in points] == [1.0]
