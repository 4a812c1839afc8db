"""Fronts, hypervolume and ranks, against their definitions."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eexit_tf.pareto import hypervolume, hypervolume_gain, pareto_front, pareto_rank

POINTS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=24)


def dominates(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a != b and a[0] >= b[0] and a[1] <= b[1]


@given(POINTS)
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    accuracy, cost = [p[0] for p in points], [p[1] for p in points]
    front = pareto_front(accuracy, cost).tolist()
    best = {p for p in points if not any(dominates(q, p) for q in points)}
    assert [points[i] for i in front] == sorted(best, key=lambda p: p[1])
    assert all(i == points.index(points[i]) for i in front)


def test_accuracies_may_be_unsigned() -> None:
    assert pareto_front(np.array([1, 3, 2], np.uint8), [5, 5, 5]).tolist() == [1]


def test_a_front_needs_as_many_costs_as_accuracies() -> None:
    with pytest.raises(ValueError, match="one length"):
        pareto_front([1, 2], [1])


def test_hypervolume_by_hand() -> None:
    # 0 up to 10, 0.5 up to 100, 0.8 up to 1000; a dominated point and one out of range.
    points = [(100, 0.8), (10, 0.5), (200, 0.7), (1000, 1.0)]
    assert hypervolume(points, (1, 1000)) == pytest.approx((0.5 + 0.8) / 3)


def test_points_cheaper_than_the_range_count_from_its_start() -> None:
    assert hypervolume([(1, 0.9)], (10, 100)) == pytest.approx(0.9)
    assert hypervolume([(1, 0.4), (2, 0.9)], (10, 100)) == pytest.approx(0.9)
    assert hypervolume([], (10, 100)) == 0
    assert hypervolume([(100, 1.0)], (10, 100)) == 0


def test_the_range_is_checked() -> None:
    for wrong in ((10, 10), (10, 5), (0, 10)):
        with pytest.raises(ValueError, match="low < high"):
            hypervolume([(1, 1)], wrong)


@given(POINTS)
def test_hypervolume_is_the_integral_of_the_best_accuracy(points: list[tuple[int, int]]) -> None:
    scaled = [(cost + 1.0, accuracy / 8) for accuracy, cost in points]
    exact = sum(
        max((a for c, a in scaled if c <= at), default=0.0) * log((at + 1) / at)
        for at in range(2, 7)
    )
    assert hypervolume(scaled, (2, 7)) == pytest.approx(exact / log(7 / 2))


@given(POINTS, POINTS)
def test_gain_is_what_is_added(new: list[tuple[int, int]], old: list[tuple[int, int]]) -> None:
    points = [(c + 1.0, a / 8) for a, c in new]
    archive = [(c + 1.0, a / 8) for a, c in old]
    gain = hypervolume_gain(iter(points), iter(archive), (1, 9))
    both = hypervolume(points + archive, (1, 9))
    assert gain == pytest.approx(both - hypervolume(archive, (1, 9)))
    assert hypervolume_gain(archive, archive, (1, 9)) == 0


@given(POINTS)
def test_rank_peels_fronts(points: list[tuple[int, int]]) -> None:
    ranks = pareto_rank([p[0] for p in points], [p[1] for p in points], np.zeros(len(points)))
    left, expected = list(range(len(points))), [-1] * len(points)
    for rank in range(len(points)):
        front = [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        for i in front:
            expected[i] = rank
        left = [i for i in left if i not in front]
    assert ranks.tolist() == expected


def test_ranks_need_as_many_costs_and_violations_as_accuracies() -> None:
    for lengths in ((2, 1, 2), (2, 2, 1)):
        with pytest.raises(ValueError, match="one length"):
            pareto_rank(*map(np.zeros, lengths))


def test_keeping_the_bounds_comes_first() -> None:
    ranks = pareto_rank([0.5, 0.9, 0.9, 0.6], [10, 1, 1, 9], [0, 0.2, 0.1, 0])
    assert ranks.tolist() == [1, 3, 2, 0]
