"""Training all exits of a network together, and asking it what they say."""

import contextlib
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eexit_tf.augmentation import Augmentation
from eexit_tf.backups import Backup
from eexit_tf.batches import batches, fitting_size
from eexit_tf.data import Samples, labelled
from eexit_tf.errors import UserError
from eexit_tf.files import write_bytes
from eexit_tf.foreign_keras import refuse_keras3
from eexit_tf.keras import keras, tf
from eexit_tf.losses import CascadeCrossEntropy, Distillation, JointCrossEntropy
from eexit_tf.outputs import ExitOutputs
from eexit_tf.ranges import check_count, check_not_negative
from eexit_tf.raw_checks import check_finite
from eexit_tf.reporter import Reporter
from eexit_tf.softmaxes import check_softmax
from eexit_tf.stacking import Stack

LEARNING_RATE = 8e-3
SMALLEST_BATCH, LARGEST_BATCH = 32, 128
STEPS_AN_EPOCH = 40
"""Small data gets small batches, so that an epoch has at least about this many steps."""
WARM_UP = 0.1
"""Part of the steps in which the learning rate rises to its peak."""


@keras.saving.register_keras_serializable("eexit_tf")
class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then half a cosine down to zero (Loshchilov and Hutter 2017).

    Args:
        peak: the highest learning rate.
        steps: optimizer steps in all.

    Raises:
        UserError: a rate below 0, or fewer steps than one.
    """

    def __init__(self, peak: float, steps: int) -> None:
        check_not_negative("the learning rate", peak)
        check_count("steps", steps)
        self.peak = peak
        self.steps = steps
        self.warm_up = max(1, round(WARM_UP * steps))

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        rising = (step + 1) / self.warm_up
        along = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        falling = 0.5 * (1 + tf.cos(math.pi * tf.clip_by_value(along, 0.0, 1.0)))
        return self.peak * tf.where(step < self.warm_up, rising, falling)

    def get_config(self) -> dict[str, float]:
        return {"peak": self.peak, "steps": self.steps}


def stack_outputs(
    net: keras.Model, teacher: keras.Model | Sequence[keras.Model] = ()
) -> keras.Model:
    """The network with all its outputs in one, (batch, exits, classes), sharing its layers.

    Behind it one Keras loss trains all exits: the same gradients as a loss an exit, but a network
    with 18 exits starts to train in 3 seconds instead of 14.

    Args:
        net: one softmax output an exit, in the order of execution.
        teacher: one or several trained networks for the same inputs; the mean of what their
            (last) outputs say becomes the last row, for `losses.Distillation(teacher=True)`
            (Hinton et al. 2015). They are not trained here, and stay as trainable as they are.

    Raises:
        UserError: a teacher takes other inputs or knows other classes.
    """
    refuse_keras3(net, teacher)
    rows = list(net.outputs)
    teachers = [teacher] if isinstance(teacher, keras.Model) else teacher
    refuse_keras3(*teachers)
    said = [_answers(one, net, f"teacher{number}") for number, one in enumerate(teachers)]
    if said:
        rows.append(tf.add_n(said) / len(said))
    return keras.Model(net.input, Stack(name="stack")(rows), name=net.name)


def _answers(teacher: keras.Model, net: keras.Model, name: str) -> Any:
    """What a teacher says of the network's inputs."""
    given, wanted = teacher.outputs[-1], net.outputs[-1]
    if teacher.input_shape != net.input_shape or given.shape != wanted.shape:
        raise UserError(
            f"a teacher for {net.name} must take {net.input_shape} and give "
            f"{tuple(wanted.shape)}, but {teacher.name} takes {teacher.input_shape} and gives "
            f"{tuple(given.shape)}"
        )
    return Teacher(keras.Model(teacher.input, given), name=name)(net.input)


