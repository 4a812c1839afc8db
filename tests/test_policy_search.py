"""The search for policies against brute force."""

from collections.abc import Callable
from contextlib import ExitStack
from itertools import combinations
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from policy_problems import every_policy, problems, some_costs

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.outputs import ExitOutputs
from eexit_tf.pareto import hypervolume, pareto_front
from eexit_tf.policies import Policy, PolicyScore, score, search_policies
from eexit_tf.policy_search import branches, cuts
from eexit_tf.policy_search import search as search_module
from eexit_tf.policy_search.neighbours import Neighbours
from eexit_tf.policy_search.search import Search
from eexit_tf.policy_search.tables import Ints, Path


def front_of(scores: list[PolicyScore]) -> list[tuple[int, int]]:
    front = pareto_front([s.correct for s in scores], [s.total_macs for s in scores])
    return [(scores[i].correct, scores[i].total_macs) for i in front]


@settings(max_examples=400, deadline=None)
@pytest.mark.parametrize("branching", [0.0, 1.0], ids=["cuts", "branches"])
@given(problem=problems(), opened=st.booleans())
def test_the_search_misses_nothing(
    branching: float, problem: tuple[ExitOutputs, ExitCosts], opened: bool
) -> None:
    """Each of the two ways alone, also where no good policies are known from the start."""
    outputs, costs = problem
    with patch.multiple(search_module, BRANCHING=branching, FEW=0), ExitStack() as stack:
        if not opened:
            stack.enter_context(patch.object(Neighbours, "run"))
        found = search_policies(outputs, costs)
    every = [score(policy, outputs, costs) for policy in every_policy(outputs)]
    assert [(s.correct, s.total_macs) for _, s in found.found] == front_of(every)
    assert all(score(policy, outputs, costs) == s for policy, s in found.found)
    assert found.gap == 0


@pytest.mark.parametrize("branching", [0.0, 1.0], ids=["cuts", "branches"])
@settings(max_examples=100, deadline=None)
@given(problem=problems(), opened=st.booleans())
def test_every_policy_that_is_offered_does_what_is_said_of_it(
    branching: float, problem: tuple[ExitOutputs, ExitCosts], opened: bool
) -> None:
    """What is said decides what is found; only what is found is scored in the end."""
    outputs, costs = problem
    search = Search(outputs, costs, Bounds(), 0, 1e9)
    offer = search.known.offer

    def checked(correct: Ints, total: Ints, path: Callable[[int], Path]) -> None:
        for i in range(0, len(correct), 1 + len(correct) // 9):
            result = score(Policy(*search.tables.canonical(path(i))), outputs, costs)
            assert (correct[i], total[i]) == (result.correct, result.total_macs)
        offer(correct, total, path)

    with patch.multiple(search_module, BRANCHING=branching, FEW=0), ExitStack() as stack:
        stack.enter_context(patch.object(search.known, "offer", checked))
        if not opened:
            stack.enter_context(patch.object(Neighbours, "run"))
        search.run()
    assert search.missed == 0


@pytest.mark.parametrize("branching", [0.0, 1.0], ids=["cuts", "branches"])
@settings(max_examples=100, deadline=None)
@given(problem=problems(), tolerance=st.sampled_from([0.1, 0.25, 0.5]))
def test_the_tolerance_is_kept(
    branching: float, problem: tuple[ExitOutputs, ExitCosts], tolerance: float
) -> None:
    outputs, costs = problem
    with patch.multiple(search_module, BRANCHING=branching, FEW=0):
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
    which = data.draw(
        st.lists(
            st.sampled_from(["macs", "mean", "params", "accuracy", "flash", "arena"]), min_size=1
        )
    )
    bounds = Bounds(
        max_macs=limit.max_macs if "macs" in which else None,
        max_mean_macs=limit.mean_macs if "mean" in which else None,
        max_params=limit.params if "params" in which else None,
        min_accuracy=limit.accuracy if "accuracy" in which else None,
        max_flash=limit.flash_bytes if "flash" in which else None,
        max_arena=limit.arena_bytes if "arena" in which else None,
    )
    tolerance = data.draw(st.sampled_from([0.0, 0.0, 0.2]))
    with patch.multiple(search_module, BRANCHING=branching, FEW=0):
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
        patch.multiple(search_module, BRANCHING=branching, FEW=0),
        patch.multiple(branches, MEMORY_BYTES=bytes_, BATCH=2),
        patch.multiple(cuts, MEMORY_BYTES=bytes_, BATCH=2),
        patch.object(Neighbours, "run"),  # good policies from the start would hide the gap
    ):
        search = search_policies(outputs, costs, effort=effort)
    for policy in every_policy(outputs):
        s = score(policy, outputs, costs)
        found = [f.accuracy for _, f in search.found if f.total_macs <= s.total_macs]
        assert max(found, default=0) >= s.accuracy - search.gap - 1e-12


def improving(exits: int, samples: int) -> tuple[ExitOutputs, ExitCosts]:
    """Exits that get better and dearer, whose confidences say something."""
    rng = np.random.default_rng(7)
    right = rng.random((exits, samples)) < np.linspace(0.5, 0.9, exits)[:, None]
    sure = np.clip(0.6 * rng.random(right.shape) + 0.4 * right, 0, 0.999)
    costs = some_costs(10 * np.arange(1, exits + 1), np.arange(exits) % 3 + 1)
    return ExitOutputs((256 * sure).astype(np.uint8), right), costs


