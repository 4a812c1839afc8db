"""Random points of a space and their children."""

from collections import Counter
from unittest.mock import patch

import numpy as np
import pytest
from keras_tuner.engine.hyperparameters import Choice

from eexit_tf.tuners import evolution
from eexit_tf.tuners.evolution import Values, child, every_point, random_point

SPACE = [
    Choice("width", [1, 2, 3, 4, 5], ordered=True),
    Choice("depth", [1, 2, 3, 4, 5], ordered=True),
    Choice("kernel", [1, 2, 3, 4, 5], ordered=True),
    Choice("family", ["a", "b", "c"], ordered=False),
]


def born(*parents: Values, space: list[Choice] = SPACE) -> list[Values]:
    rng = np.random.default_rng(0)
    return [child(space, parents, rng) for _ in range(2000)]


def changed(parent: Values, children: list[Values]) -> list[tuple[str, ...]]:
    return [tuple(name for name in parent if born[name] != parent[name]) for born in children]


def test_a_random_point_has_any_of_the_choices() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_point(SPACE, rng) for _ in range(300)]
    for parameter in SPACE:
        assert {point[parameter.name] for point in drawn} == set(parameter.values)


def test_a_child_has_one_or_two_mutations() -> None:
    parent: Values = {"width": 3, "depth": 3, "kernel": 3}
    counts = Counter(map(len, changed(parent, born(parent, space=SPACE[:3]))))
    assert set(counts) == {1, 2}
    assert counts[1] / 2000 == pytest.approx(0.5, abs=0.05)
    alone = {"width": 3}
    assert set(changed(alone, born(alone, space=SPACE[:1]))) == {("width",)}


def test_mutations_are_to_the_next_or_to_any_choice() -> None:
    parent: Values = {"width": 3, "depth": 1, "kernel": 5, "family": "a"}
    children = born(parent)
    assert {name for names in changed(parent, children) for name in names} == set(parent)
    assert {name: {born[name] for born in children} for name in parent} == {
        "width": {2, 3, 4},
        "depth": {1, 2},
        "kernel": {4, 5},
        "family": {"a", "b", "c"},
    }


def test_a_child_has_something_of_both_parents() -> None:
    low: Values = {"width": 1, "depth": 1, "kernel": 1, "family": "a"}
    high: Values = {"width": 5, "depth": 5, "kernel": 5, "family": "b"}
    pairs = Counter((one["width"] > 3, one["depth"] > 3) for one in born(low, high))
    assert len(pairs) == 4


def test_each_parent_is_the_better_of_two() -> None:
    parents: list[Values] = [{"family": family} for family in "abc"]
    still = [Choice(f"still{number}", [0, 1], ordered=True) for number in range(40)]
    for parent in parents:  # mutations seldom change the family
        parent.update(dict.fromkeys((parameter.name for parameter in still), 0))
    counts = Counter(one["family"] for one in born(*parents, space=[SPACE[-1], *still]))
    for family, part in zip("abc", (5 / 9, 3 / 9, 1 / 9), strict=True):
        assert counts[family] / 2000 == pytest.approx(part, abs=0.05)


def test_a_space_without_choices_has_one_point() -> None:
    rng = np.random.default_rng(0)
    assert child([], [{}], rng) == random_point([], rng) == {}
    assert list(every_point([], rng)) == [{}]


def test_every_point_comes_once_in_any_order() -> None:
    def key(values: Values) -> tuple:
        return tuple(values.values())

    one, other = (
        [key(point) for point in every_point(SPACE, np.random.default_rng(seed))]
        for seed in range(2)
    )
    assert len(one) == len(set(one)) == 5 * 5 * 5 * 3
    assert one != sorted(one)
    assert one != other
    assert sorted(one) == sorted(other)


def test_of_a_huge_space_so_many_points_come_at_random() -> None:
    for most, points in ((374, 374), (375, 375)):
        with patch.object(evolution, "MOST_IN_ALL", most):
            found = [tuple(p.values()) for p in every_point(SPACE, np.random.default_rng(0))]
        assert len(found) == points
        assert (len(set(found)) == points) == (most == 375)
