"""Data for a network that is there: of any shape, test data alone, labels that it knows."""

import numpy as np
import pytest

from eexit_tf.data import labelled, split
from eexit_tf.errors import UserError
from eexit_tf.sources import Raw


@pytest.mark.parametrize("given", [(17,), (40, 3), (9, 7), (5, 4, 3), (1, 2, 3, 4)])
def test_data_for_a_network_that_is_there_may_have_any_shape(given: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(size=(40, *given)).astype(np.float32)
    raw = Raw(x, np.arange(40) % 2)
    data = split("some", raw, for_search=False)
    assert data.train.x[0].size == x[0].size
    assert set(data.train.x.ravel()) <= set((x / np.float32(data.divisor)).ravel())
    if len(given) in (1, 4):
        with pytest.raises(UserError, match="inputs must be"):
            split("some", raw)


@pytest.mark.parametrize(("kind", "divisor"), [(np.uint8, 255), (np.float32, 64)])
def test_test_data_alone_will_do(kind: type, divisor: float) -> None:
    x, y = np.arange(40, dtype=kind).reshape(10, 4), np.arange(10) % 3
    raw = Raw(None, None, x_test=x, y_test=y)
    data = split("some", raw, for_search=False)
    np.testing.assert_array_equal(data.part("test").x, x / np.float32(divisor))
    np.testing.assert_array_equal(data.part("test").y, y)
    for part in ("train", "validation"):
        assert len(data.raw[part][0]) == len(data.raw[part][1]) == 0
        with pytest.raises(UserError, match=f"data set some has no {part} part"):
            data.part(part)
    with pytest.raises(UserError, match="no training part, which a search needs"):
        split("some", raw)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([], "expected labelled samples, got none"),
        ([0, -1], "labels must not be negative, but go down to -1"),
        ([0, 3], "has labels up to 3, the network only 3 classes"),
        ([0], "there are 2 inputs and 1 labels; expected as many"),
        ([0, 0.5], r"labels must be whole numbers.* \(2,\)$"),
        ([0, np.nan], r"labels must be whole numbers.* \(2,\)$"),
        ([0.0, 1.0], r"labels must be whole numbers.* y.astype\(int\)"),
        (["cat", "dog"], "gives the names and the numbers"),
        ([[0, 1, 0], [1, 0, 0]], "of one-hot labels take the argmax"),
    ],
)
def test_labels_that_a_network_does_not_know_are_refused(labels: list, said: str) -> None:
    with pytest.raises(UserError, match=said):
        labelled((np.zeros((2, 4)), labels), 3)


@pytest.mark.parametrize("labels", [[0, 2], [[0], [2]], np.array([0, 2], np.uint8)])
def test_labels_become_one_whole_number_for_each_sample(labels: list) -> None:
    samples = labelled((np.zeros((2, 4)), labels), 3)
    assert samples.y.dtype == np.int64
    assert samples.y.tolist() == [0, 2]