@pytest.mark.parametrize(
    ("exits", "samples", "branching", "effort"),
    [(4, 200, 0.0, 2.3e6), (5, 60, 0.0, 8e5), (4, 200, 1.0, 1.1e6), (6, 40, 1.0, 3.2e5)],
)
def test_the_front_is_proven_without_looking_at_much(
    exits: int, samples: int, branching: float, effort: float
) -> None:
    """A quarter more than needed when this was written, for 17 million to a trillion policies."""
    with patch.multiple(search_module, BRANCHING=branching, FEW=0):
        assert search_policies(*improving(exits, samples), effort=effort).gap == 0


@pytest.mark.parametrize(("exits", "samples"), [(3, 100), (4, 80), (6, 30)])
def test_both_ways_find_the_same_front_alone(exits: int, samples: int) -> None:
    problem, fronts = improving(exits, samples), []
    for branching in (0.0, 1.0):
        with (
            patch.multiple(search_module, BRANCHING=branching, FEW=0),
            patch.object(Neighbours, "run"),
        ):
            search = search_policies(*problem)
        fronts.append([(s.correct, s.total_macs) for _, s in search.found])
    assert fronts[0] == fronts[1]
    assert any(len(policy.exits) >= 3 for policy, _ in search.found)


def test_boxes_are_cut_with_what_branching_leaves() -> None:
    for problem, efforts in ((improving(6, 40), []), (knowing_nothing(), [3e6])):
        with (
            patch.multiple(search_module, BRANCHING=0.25),
            patch.object(search_module, "Cuts", side_effect=search_module.Cuts) as begun,
        ):
            search_policies(*problem, effort=4e6)
        assert [call.args[-1] for call in begun.call_args_list] == efforts


def test_the_opening_alone_finds_almost_all_of_the_front() -> None:
    for exits, samples in ((3, 500), (5, 60)):
        outputs, costs = improving(exits, samples)
        with patch.object(search_module, "BRANCHING", 0.0):
            opened, whole = (
                hypervolume(
                    [(s.mean_macs, s.accuracy) for _, s in search.found],
                    (costs.alone_macs(0), costs.leave_macs(range(exits))[-1]),
                )
                for search in (search_policies(outputs, costs, effort=e) for e in (0, 1e9))
            )
        assert 0.999 * whole < opened <= whole


def test_most_samples_at_the_highest_level() -> None:
    rng = np.random.default_rng(5)
    right = rng.random((3, 200)) < np.array([[0.7], [0.8], [0.9]])
    levels = np.where(rng.random((3, 200)) < 0.8, 255, rng.integers(250, 255, (3, 200)))
    outputs = ExitOutputs(levels.astype(np.uint8), right)
    costs = some_costs(np.array([10, 20, 40]), np.array([1, 1, 1]))
    every = [score(policy, outputs, costs) for policy in every_policy(outputs)]
    search = search_policies(outputs, costs)
    assert [(s.correct, s.total_macs) for _, s in search.found] == front_of(every)


def knowing_nothing() -> tuple[ExitOutputs, ExitCosts]:
    """Exits that are equally good, whose confidences are random: hard to search."""
    rng = np.random.default_rng(6)
    outputs = ExitOutputs(
        rng.integers(0, 256, (6, 100)).astype(np.uint8), rng.random((6, 100)) < 0.7
    )
    return outputs, some_costs(np.array([10, 10, 20, 20, 40, 40]), np.array([1, 3, 1, 3, 1, 3]))


def test_the_same_search_finds_the_same() -> None:
    one, other = (search_policies(*knowing_nothing(), effort=1e6) for _ in range(2))
    assert one == other
    assert one.gap > 0


def test_bounds_that_nothing_keeps_find_nothing() -> None:
    outputs = ExitOutputs(np.full((2, 3), 7, np.uint8), np.ones((2, 3), bool))
    costs = some_costs(np.array([5, 9]), np.array([1, 1]))
    assert search_policies(outputs, costs, Bounds(max_macs=5)).found == ()


@pytest.mark.parametrize("exits", [8, 9, 16, 17, 32, 33, 64])
@pytest.mark.parametrize("branching", [0.0, 1.0], ids=["cuts", "branches"])
def test_only_the_last_of_many_exits_knows(exits: int, branching: float) -> None:
    right = np.zeros((exits, 2), np.bool_)
    right[-1], right[0, 0] = True, True
    levels = np.tile(np.array([[200, 100]], np.uint8), (exits, 1))
    costs = some_costs(np.arange(1, exits + 1), np.ones(exits, int))
    with patch.multiple(search_module, BRANCHING=branching, FEW=0):
        search = search_policies(ExitOutputs(levels, right), costs)
    assert search.found[-1][0] == Policy((0, exits - 1), (150, 0))
    assert (search.found[-1][1].correct, search.gap) == (2, 0)


def test_too_many_exits_are_refused() -> None:
    outputs = ExitOutputs(np.zeros((65, 3), np.uint8), np.zeros((65, 3), np.bool_))
    costs = some_costs(np.arange(1, 66), np.ones(65, int))
    with pytest.raises(UserError, match="65 exits to choose from; expected 64 at most"):
        search_policies(outputs, costs)


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
