"""The project's words: names, bounds, fronts and how points are picked from them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from eexit_tf.bounds import Bounds
from eexit_tf.errors import UserError
from eexit_tf.fronts import FRONT as FRONT_FILE
from eexit_tf.fronts import SearchFront
from eexit_tf.policies import PolicyScore
from eexit_tf.vocabulary import Exit, ExitUse, Front, OperatingPoint, counted


def point(name: str, accuracy: float, macs: float, params: int = 10) -> OperatingPoint:
    use = ExitUse("block1", "pool_dense", 0.0, 1.0, int(macs))
    return OperatingPoint(name, "0", accuracy, macs, int(macs), params, (use,))


FRONT = Front(
    (
        point("a", 0.50, 1_000),
        point("b", 0.90, 2_000),
        point("c", 0.93, 8_000),
        point("d", 0.94, 64_000),
    )
)


def test_an_exit_survives_its_name() -> None:
    exit_ = Exit("block2", "grid_dense")
    assert Exit.parse(exit_.name) == exit_
    assert Exit.parse("softmax") == Exit("softmax", "own")
    for name, at in (("a__b__c", "a_b_c"), ("x____", "x_"), ("____", "_"), ("", "output")):
        assert Exit.parse(name) == Exit(at, "own")
    with pytest.raises(UserError, match="__"):
        Exit("a__b")


def test_points_and_bounds_survive_json() -> None:
    estimated = replace(FRONT.find("b"), expected_accuracy=0.8, flash_bytes=5, arena_bytes=6)
    for value in (*FRONT, estimated):
        assert OperatingPoint.from_json(json.loads(json.dumps(value.to_json()))) == value
    bounds = Bounds(max_macs=3, min_accuracy=0.5, max_arena=7)
    assert Bounds.from_json(bounds.to_json()) == bounds


@pytest.mark.parametrize("wrong", [{"val_accuracy": 1.5}, {"mean_macs": 0}, {"exits": []}])
def test_points_that_make_no_sense(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OperatingPoint.from_json({**FRONT.find("b").to_json(), **wrong})


def test_a_front_of_more_policies_than_doubles_count_is_read_by_every_reader(
    tmp_path: Path,
) -> None:
    for policies, kind in ((2**53 - 1, int), (256**9 + 1, float)):
        front = replace(FRONT, evaluated_policies=policies, gap=0.25)
        SearchFront("digits", 3, Bounds(), 2, 0.5, (1.0, 9.0), front).save(tmp_path)
        stored = json.loads((tmp_path / FRONT_FILE).read_text())["evaluated_policies"]
        assert (type(stored), stored) == (kind, float(policies))
        again = SearchFront.load(tmp_path)
        assert (again.front.points, again.front.gap) == (FRONT.points, 0.25)
        assert (again.dataset, again.seed, again.trials) == ("digits", 3, 2)
        assert (again.hypervolume, again.reference_macs) == (0.5, (1.0, 9.0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_macs": 0},
        {"max_mean_macs": -1},
        {"min_accuracy": 1.5},
        {"max_params": -3},
        {"max_flash": 0},
        {"max_arena": -1},
    ],
)
def test_bounds_that_make_no_sense(wrong: dict) -> None:
    with pytest.raises(UserError, match=next(iter(wrong))):
        Bounds(**wrong)


@pytest.mark.parametrize(
    ("bound", "figure"),
    [
        ("max_macs", "max_macs"),
        ("max_mean_macs", "mean_macs"),
        ("max_params", "params"),
        ("max_flash", "flash_bytes"),
        ("max_arena", "arena_bytes"),
    ],
)
def test_a_bound_allows_its_own_figure_up_to_itself(bound: str, figure: str) -> None:
    score = PolicyScore(1, 34, 2, (2,), max_macs=19, params=23, flash_bytes=29, arena_bytes=31)
    known = replace(point("a", 0.5, 17, 23), max_macs=19, flash_bytes=29, arena_bytes=31)
    for of in (score, known):
        value = getattr(of, figure)
        assert of.meets(Bounds(**{bound: value}))
        assert not of.meets(Bounds(**{bound: value - 1}))
        assert of.meets(Bounds(min_accuracy=0.5))
        assert not of.meets(Bounds(min_accuracy=0.51))


def test_some_bounds_wait_for_training_and_some_for_a_file() -> None:
    every = Bounds(1, 2, 3, 0.5, 5, 6)
    assert every.of_structure == Bounds(max_macs=1, max_params=3, max_flash=5, max_arena=6)
    assert every.of_policies == Bounds(1, 2, 3, 0.5)


def test_what_is_unknown_keeps_the_bounds() -> None:
    assert FRONT.best(max_flash=1, max_arena=1).id == "d"


def test_best_is_the_most_accurate_within_the_bounds() -> None:
    assert FRONT.best().id == "d"
    assert FRONT.best(max_mean_macs=8_000).id == "c"
    with pytest.raises(UserError, match=r"keeps max_macs 10; .* to 94.00% at 64,000$"):
        FRONT.best(max_macs=10)
    with pytest.raises(UserError, match="the front has no points"):
        Front(()).best()


def test_what_the_points_need_is_said_where_that_is_bounded() -> None:
    large = replace(FRONT.points[0], flash_bytes=9_000, arena_bytes=7_000)
    small = replace(FRONT.points[1], flash_bytes=8_000, arena_bytes=7_500)
    with pytest.raises(UserError, match="need about 8,000 bytes of flash and 7,000 of arena or"):
        Front((large, small)).best(max_flash=10)


def test_the_knee_is_where_accuracy_gets_expensive() -> None:
    assert FRONT.knee().id == "b"
    assert FRONT.knee(Bounds(min_accuracy=0.92)).id == "d"
    # Of a front that nowhere bulges, the most accurate end.
    sagging = Front((point("a", 0.3, 1_000), point("b", 0.31, 9_000), point("c", 0.9, 10_000)))
    assert sagging.knee().id == "c"
    assert Front((point("a", 0.3, 1_000),)).knee().id == "a"


def test_a_point_is_found_by_its_id() -> None:
    assert FRONT.find("c").id == "c"
    with pytest.raises(UserError, match="a, b, c, d"):
        FRONT.find("z")


def test_bounds_are_said_to_the_last_mac() -> None:
    assert str(Bounds(max_macs=2_440_512, min_accuracy=0.97)) == (
        "max_macs 2,440,512, min_accuracy 0.97"
    )


def test_exits_are_counted_in_words() -> None:
    assert (counted(1, "exit"), counted(2, "exit")) == ("1 exit", "2 exits")
