"""The project's words: names, bounds, fronts and how points are picked from them."""

import pytest

from eexit_tf.bounds import Bounds
from eexit_tf.errors import UserError
from eexit_tf.vocabulary import Exit, ExitUse, Front, OperatingPoint


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
    for value in FRONT:
        assert OperatingPoint.from_json(value.to_json()) == value
    bounds = Bounds(max_macs=3, min_accuracy=0.5, max_arena=7)
    assert Bounds.from_json(bounds.to_json()) == bounds


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


def test_best_is_the_most_accurate_within_the_bounds() -> None:
    assert FRONT.best().id == "d"
    assert FRONT.best(max_mean_macs=8_000).id == "c"
    with pytest.raises(UserError, match=r"no point of the front keeps max_macs 10"):
        FRONT.best(max_macs=10)


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
