"""NACHOS's trained confidence (arXiv 2401.13330): gates beside the exits, and their losses.

A gate turns an exit's features into c_i, how sure the exit is of being right; the last exit's is
1. Here the expected cost has a real gradient, and executed heads are charged.
"""

from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eexit_tf.batches import batches
from eexit_tf.costs import ExitCosts
from eexit_tf.data import Samples, labelled
from eexit_tf.errors import UserError
from eexit_tf.foreign_keras import refuse_keras3
from eexit_tf.keras import keras, tf
from eexit_tf.losses import cross_entropies
from eexit_tf.stacking import Stack
from eexit_tf.vocabulary import Exit

Tensor = Any


def add_gates(net: keras.Model) -> keras.Model:
    """The network with a gate at each exit but the last, sharing its layers.

    A gate is a dense sigmoid on what the exit's own dense layer takes.

    Args:
        net: from `attach_exits`, outputs in the order of execution.

    Returns:
        A model with one output (batch, exits, classes + 1): the exit's softmax, then c_i.

    Raises:
        UserError: there is no early exit to put a gate at.
    """
    refuse_keras3(net)
    if len(net.outputs) == 1:
        raise UserError(f"{net.name} has one exit; a gate needs another one to go on to")
    rows = []
    for name, scores in zip(net.output_names, net.outputs, strict=True):
        if name == net.output_names[-1]:
            confidence = tf.ones_like(scores[:, :1])
        else:
            gate = keras.layers.Dense(1, "sigmoid", name=f"{name}_gate")
            confidence = gate(_features(scores))
        rows.append(keras.layers.Concatenate(name=f"{name}_gated")([scores, confidence]))
    return keras.Model(net.input, Stack(name="stack")(rows), name=net.name)


def _features(scores: Tensor) -> Tensor:
    """What the dense layer takes that scores come from, also where its softmax is a layer."""
    node = scores.node
    while type(node.layer).__name__ in ("Softmax", "Activation"):
        node = node.parent_nodes[0]
    return node.keras_inputs[0]


def leaving(confidence: Tensor) -> Tensor:
    """The probability of leaving at each exit, c_i^r = c_i prod_{k<i} (1 - c_k); same shape."""
    return confidence * tf.math.cumprod(1 - confidence, axis=-1, exclusive=True)


def expected_macs(confidence: Tensor, leave_macs: Tensor) -> Tensor:
    """The differentiable cost a sample, gamma~_1 of gamma~_i = c_i gamma_i + (1 - c_i) gamma~_i+1.

    Args:
        confidence: (batch, exits), the last one 1.
        leave_macs: what leaving at each exit costs, (exits,).

    Returns:
        (batch,).
    """
    return tf.reduce_sum(leaving(confidence) * leave_macs, axis=-1)


@keras.saving.register_keras_serializable("eexit_tf")
class AccuracyLoss(keras.losses.Loss):
    """L_acc: the exits' cross-entropies, and each gate's binary one with "this exit is right"."""

    def __init__(self) -> None:
        super().__init__(name="accuracy")

    def call(self, labels: Tensor, gated: Tensor) -> Tensor:
        scores, confidence = gated[..., :-1], gated[:, :-1, -1]
        labels = tf.cast(tf.reshape(labels, (-1, 1)), tf.int64)
        right = tf.cast(tf.argmax(scores[:, :-1], axis=-1) == labels, tf.float32)
        gates = tf.reduce_mean(keras.backend.binary_crossentropy(right, confidence), axis=-1)
        return tf.reduce_mean(cross_entropies(labels, scores), axis=-1) + gates

    def get_config(self) -> dict[str, Any]:
        return {}


@keras.saving.register_keras_serializable("eexit_tf")
class CostLoss(keras.losses.Loss):
    """L_cost = max(0, mean gamma~_1 - budget) / (static - budget), the same for every sample.

    Args:
        costs: of the network's exits.
        max_mean_macs: the budget; below it the loss is 0.

    Raises:
        UserError: the budget is not between 0 and what the last exit alone costs, or the network
            has another number of exits.
    """

    def __init__(self, costs: ExitCosts, max_mean_macs: float) -> None:
        super().__init__(name="cost")
        static = costs.alone_macs(len(costs) - 1)
        if not 0 < max_mean_macs < static:
            raise UserError(
                f"a budget of mean MACs must be above 0 and below {static:,}, what the last exit "
                f"alone costs, but is {max_mean_macs:,}"
            )
        everything = tuple(range(len(costs)))
        self.costs = costs
        self.leave_macs = np.asarray(costs.leave_macs(everything), np.float32)
        self.budget = max_mean_macs
        self.scale = static - max_mean_macs

    def call(self, labels: Tensor, gated: Tensor) -> Tensor:
        if gated.shape[1] != len(self.costs):
            raise UserError(
                f"the costs are of a network with {len(self.costs)} exits, but this one has "
                f"{gated.shape[1]}; give those of exit_costs(net), where net is without gates"
            )
        macs = expected_macs(gated[..., -1], self.leave_macs)
        excess = tf.nn.relu(tf.reduce_mean(macs) - self.budget) / self.scale
        return tf.fill(tf.shape(macs), excess)

    def get_config(self) -> dict[str, Any]:
        return {"costs": asdict(replace(self.costs, memory=None)), "max_mean_macs": self.budget}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CostLoss":
        costs = config["costs"]
        exits = tuple(Exit(**exit_) for exit_ in costs["exits"])
        return cls(ExitCosts(**costs | {"exits": exits}), config["max_mean_macs"])


