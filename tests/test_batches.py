"""Batches for Keras: every sample once, and no thread that training would wait for."""

import numpy as np
import pytest

from eexit_tf.augmentation import Augmentation
from eexit_tf.batches import batches

X = np.arange(23 * 4 * 4, dtype=np.float32).reshape(23, 4, 4, 1)
Y = np.arange(23)


@pytest.mark.parametrize("augmentation", [None, Augmentation(shift=1)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_every_sample_comes_once_in_a_pass(shuffle: bool, augmentation: Augmentation) -> None:
    data = batches((X, Y), 8, shuffle=shuffle, augmentation=augmentation)
    first, second = ([label.numpy() for _, label in data] for _ in range(2))
    for labels in first, second:
        assert [len(part) for part in labels] == [8, 8, 7]
        np.testing.assert_array_equal(np.sort(np.concatenate(labels)), Y)
    assert np.array_equal(np.concatenate(first), np.concatenate(second)) != shuffle


def test_samples_keep_their_labels() -> None:
    for x, y in batches((X, Y), 8, shuffle=True):
        np.testing.assert_array_equal(x, X[y.numpy()])


def test_inputs_alone_come_in_their_order() -> None:
    np.testing.assert_array_equal(np.concatenate([x.numpy() for x in batches(X, 8)]), X)


def test_nothing_tunes_itself() -> None:
    assert (
        batches((X, Y), 8, augmentation=Augmentation(flip=True)).options().autotune.enabled is False
    )
