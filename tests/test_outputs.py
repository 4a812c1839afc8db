"""What exits said, as levels: rounded before there is a file, exact from one."""

from pathlib import Path

import numpy as np
import pytest

from eexit_tf.confidences import check_confidence, levels
from eexit_tf.errors import UserError
from eexit_tf.outputs import ExitOutputs

LABELS = np.array([0, 1, 1])


def scores(*largest: float) -> np.ndarray:
    """Of class 0, beside less of class 1 and hardly any of class 2."""
    first = np.array(largest, np.float32)
    return np.stack([first, 0.75 * (1 - first), 0.25 * (1 - first)], axis=1)


def test_scores_are_rounded_to_levels_as_int8_does() -> None:
    both = [scores(129.4 / 256, 129.6 / 256, 1.0), scores(0.5, 255.4 / 256, 255.6 / 256)]
    found = ExitOutputs.from_scores(both, LABELS)
    assert found.levels.tolist() == [[129, 130, 255], [128, 255, 255]]
    assert found.right.tolist() == [[True, False, False]] * 2
    assert found.samples == 3


def test_floats_of_a_file_reach_the_levels_that_they_are_not_below() -> None:
    both = [scores(129.4 / 256, 129.6 / 256, 1.0), scores(0.5, 255.4 / 256, 255.6 / 256)]
    found = ExitOutputs.from_file(both, LABELS)
    assert found.levels.tolist() == [[129, 129, 255], [128, 255, 255]]


def test_int8_of_a_file_is_its_levels_less_128() -> None:
    said = np.array([[127, -128, -128], [-28, 72, -28], [0, 0, -128]], np.int8)
    assert ExitOutputs.from_file([said], LABELS).levels.tolist() == [[255, 200, 128]]
    assert ExitOutputs.from_file([said], LABELS).right.tolist() == [[True, True, False]]
    assert ExitOutputs.from_file([said], LABELS, "margin").levels.tolist() == [[255, 100, 0]]


def test_margins_are_between_the_two_largest_of_many_classes() -> None:
    said = np.array([[0.5, 0.0, 0.5, 0.0], [0.125, 0.25, 0.0, 0.625], [0, 1, 0, 0]], np.float32)
    assert levels(said, "margin").tolist() == [0, 96, 255]
    assert levels(said).tolist() == [128, 160, 255]
    with pytest.raises(UserError, match="unknown confidence 'entropy'; there are max, margin"):
        check_confidence("entropy")


def test_outputs_survive_a_file(tmp_path: Path) -> None:
    made = ExitOutputs.from_scores([scores(0.4, 0.5, 0.9)], LABELS)
    made.save(tmp_path / "outputs.npz")
    again = ExitOutputs.load(tmp_path / "outputs.npz")
    np.testing.assert_array_equal(again.levels, made.levels)
    np.testing.assert_array_equal(again.right, made.right)


@pytest.mark.parametrize(
    ("levels", "right"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((3, 2), bool)),
        (np.zeros(3, np.uint8), np.zeros(3, bool)),
        (np.zeros((2, 3), np.int64), np.zeros((2, 3), bool)),
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.uint8)),
    ],
)
def test_outputs_check_themselves(levels: np.ndarray, right: np.ndarray) -> None:
    with pytest.raises(ValueError, match="levels"):
        ExitOutputs(levels, right)
