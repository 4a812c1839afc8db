"""Heads by hand: what each kind is made of, on maps of several sizes."""

import pytest

from eexit_tf.blueprints import Unit, conv, image
from eexit_tf.heads import GRID, NACHOS, POOLED, check_head, head, head_name
from eexit_tf.tuners import head_choices

Sides = tuple[int, int]
Part = tuple[str, str, tuple[int, int, int], Sides, Sides]
ONE, TWO = (1, 1), (2, 2)


def parts(shape: tuple[int, int, int], kind: str) -> list[Part]:
    """Kind, name, shape, kernel and stride of what stands between a tap and the classifier."""
    tap = conv(image((*shape[:2], 1)), shape[2], 3, name="tap")
    last = head(tap, kind, 3, "o")
    assert (last.kind, last.name, last.shape) == ("classify", "o", (1, 1, 3))
    found: list[Unit] = []
    (unit,) = last.inputs
    while unit is not tap:
        found.insert(0, unit)
        (unit,) = unit.inputs
    return [(part.kind, part.name, part.shape, part.kernel, part.stride) for part in found]


def pooled(shape: tuple[int, int, int], window: Sides) -> Part:
    return ("average", "o_pool", shape, window, window)


@pytest.mark.parametrize(
    ("kind", "shape", "expected"),
    [
        (POOLED, (9, 8, 4), [pooled((1, 1, 4), (9, 8))]),
        (POOLED, (1, 1, 4), []),
        (GRID, (9, 8, 4), [pooled((4, 4, 4), TWO)]),
        (GRID, (1, 9, 4), [pooled((1, 4, 4), (1, 2))]),
        (GRID, (7, 7, 4), []),
        (
            NACHOS,
            (9, 8, 4),
            [
                ("conv", "o_1", (5, 4, 32), (3, 3), TWO),
                ("conv", "o_2", (3, 2, 64), (3, 3), TWO),
                ("conv", "o_3", (2, 1, 128), (3, 3), TWO),
                pooled((1, 1, 128), (2, 1)),
            ],
        ),
        (
            "separable5x2max_conv3_dense",
            (8, 8, 4),
            [
                ("depthwise", "o_1_spatial", (4, 4, 4), (5, 5), TWO),
                ("conv", "o_1", (4, 4, 8), ONE, ONE),
                ("maximum", "o_1_max", (2, 2, 8), TWO, TWO),
                ("conv", "o_2", (1, 1, 8), (3, 3), TWO),
            ],
        ),
        (
            "conv3max_dense",
            (1, 9, 4),
            [
                ("conv", "o_1", (1, 5, 4), (1, 3), TWO),
                ("maximum", "o_1_max", (1, 2, 4), (1, 2), (1, 2)),
                pooled((1, 1, 4), (1, 2)),
            ],
        ),
        ("conv3max_dense", (2, 2, 4), [("conv", "o_1", (1, 1, 4), (3, 3), TWO)]),
    ],
)
def test_heads_by_hand(kind: str, shape: tuple[int, int, int], expected: list[Part]) -> None:
    assert parts(shape, kind) == expected


def test_heads_are_called_as_they_are_made() -> None:
    assert head_name([]) == POOLED
    said = head_name([("conv", 3, 2, True), ("separable", 5, 1, False)])
    assert said == "conv3x2max_separable5_dense"
    check_head(said)


def test_the_cheap_heads_are_always_there_and_one_more_at_most() -> None:
    module = {"head_modules": 2, "head_kernel": 5, "head_growth": 2, "head_pool": 1}
    first = {"head_modules": 1, "head_kernel": 3, "head_growth": 1, "head_pool": 0}
    for family, further in {
        "none": [],
        "nachos": [NACHOS],
        "conv": ["conv5x2max_conv5x2max_dense"],
        "separable": ["separable5x2max_separable5x2max_dense"],
    }.items():
        values = {"head": family, "stages": 3, **module}
        assert head_choices.kinds(values) == [POOLED, GRID, *further]
        needed = module if family in ("conv", "separable") else first
        assert head_choices.canonical(values) == {"head": family, "stages": 3, **needed}
    assert head_choices.kinds({"head": "conv", **first}) == [POOLED, GRID, "conv3_dense"]
