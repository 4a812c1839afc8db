"""Training: augmentation, averaged weights, a teacher, and going on after a stop."""

from pathlib import Path

import numpy as np
import pytest

from eexit_tf.augmentation import Augmentation
from eexit_tf.averaging import WeightAverage
from eexit_tf.backbones import Stage, Stem, residual
from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits
from eexit_tf.keras import keras, seed_everything, tf
from eexit_tf.losses import Distillation
from eexit_tf.training import fit
from eexit_tf.vocabulary import Exit

SIDE = 8
RNG = np.random.default_rng(0)
TRAIN = Samples(RNG.normal(size=(64, SIDE, SIDE, 1)).astype(np.float32), RNG.integers(0, 3, 64))


def network(classes: int = 3) -> keras.Model:
    seed_everything(0)
    backbone = residual((SIDE, SIDE, 1), stem=Stem(4), stages=(Stage(4, stride=1), Stage(8)))
    return attach_exits(backbone, [Exit("stem"), Exit("block2")], classes=classes)


def weights(net: keras.Model) -> np.ndarray:
    return np.concatenate([weight.numpy().ravel() for weight in net.weights])


def augmented(augmentation: Augmentation, x: np.ndarray, times: int) -> np.ndarray:
    tf.random.set_seed(1)
    one = tf.data.Dataset.from_tensors((x, 7)).repeat(times).map(augmentation)
    samples, labels = zip(*one.as_numpy_iterator(), strict=True)
    assert set(labels) == {7}
    return np.stack(samples)


def test_flips_mirror_about_half_of_the_samples() -> None:
    x = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    given = augmented(Augmentation(flip=True), x, 100)
    flipped = (given == x[:, ::-1]).all(axis=(1, 2, 3))
    assert (flipped | (given == x).all(axis=(1, 2, 3))).all()
    assert 30 < flipped.sum() < 70


def test_shifts_move_by_every_distance_and_not_along_short_sides() -> None:
    x = np.arange(10, dtype=np.float32).reshape(1, 10, 1)
    given = augmented(Augmentation(shift=2), x, 100)
    moved = {int(row[5] - 5) for row in given[:, 0, :, 0]}
    assert moved == {-2, -1, 0, 1, 2}
    assert given.shape == (100, *x.shape)


def test_cutout_sets_one_square_to_0() -> None:
    x = np.ones((9, 9, 2), np.float32)
    given = augmented(Augmentation(cutout=3), x, 100)
    holes = (given == 0).all(axis=-1)
    assert ((given == 0).any(axis=-1) == holes).all()
    assert holes.sum(axis=(1, 2)).max() == 9
    assert (holes.sum(axis=(1, 2)) >= 4).all()  # at a corner
    assert holes.any(axis=0).all()


@pytest.mark.parametrize("wrong", [{"shift": -1}, {"cutout": -2}])
def test_negative_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UserError, match="0 or more"):
        Augmentation(**wrong)  # type: ignore[arg-type]


def test_averaged_weights_are_the_moving_average() -> None:
    net = network()
    seen: list[np.ndarray] = []
    see = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: seen.append(weights(net)))
    start = weights(net)
    fit(net, TRAIN, epochs=2, batch_size=16, callbacks=[see, WeightAverage(0.5)])
    average = start
    for batch, now in enumerate(seen, 1):
        decay = min(0.5, (1 + batch) / (10 + batch))
        average = decay * average + (1 - decay) * now
    np.testing.assert_allclose(weights(net), average, rtol=1e-4, atol=1e-6)


def test_a_teacher_teaches_and_is_not_taught() -> None:
    teacher, net = network(), network()
    before = weights(teacher)
    loss = Distillation(teacher=True)
    fit(net, TRAIN, epochs=1, loss=loss, teacher=teacher, augmentation=Augmentation(flip=True))
    np.testing.assert_array_equal(weights(teacher), before)
    assert (weights(net) != before).any()


def test_a_teacher_of_other_classes_is_refused() -> None:
    with pytest.raises(UserError, match="a teacher for residual must take"):
        fit(network(), TRAIN, epochs=1, teacher=network(classes=5))


def test_training_that_was_stopped_goes_on(tmp_path: Path) -> None:
    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    ran: list[int] = []
    count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: ran.append(epoch))
    with pytest.raises(KeyboardInterrupt):
        fit(network(), TRAIN, epochs=4, backup=tmp_path / "backup", callbacks=[count, Stop()])
    fit(network(), TRAIN, epochs=4, backup=tmp_path / "backup", callbacks=[count])
    assert ran == [0, 1, 2, 2, 3]
    assert not (tmp_path / "backup").exists() or not any((tmp_path / "backup").iterdir())
