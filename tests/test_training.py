"""Training: averaged weights, a teacher, and going on after a stop."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eexit_tf import batches, training
from eexit_tf.augmentation import Augmentation
from eexit_tf.averaging import WeightAverage
from eexit_tf.backbones import Stage, Stem, residual
from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits
from eexit_tf.keras import keras, seed_everything, tf
from eexit_tf.losses import Distillation
from eexit_tf.training import (
    WarmUpCosine,
    exit_outputs,
    fit,
    load_weights,
    save_weights,
    scores,
    stack_outputs,
)
from eexit_tf.vocabulary import Exit

SIDE = 8
RNG = np.random.default_rng(0)
TRAIN = Samples(RNG.normal(size=(64, SIDE, SIDE, 1)).astype(np.float32), RNG.integers(0, 3, 64))


def network(classes: int = 3, seed: int = 0) -> keras.Model:
    seed_everything(seed)
    backbone = residual((SIDE, SIDE, 1), stem=Stem(4), stages=(Stage(4, stride=1), Stage(8)))
    return attach_exits(backbone, [Exit("stem"), Exit("block2")], classes=classes)


def weights(net: keras.Model) -> np.ndarray:
    return np.concatenate([weight.numpy().ravel() for weight in net.weights])


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
    fit(teacher, TRAIN, epochs=1)  # a teacher may learn on
    pairs = zip(teacher.get_weights(), network().get_weights(), strict=True)
    assert all((now != then).any() for now, then in pairs)


def test_a_teacher_and_a_loss_must_be_meant_for_each_other() -> None:
    with pytest.raises(UserError, match="needs a teacher, but none is given"):
        fit(network(), TRAIN, epochs=1, loss=Distillation(teacher=True))
    for loss in (None, Distillation()):
        with pytest.raises(UserError, match=r"with a teacher give Distillation\(teacher=True\)"):
            fit(network(), TRAIN, epochs=1, loss=loss, teacher=network())


def test_several_teachers_say_their_mean() -> None:
    net, teachers = network(), [network(seed=1), network(seed=2)]
    stacked = stack_outputs(net, teachers)
    said = [teacher(TRAIN.x)[-1] for teacher in teachers]
    assert (said[0].numpy() != said[1].numpy()).any()
    np.testing.assert_allclose(stacked(TRAIN.x)[:, -1], (said[0] + said[1]) / 2, atol=1e-6)
    np.testing.assert_array_equal(stacked(TRAIN.x)[:, 0], net(TRAIN.x)[0])
    assert len(stacked.trainable_weights) == len(net.trainable_weights)


@pytest.mark.parametrize("teachers", [0, 2])
def test_a_trainer_is_saved_whole_and_its_weights_fit_the_network(
    teachers: int, tmp_path: Path
) -> None:
    net, given = network(), [network(seed=number) for number in range(teachers)]
    place, light = tmp_path / "trainer.keras", tmp_path / "trainer.weights.h5"
    fit(
        net,
        TRAIN,
        epochs=1,
        loss=Distillation(teacher=bool(teachers)),
        teacher=given,
        callbacks=[
            keras.callbacks.ModelCheckpoint(str(place)),
            keras.callbacks.ModelCheckpoint(str(light), save_weights_only=True),
        ],
    )
    loaded = keras.models.load_model(place)
    np.testing.assert_array_equal(loaded(TRAIN.x), stack_outputs(net, given)(TRAIN.x))
    assert isinstance(loaded.optimizer.learning_rate, WarmUpCosine)
    assert len(loaded.weights) == len(net.weights)
    again = network(seed=1)
    load_weights(again, light)
    np.testing.assert_array_equal(weights(again), weights(net))


def test_a_teacher_of_other_classes_is_refused() -> None:
    with pytest.raises(UserError, match="a teacher for residual must take"):
        fit(
            network(),
            TRAIN,
            epochs=1,
            loss=Distillation(teacher=True),
            teacher=network(classes=5),
        )


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
    assert not (tmp_path / "backup").exists()


def test_a_backup_leaves_other_files_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    fit(network(), TRAIN, epochs=1, backup=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("options", [{"epochs": 0}, {"batch_size": 0}, {"batch_size": -1}])
def test_a_training_does_something(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(options))} must be 1 or more"):
        fit(network(), TRAIN, **{"epochs": 1, **options})


def test_large_maps_are_trained_and_asked_in_smaller_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []

    def counted(samples: Any, size: int, **options: Any) -> Any:
        sizes.append(size)
        return batches.batches(samples, size, **options)

    monkeypatch.setattr(training, "batches", counted)
    net = network()
    maps = [math.prod(layer.output.shape[1:]) for layer in net.layers]
    for held in (batches.MOST_HELD, 3 * sum(maps) + 5, 1):
        monkeypatch.setattr(batches, "MOST_HELD", held)
        fit(net, TRAIN, epochs=1)
        assert [score.shape for score in scores(net, TRAIN.x)] == [(64, 3)] * 2
    assert sizes == [32, 256, 3, sizes[3], 1, 1]
    assert sizes[3] == (3 * sum(maps) + 5) // (4 * max(maps))


def test_layers_of_unknown_shape_can_be_trained_and_asked() -> None:
    image = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Lambda(lambda x: tf.py_function(lambda y: y, [x], tf.float32))(image)
    x = keras.layers.Lambda(lambda x: tf.ensure_shape(x, (None, SIDE, SIDE, 1)))(x)
    net = keras.Model(image, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(x)))
    fit(net, TRAIN, epochs=1)
    assert scores(net, TRAIN.x)[0].shape == (64, 3)


def test_a_state_that_cannot_be_kept_is_a_matter_of_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match="Not a directory") as failed:
        fit(network(), TRAIN, epochs=1, backup=tmp_path / "file")
    assert str(tmp_path / "file") in str(failed.value.filename)


def test_places_may_be_strings(tmp_path: Path) -> None:
    net, other = network(), network(seed=1)
    fit(net, TRAIN, epochs=1, backup=str(tmp_path / "backup"))
    file = str(tmp_path / "net.weights.h5")
    save_weights(net, file)
    load_weights(other, file)
    np.testing.assert_array_equal(weights(other), weights(net))
    assert [path.name for path in tmp_path.iterdir()] == ["net.weights.h5"]


def spoilt(value: float) -> np.ndarray:
    x = TRAIN.x.copy()
    x[[3, 7], 1, 2] = value
    return x


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (TRAIN.x[:0], TRAIN.y[:0], "expected labelled samples, got none"),
        (TRAIN.x, TRAIN.y[:9], "64 inputs and 9 labels"),
        (TRAIN.x[:, 1:], TRAIN.y, r"takes samples of \(8, 8, 1\), got \(7, 8, 1\)"),
        (spoilt(np.nan), TRAIN.y, "2 of 64 inputs hold NaN or infinity"),
        (spoilt(-np.inf), TRAIN.y, "2 of 64 inputs hold NaN or infinity"),
        (TRAIN.x, TRAIN.y + 1, "labels up to 3, the network only 3 classes"),
        (TRAIN.x, TRAIN.y - 1, "labels must not be negative, but go down to -1"),
        (TRAIN.x, TRAIN.y + 0.5, "labels must be whole numbers"),
        (TRAIN.x, np.eye(3)[TRAIN.y], "of one-hot labels take the argmax"),
    ],
)
def test_samples_that_do_not_fit_are_refused(x: np.ndarray, y: np.ndarray, said: str) -> None:
    net, wrong = network(), Samples(x, y)
    for use in (
        lambda: fit(net, wrong, epochs=1),
        lambda: fit(net, TRAIN, validation=wrong, epochs=1),
        lambda: exit_outputs(net, wrong),
    ):
        with pytest.raises(UserError, match=said):
            use()


def two_outputs(early: Callable, late: Callable) -> keras.Model:
    inputs = keras.Input((SIDE, SIDE, 1))
    x = keras.layers.Flatten()(inputs)
    return keras.Model(inputs, [early(x), late(x)])


def linear(x: object) -> object:
    return keras.layers.Activation("linear")(x)


def with_softmax(x: object) -> object:
    return keras.layers.Dense(3, "softmax")(x)


@pytest.mark.parametrize(
    "late",
    [
        keras.layers.Dense(3, name="late"),
        keras.layers.Dense(3, "sigmoid", name="late"),
        keras.layers.Dense(3, "tanh", name="late"),
        lambda x: linear(keras.layers.Dense(3, name="late")(x)),
        lambda x: linear(linear(keras.layers.Dense(3, name="late")(x))),
        lambda x: keras.layers.Activation("relu", name="late")(keras.layers.Dense(3)(x)),
    ],
)
def test_outputs_without_a_softmax_are_refused(late: Callable) -> None:
    net = two_outputs(with_softmax, late)
    for use in (lambda: fit(net, TRAIN, epochs=1), lambda: exit_outputs(net, TRAIN)):
        with pytest.raises(UserError, match="ends in 'late' without a softmax"):
            use()


@pytest.mark.parametrize(
    "late",
    [
        lambda x: keras.layers.Softmax()(keras.layers.Dense(3)(x)),
        lambda x: keras.layers.Activation("softmax")(keras.layers.Dense(3)(x)),
        lambda x: keras.layers.Activation("linear", name="late")(with_softmax(x)),
        lambda x: keras.layers.Dense(3, lambda x: tf.nn.softmax(x))(x),
        lambda x: keras.Sequential([keras.layers.Dense(3)])(x),
    ],
)
def test_a_softmax_may_stand_anywhere_and_may_not_be_seen(late: Callable) -> None:
    assert exit_outputs(two_outputs(with_softmax, late), TRAIN).samples == len(TRAIN.y)