@keras.saving.register_keras_serializable("eexit_tf")
class PeakLoss(keras.losses.Loss):
    """L_peak: the mean squared error between the gates and the support matrix's row of the class.

    Args:
        support: (classes, exits), how often each exit is right on each class; see
            `SupportMatrix`, which keeps it up to date. A loaded loss has it as it was.
    """

    def __init__(self, support: Tensor) -> None:
        super().__init__(name="peak")
        self.support = support

    def call(self, labels: Tensor, gated: Tensor) -> Tensor:
        wanted = tf.gather(self.support, tf.cast(tf.reshape(labels, (-1,)), tf.int32))
        return tf.reduce_mean(tf.square(gated[:, :-1, -1] - wanted[:, :-1]), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {"support": np.asarray(self.support).tolist()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PeakLoss":
        return cls(tf.constant(config["support"]))


@keras.saving.register_keras_serializable("eexit_tf")
class NachosLoss(keras.losses.Loss):
    """L = L_acc + cost_weight L_cost + peak_weight L_peak.

    NACHOS trains ten epochs with both weights 0, five with the cost and five with both: give
    variables and set them between epochs.
    """

    def __init__(
        self, cost: CostLoss, peak: PeakLoss, cost_weight: Any = 1.0, peak_weight: Any = 1.0
    ) -> None:
        super().__init__(name="nachos")
        self.accuracy, self.cost, self.peak = AccuracyLoss(), cost, peak
        self.cost_weight, self.peak_weight = cost_weight, peak_weight

    def call(self, labels: Tensor, gated: Tensor) -> Tensor:
        return (
            self.accuracy.call(labels, gated)
            + self.cost_weight * self.cost.call(labels, gated)
            + self.peak_weight * self.peak.call(labels, gated)
        )

    def get_config(self) -> dict[str, Any]:
        return {
            "cost": keras.losses.serialize(self.cost),
            "peak": keras.losses.serialize(self.peak),
            "cost_weight": float(self.cost_weight),
            "peak_weight": float(self.peak_weight),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "NachosLoss":
        terms = {name: keras.losses.deserialize(config[name]) for name in ("cost", "peak")}
        return cls(**config | terms)


class SupportMatrix(keras.callbacks.Callback):
    """Recomputes, before every epoch, how often each exit is right on each class.

    Args:
        support: samples, about as many of each class; NACHOS takes a tenth of the training part.
            Their labels may be (samples, 1) as well.
        classes, exits: the matrix's shape.

    Attributes:
        matrix: (classes, exits), a variable; 0 for a class without samples.

    Raises:
        UserError: labels are not numbers of classes, or the network has other classes or exits.
    """

    def __init__(self, support: Samples, classes: int, exits: int) -> None:
        super().__init__()
        self.support = labelled(support, classes)
        self.matrix = tf.Variable(tf.zeros((classes, exits)), trainable=False)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        gated = self.model.predict(batches(self.support.x, 256), verbose=0)
        shape = gated.shape[2] - 1, gated.shape[1]
        if self.matrix.shape != shape:
            raise UserError(
                f"the support matrix has {self.matrix.shape[0]} classes and "
                f"{self.matrix.shape[1]} exits, but {self.model.name} has {shape[0]} "
                f"classes and {shape[1]} exits"
            )
        self.matrix.assign(support_matrix(gated[..., :-1], self.support.y))


def support_matrix(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Accuracy by class and exit, (classes, exits), of scores (samples, exits, classes)."""
    right = (scores.argmax(axis=-1) == labels[:, None]).astype(np.float32)
    of_class = np.eye(scores.shape[-1], dtype=np.float32)[labels]
    return of_class.T @ right / np.maximum(of_class.sum(axis=0), 1)[:, None]
