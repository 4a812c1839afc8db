"""Losses over all exits at once, for `training.stack_outputs`: ordinary Keras losses.

Each takes labels (batch,) or (batch, 1) and the stacked softmax outputs of all exits
(batch, exits, classes), in the order of execution, and gives a loss a sample, (batch,).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eexit_tf.costs import ExitCosts
from eexit_tf.errors import UserError
from eexit_tf.keras import keras, tf
from eexit_tf.ranges import check_above_0, check_not_negative, check_part

Tensor = Any


@keras.saving.register_keras_serializable("eexit_tf")
class JointCrossEntropy(keras.losses.Loss):
    """Weighted mean of the exits' cross-entropies: sum_j w_j CE_j / sum_j w_j.

    With equal weights it is BranchyNet's loss (Teerapittayanon et al. 2016).

    Args:
        weights: one an exit; all the same if not given. A callback may change the variable
            `weights` between batches: see `exit_weights`.
        label_smoothing: part of the target that is spread over all classes (Szegedy et al. 2016).

    Raises:
        UserError: a weight is negative or not finite, all are 0, or there are not as many as exits;
            or the smoothing is not from 0 to 1.
    """

    def __init__(
        self, weights: Sequence[float] | None = None, *, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(name="joint_cross_entropy")
        check_part("label_smoothing", label_smoothing)
        self.weights = (
            None if weights is None else tf.Variable(checked_weights(weights), trainable=False)
        )
        self.label_smoothing = label_smoothing

    def call(self, labels: Tensor, stacked: Tensor) -> Tensor:
        exits = stacked.shape[1]
        if self.weights is not None and self.weights.shape[0] != exits:
            raise UserError(
                f"the loss has {self.weights.shape[0]} weights for a network with {exits} exits; "
                f"expected one an exit"
            )
        losses = cross_entropies(labels, stacked, self.label_smoothing)
        return _mean(losses, self.weights)

    def get_config(self) -> dict[str, Any]:
        weights = None if self.weights is None else self.weights.numpy().tolist()
        return {"weights": weights, "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("eexit_tf")
class Distillation(keras.losses.Loss):
    """The last exit, or a teacher, teaches the exits before it (Phuong and Lampert 2019).

    L = L_joint + weight * T^2 * mean over j < last of KL(p_last^(1/T) || p_j^(1/T)), where p^(1/T)
    is renormalised and no gradient goes through the last exit's part.

    Args:
        joint: the loss against the labels. If it weights the exits, so does the divergence's mean.
        weight: of the divergence.
        temperature: T; higher tells more of the wrong classes' order.
        teacher: the last of the stacked outputs is a teacher's: it teaches every exit, and the
            labels teach it nothing. See `training.stack_outputs`.

    Raises:
        UserError: the temperature is not above 0, or the weight below it.
    """

    def __init__(
        self,
        joint: keras.losses.Loss | None = None,
        *,
        weight: float = 1.0,
        temperature: float = 3.0,
        teacher: bool = False,
    ) -> None:
        super().__init__(name="distillation")
        check_above_0("the temperature", temperature)
        check_not_negative("the divergence's weight", weight)
        self.joint = joint or JointCrossEntropy()
        self.weight, self.temperature, self.teacher = weight, temperature, teacher

    def call(self, labels: Tensor, stacked: Tensor) -> Tensor:
        exits = stacked[:, :-1] if self.teacher else stacked
        logs = tf.math.log(tf.maximum(stacked, keras.backend.epsilon())) / self.temperature
        logs = tf.nn.log_softmax(logs)
        taught, teaching = logs[:, :-1], tf.stop_gradient(logs[:, -1:])
        divergence = tf.reduce_sum(tf.exp(teaching) * (teaching - taught), axis=-1)
        weights = getattr(self.joint, "weights", None)
        distilled = self.temperature**2 * _mean(divergence, weights)
        return self.joint.call(labels, exits) + self.weight * distilled

    def get_config(self) -> dict[str, Any]:
        return {
            "joint": keras.losses.serialize(self.joint),
            "weight": self.weight,
            "temperature": self.temperature,
            "teacher": self.teacher,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Distillation":
        return cls(**config | {"joint": keras.losses.deserialize(config["joint"])})


@keras.saving.register_keras_serializable("eexit_tf")
class CascadeCrossEntropy(keras.losses.Loss):
    """Weights each sample at each exit by how likely it is to get there.

    What counts of an exit is how it does on the samples that reach it. With the confidence
    c_j = max_k p_jk, a sample leaves exit j with probability l_j = sigmoid((c_j - threshold) /
    sharpness) and reaches it with r_j = prod_{k<j} (1 - l_k), through which no gradient goes.
    L = mean over j of ((1 - share) + share * r_j / mean(r_j)) CE_j.

    Args:
        threshold: confidence from which a sample is likely to leave.
        sharpness: of that step.
        share: from 0 (`JointCrossEntropy`) to 1 (samples that have left count nothing).

    Raises:
        UserError: the sharpness is not above 0, or the share not from 0 to 1.
    """

    def __init__(
        self, *, threshold: float = 0.9, sharpness: float = 0.05, share: float = 0.5
    ) -> None:
        super().__init__(name="cascade_cross_entropy")
        check_above_0("the sharpness", sharpness)
        check_part("the share", share)
        self.threshold, self.sharpness, self.share = threshold, sharpness, share

    def call(self, labels: Tensor, stacked: Tensor) -> Tensor:
        confidence = tf.reduce_max(stacked, axis=-1)
        stays = tf.sigmoid((self.threshold - confidence) / self.sharpness)
        reached = tf.stop_gradient(tf.math.cumprod(stays, axis=-1, exclusive=True))
        reached /= tf.reduce_mean(reached, axis=0) + keras.backend.epsilon()
        weights = 1 - self.share + self.share * reached
        return tf.reduce_mean(weights * cross_entropies(labels, stacked), axis=-1)

    def get_config(self) -> dict[str, float]:
        return {"threshold": self.threshold, "sharpness": self.sharpness, "share": self.share}


def cross_entropies(labels: Tensor, stacked: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The cross-entropy of every sample at every exit, (batch, exits)."""
    classes = stacked.shape[-1]
    hot = tf.one_hot(tf.cast(tf.reshape(labels, (-1, 1)), tf.int32), classes)
    if label_smoothing:
        hot = hot * (1 - label_smoothing) + label_smoothing / classes
        return -tf.reduce_sum(hot * _log(stacked), axis=-1)
    return -_log(tf.reduce_sum(stacked * hot, axis=-1))