@keras.saving.register_keras_serializable("eexit_tf")
class Teacher(keras.layers.Layer):
    """Says what another network says, whose weights are not this one's.

    They go into a `.keras` file all the same, which would not teach the same without them.

    Args:
        network: with one output.
        name: of the layer.
    """

    def __init__(self, network: keras.Model, name: str) -> None:
        super().__init__(name=name, trainable=False)
        self._network = lambda: network  # which itself would be tracked

    def call(self, inputs: Any) -> Any:
        return tf.stop_gradient(self._network()(inputs, training=False))

    def get_config(self) -> dict[str, Any]:
        return {"network": keras.saving.serialize_keras_object(self._network()), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Teacher":
        network = keras.saving.deserialize_keras_object(config["network"])
        return cls(network, config["name"])

    def save_own_variables(self, store: Any) -> None:
        for number, weight in enumerate(self._network().get_weights()):
            store[str(number)] = weight

    def load_own_variables(self, store: Any) -> None:
        self._network().set_weights([store[str(number)] for number in range(len(store))])


def checked(net: keras.Model, samples: Samples) -> Samples:
    """The samples, if they fit the network.

    Raises:
        UserError: there are none, or inputs or labels are not what the network takes, or it has
            an output without a softmax, see `softmaxes.check_softmax`.
    """
    refuse_keras3(net)
    check_softmax(net)
    x, y = labelled(samples, net.outputs[-1].shape[-1])
    if None not in net.input_shape[1:] and x.shape[1:] != net.input_shape[1:]:
        raise UserError(f"{net.name} takes samples of {net.input_shape[1:]}, got {x.shape[1:]}")
    check_finite(f"samples for {net.name}", x)
    return Samples(x, y)


def fit(
    net: keras.Model,
    train: Samples,
    *,
    validation: Samples | None = None,
    epochs: int,
    loss: keras.losses.Loss | None = None,
    teacher: keras.Model | Sequence[keras.Model] = (),
    augmentation: Augmentation | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
    learning_rate: float = LEARNING_RATE,
    batch_size: int | None = None,
    backup: Path | str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> keras.callbacks.History:
    """Train every exit of a network at once, in place.

    Args:
        net: one softmax output an exit.
        train, validation: inputs (samples, height, width, channels) and labels (samples,).
        epochs: passes over `train`.
        loss: over all exits, see `losses`; equal cross-entropies if not given.
        teacher: one or several, see `stack_outputs`.
        augmentation: of the training samples.
        optimizer: Keras's own, with its learning rate; Adam if not given.
        learning_rate: the highest of Adam's schedule.
        batch_size: samples a step; from 32 to 128 by the size of the data if not given, and fewer
            where the network's maps would take more than about 4 GB.
        backup: a folder for the state of training after each epoch: with it, training that was
            stopped goes on. It is removed at the end, unless it holds something else.
        callbacks: Keras's own.

    Returns:
        Keras's history: `loss` and, with `validation`, `val_loss`.

    Raises:
        UserError: the samples do not fit the network, see `checked`, or the teacher or the loss
            does not, or one of them is of Keras 3; or there are no epochs or samples a step.
    """
    train = checked(net, train)
    refuse_keras3(loss, optimizer, *callbacks)
    check_count("epochs", epochs)
    if batch_size is not None:
        check_count("batch_size", batch_size)
    loss = loss or JointCrossEntropy()
    _check_teacher(loss, bool(teacher))
    usual = min(max(len(train.x) // STEPS_AN_EPOCH, SMALLEST_BATCH), LARGEST_BATCH)
    batch_size = batch_size or fitting_size(net, usual, training=True)
    trainer = stack_outputs(net, teacher)
    if optimizer is None:
        steps = epochs * math.ceil(len(train.x) / batch_size)
        # The legacy Adam is one fused operator a variable, the new one ten: half the time to
        # start.
        optimizer = keras.optimizers.legacy.Adam(WarmUpCosine(learning_rate, steps))
    trainer.compile(optimizer=optimizer, loss=loss)
    backups = [] if backup is None else [Backup(backup)]
    history = trainer.fit(
        batches(tuple(train), batch_size, shuffle=True, augmentation=augmentation),
        validation_data=validation and batches(tuple(checked(net, validation)), batch_size),
        epochs=epochs,
        verbose=0,
        callbacks=[*backups, *callbacks],
    )
    if backup is not None:
        with contextlib.suppress(OSError):  # Keras leaves the folder
            Path(backup).rmdir()
    return history


def _check_teacher(loss: keras.losses.Loss, taught: bool) -> None:
    if isinstance(loss, Distillation) and loss.teacher and not taught:
        raise UserError("Distillation(teacher=True) needs a teacher, but none is given")
    for_exits = isinstance(loss, JointCrossEntropy | CascadeCrossEntropy | Distillation)
    if taught and for_exits and not getattr(loss, "teacher", False):
        raise UserError(
            f"a {type(loss).__name__} would train the teacher's answers as one more exit; with a "
            f"teacher give Distillation(teacher=True)"
        )


def save_weights(net: keras.Model, path: Path | str) -> None:
    """Write `….weights.h5` beside its place; Keras writes in place, so it writes elsewhere."""
    with tempfile.TemporaryDirectory() as elsewhere:
        beside = Path(elsewhere) / Path(path).name
        net.save_weights(beside)
        write_bytes(path, beside.read_bytes())


def load_weights(net: keras.Model, path: Path | str) -> None:
    """Give a network the weights in a file.

    Raises:
        UserError: they are not this network's.
    """
    try:
        net.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"the weights in {path} do not fit the network; the file is damaged, or your own code "
            f"has changed since they were trained: {error}"
        ) from error


def scores(net: keras.Model, x: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Each exit's softmax scores, (samples, classes), in the order of the network's outputs."""
    given = net.predict(batches(x, fitting_size(net, 256)), verbose=0)
    return given if isinstance(given, list) else [given]


def exit_outputs(net: keras.Model, samples: Samples) -> ExitOutputs:
    """Confidence and correctness of every exit on the samples.

    Raises:
        UserError: they do not fit the network, see `checked`.
    """
    samples = checked(net, samples)
    return ExitOutputs.from_scores(scores(net, samples.x), samples.y)


def report_epochs(
    reporter: Reporter, what: str, epochs: int, before: int = 0, total: int | None = None
) -> keras.callbacks.Callback:
    """A callback that reports every epoch.

    Args:
        reporter: told.
        what: is under way.
        epochs: of this training.
        before, total: epochs done earlier and in all, if this training is one of several.
    """
    total = total or epochs
    return keras.callbacks.LambdaCallback(
        on_train_begin=lambda _: reporter.step(before, total, what),
        on_epoch_end=lambda epoch, _: reporter.step(before + epoch + 1, total, what),
    )