def cost_weights(costs: ExitCosts) -> NDArray[np.float32]:
    """Weights in proportion to what an exit costs alone, the last one's being 1."""
    macs = np.array([costs.alone_macs(index) for index in range(len(costs))], np.float32)
    return macs / macs[-1]


def _mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    """Over exits, as they are weighted; weights of exits that have no loss are left out.

    0 where no exit is left that has a loss and a weight.
    """
    exits = losses.shape[-1]
    if weights is None and exits:
        return tf.reduce_mean(losses, axis=-1)
    weights = tf.ones(exits) if weights is None else weights[:exits]
    return tf.math.divide_no_nan(tf.reduce_sum(losses * weights, axis=-1), tf.reduce_sum(weights))


def _log(x: Tensor) -> Tensor:
    return tf.math.log(tf.maximum(x, keras.backend.epsilon()))


def checked_weights(weights: Sequence[float]) -> NDArray[np.float32]:
    """Exits' weights, if a mean can be taken with them.

    Raises:
        UserError: see `JointCrossEntropy`.
    """
    array = np.asarray(weights, np.float32)
    if array.ndim != 1 or not (np.isfinite(array) & (array >= 0)).all() or not array.any():
        raise UserError(
            f"exit weights must be one an exit, finite, none negative, not all 0: {weights}"
        )
    return array
