"""Losses over all exits: what they give, and that their gradients are real."""

import math
from pathlib import Path

import numpy as np
import pytest

from eexit_tf.backbones import Stage, Stem, residual
from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits
from eexit_tf.gates import (
    AccuracyLoss,
    CostLoss,
    NachosLoss,
    PeakLoss,
    SupportMatrix,
    add_gates,
    expected_macs,
    leaving,
    support_matrix,
)
from eexit_tf.keras import keras, seed_everything, tf
from eexit_tf.losses import CascadeCrossEntropy, Distillation, JointCrossEntropy, cost_weights
from eexit_tf.network_costs import exit_costs
from eexit_tf.training import WarmUpCosine
from eexit_tf.vocabulary import Exit

CLASSES = 4
LABELS = np.array([0, 1, 3, 2, 1])
EXITS = [Exit("stem"), Exit("block2")]
NARROW = {"stem": Stem(4), "stages": (Stage(4, stride=1), Stage(8))}
COSTS = exit_costs(attach_exits(residual((8, 8, 1), **NARROW), EXITS, classes=CLASSES))


def stacked(exits: int, seed: int = 0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(size=(len(LABELS), exits, CLASSES))
    return (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).astype(np.float32)


def gated(exits: int = 2, seed: int = 0) -> np.ndarray:
    confidence = np.random.default_rng(seed).uniform(0.1, 0.9, (len(LABELS), exits, 1))
    confidence[:, -1] = 1
    return np.concatenate([stacked(exits, seed), confidence], axis=-1).astype(np.float32)


def test_joint_loss_is_the_weighted_mean_of_keras_cross_entropies() -> None:
    given = stacked(3)
    each = np.stack(
        [keras.losses.sparse_categorical_crossentropy(LABELS, given[:, j]) for j in range(3)], 1
    )
    np.testing.assert_allclose(JointCrossEntropy().call(LABELS, given), each.mean(1), rtol=1e-5)
    weighted = JointCrossEntropy([1, 0, 3]).call(LABELS[:, None], given)
    np.testing.assert_allclose(weighted, each @ [0.25, 0, 0.75], rtol=1e-5)
    hot = tf.one_hot(LABELS, CLASSES)
    smooth = keras.losses.categorical_crossentropy(hot, given[:, 1], label_smoothing=0.1)
    only = JointCrossEntropy([0, 1, 0], label_smoothing=0.1)
    np.testing.assert_allclose(only.call(LABELS, given), smooth, rtol=1e-5)


@pytest.mark.parametrize("weights", [[-1, 2], [0, 0], 3, [1, math.nan], [1, math.inf]])
def test_weights_that_make_no_sense_are_refused(weights: object) -> None:
    with pytest.raises(UserError, match="exit weights"):
        JointCrossEntropy(weights)  # type: ignore[arg-type]


def test_cost_weights_rise_to_1() -> None:
    weights = cost_weights(COSTS)
    assert weights[-1] == 1
    assert (np.diff(weights) > 0).all()


def test_distillation_is_nothing_between_equals_and_teaches_only_earlier_exits() -> None:
    same = np.repeat(stacked(1), 2, axis=1)
    joint = JointCrossEntropy()
    np.testing.assert_allclose(
        Distillation().call(LABELS, same), joint.call(LABELS, same), atol=1e-5
    )
    given = tf.constant(stacked(3))
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = Distillation().call(LABELS, given) - joint.call(LABELS, given)
    gradient = tape.gradient(loss, given).numpy()
    assert np.abs(gradient[:, :2]).min() > 0
    assert not gradient[:, 2].any()


def test_a_teacher_is_not_taught_by_the_labels() -> None:
    given = stacked(3)
    loss = Distillation(weight=0, teacher=True).call(LABELS, given)
    np.testing.assert_allclose(loss, JointCrossEntropy().call(LABELS, given[:, :2]), rtol=1e-6)


def test_what_has_nothing_to_teach_costs_nothing() -> None:
    """A last exit that learns alone, first or for ever."""
    last = JointCrossEntropy([0, 0, 1])
    for given, joint in ((stacked(3), last), (stacked(1), JointCrossEntropy())):
        loss = Distillation(joint).call(LABELS, given)
        np.testing.assert_allclose(loss, joint.call(LABELS, given), rtol=1e-5)


def test_weights_are_one_an_exit() -> None:
    for count in (1, 2, 4):
        loss = JointCrossEntropy([1] * count)
        with pytest.raises(UserError, match=f"{count} weights for a network with 3 exits"):
            loss.call(LABELS, stacked(3))
    with pytest.raises(UserError, match="temperature must be above 0"):
        Distillation(temperature=0)


@pytest.mark.parametrize(
    "loss",
    [
        JointCrossEntropy([1, 2, 3], label_smoothing=0.1),
        Distillation(JointCrossEntropy([1, 2, 3]), weight=0.5, temperature=2),
        CascadeCrossEntropy(threshold=0.5, sharpness=0.1, share=1),
    ],
)
def test_a_trainer_is_saved_with_its_loss(loss: keras.losses.Loss, tmp_path: Path) -> None:
    inputs = keras.Input((3, CLASSES))
    trainer = keras.Model(inputs, keras.layers.Softmax()(inputs))
    trainer.compile(loss=loss)
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.models.load_model(tmp_path / "trainer.keras").loss
    given = stacked(3)
    np.testing.assert_array_equal(loaded.call(LABELS, given), loss.call(LABELS, given))


@pytest.mark.parametrize("term", ["accuracy", "cost", "peak", "all"])
def test_a_gated_network_is_saved_with_its_loss(term: str, tmp_path: Path) -> None:
    cost, peak = CostLoss(COSTS, COSTS.alone_macs(0)), PeakLoss(tf.Variable(tf.ones((CLASSES, 2))))
    loss = {
        "accuracy": AccuracyLoss(),
        "cost": cost,
        "peak": peak,
        "all": NachosLoss(cost, peak, tf.Variable(0.5), 2.0),
    }[term]
    net = add_gates(attach_exits(residual((8, 8, 1), **NARROW), EXITS, classes=CLASSES))
    net.compile(keras.optimizers.legacy.Adam(WarmUpCosine(0.01, 5)), loss)
    net.save(tmp_path / "gated.keras")
    loaded = keras.models.load_model(tmp_path / "gated.keras")
    np.testing.assert_array_equal(loaded.loss.call(LABELS, gated()), loss.call(LABELS, gated()))
    x = np.random.default_rng(0).random((3, 8, 8, 1), np.float32)
    np.testing.assert_array_equal(loaded(x), net(x))


def test_weights_of_exits_weight_what_they_are_taught() -> None:
    given = stacked(3)

    def taught(weights: list[float] | None, rows: np.ndarray) -> np.ndarray:
        joint = JointCrossEntropy(weights)
        labels = joint.call(LABELS, rows[:, :-1])
        return (Distillation(joint, teacher=True).call(LABELS, rows) - labels).numpy()

    first, second = taught(None, given[:, [0, 2]]), taught(None, given[:, 1:])
    np.testing.assert_allclose(taught([1, 3], given), (first + 3 * second) / 4, rtol=1e-4)
    np.testing.assert_allclose(taught(None, given), (first + second) / 2, rtol=1e-4)


def test_cascade_weights_samples_by_who_answers_them() -> None:
    sure, unsure = [0.97, 0.01, 0.01, 0.01], [0.4, 0.2, 0.2, 0.2]
    given = np.array([[sure, unsure], [unsure, unsure]], np.float32)
    loss = CascadeCrossEntropy(share=1.0).call(np.array([0, 0]), given).numpy()
    assert loss[0] == pytest.approx(-0.5 * math.log(0.97) - 0.5 * 0.405 * math.log(0.4), rel=0.2)
    assert loss[1] > 2 * loss[0]
    plain = CascadeCrossEntropy(share=0.0).call(np.array([0, 0]), given)
    np.testing.assert_allclose(plain, JointCrossEntropy().call(np.array([0, 0]), given), rtol=1e-6)


def test_leaving_probabilities_sum_to_1_and_give_the_recursive_cost() -> None:
    confidence = gated(4)[..., -1]
    macs = np.array([10.0, 20.0, 40.0, 100.0], np.float32)
    np.testing.assert_allclose(tf.reduce_sum(leaving(confidence), -1), 1.0, rtol=1e-6)
    recursive = macs[3]
    for i in (2, 1, 0):
        recursive = confidence[:, i] * macs[i] + (1 - confidence[:, i]) * recursive
    np.testing.assert_allclose(expected_macs(confidence, macs), recursive, rtol=1e-6)


@pytest.mark.parametrize("term", ["accuracy", "cost", "peak"])
def test_gradients_of_nachos_terms_are_those_of_finite_differences(term: str) -> None:
    support = np.random.default_rng(1).uniform(size=(CLASSES, 2)).astype(np.float32)
    loss = {
        "accuracy": AccuracyLoss(),
        "cost": CostLoss(COSTS, max_mean_macs=COSTS.alone_macs(0)),
        "peak": PeakLoss(support),
    }[term]
    given = tf.constant(gated())
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = tf.reduce_mean(loss.call(LABELS, given))
    gradient = tape.gradient(value, given).numpy()[:, 0, -1]
    assert np.abs(gradient).min() > 0
    step = 1e-2
    for sample in range(len(LABELS)):
        near = np.stack([gated(), gated()])
        near[:, sample, 0, -1] += [step, -step]
        up, down = (float(tf.reduce_mean(loss.call(LABELS, g))) for g in near)
        assert (up - down) / (2 * step) == pytest.approx(gradient[sample], rel=0.02)


@pytest.mark.parametrize(
    "softmax",
    [keras.layers.Softmax(name="early"), keras.layers.Activation("softmax", name="early")],
)
def test_a_gate_takes_what_the_dense_layer_takes(softmax: keras.layers.Layer) -> None:
    inputs = keras.Input((8, 8, 1))
    features = keras.layers.Flatten()(inputs)
    dense = keras.layers.Dense(CLASSES)
    late = keras.layers.Dense(CLASSES, "softmax")(features)
    gated_net = add_gates(keras.Model(inputs, [softmax(dense(features)), late]))
    assert gated_net.get_layer("early_gate").input_shape == dense.input_shape == (None, 64)


def test_gates_need_an_early_exit() -> None:
    with pytest.raises(UserError, match="has one exit"):
        add_gates(attach_exits(residual((8, 8, 1), **NARROW), EXITS[-1:], classes=CLASSES))


def test_below_the_budget_cost_is_free() -> None:
    cheap = gated()
    cheap[:, 0, -1] = 1
    assert not CostLoss(COSTS, COSTS.leave_macs((0, 1))[0]).call(LABELS, cheap).numpy().any()


@pytest.mark.parametrize("budget", [0, -5, math.nan, COSTS.alone_macs(1), COSTS.alone_macs(1) + 9])
def test_a_budget_that_nothing_exceeds_or_keeps_is_refused(budget: float) -> None:
    with pytest.raises(UserError, match="above 0 and below"):
        CostLoss(COSTS, budget)


def test_support_matrix_is_the_accuracy_by_class_and_exit() -> None:
    scores = np.zeros((3, 2, 2), np.float32)
    scores[[0, 1, 2], 0, [0, 1, 1]] = 1  # the first exit says 0, 1, 1
    scores[:, 1, 0] = 1  # the second always 0
    np.testing.assert_array_equal(
        support_matrix(scores, np.array([0, 0, 1])), [[0.5, 1.0], [1.0, 0.0]]
    )


def test_costs_of_another_network_are_refused() -> None:
    with pytest.raises(UserError, match="a network with 2 exits, but this one has 3"):
        CostLoss(COSTS, COSTS.alone_macs(0)).call(LABELS, gated(3))


def test_a_support_matrix_fits_its_samples_and_its_network() -> None:
    x, y = np.zeros((8, 8, 8, 1), np.float32), np.arange(8) % CLASSES
    net = add_gates(attach_exits(residual((8, 8, 1), **NARROW), EXITS, classes=CLASSES))
    for labels in (y, y[:, None], y.tolist()):
        support = SupportMatrix(Samples(x, labels), CLASSES, 2)
        support.set_model(net)
        support.on_epoch_begin(0)
        assert support.matrix.numpy().sum() == 2  # it says one class, of each exit
    with pytest.raises(UserError, match="of one-hot labels take the argmax"):
        SupportMatrix(Samples(x, np.eye(CLASSES)[y]), CLASSES, 2)
    with pytest.raises(UserError, match="labels up to 3, the network only 2 classes"):
        SupportMatrix(Samples(x, y), 2, 2)
    for classes, exits in ((CLASSES, 3), (CLASSES + 1, 2)):
        wrong = SupportMatrix(Samples(x, y), classes, exits)
        wrong.set_model(net)
        with pytest.raises(UserError, match="has 4 classes and 2 exits"):
            wrong.on_epoch_begin(0)


def test_gates_learn_who_is_right() -> None:
    seed_everything(0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 256)
    easy = rng.random(256) < 0.5  # the hard half has labels that its inputs do not show
    x = np.where(easy, 2 * y - 1, 0)[:, None, None, None] * np.ones((1, 8, 8, 1))
    x = (x + 0.1 * rng.normal(size=x.shape)).astype(np.float32)
    net = attach_exits(residual((8, 8, 1), **NARROW), EXITS, classes=2)
    model, costs = add_gates(net), exit_costs(net)
    support = SupportMatrix(Samples(x[:64], y[:64]), 2, 2)
    loss = NachosLoss(CostLoss(costs, costs.alone_macs(0)), PeakLoss(support.matrix), 0.0, 0.0)
    model.compile(keras.optimizers.legacy.Adam(0.01), loss)
    model.fit(x, y, epochs=12, verbose=0, callbacks=[support])
    confidence = model.predict(x, verbose=0)[:, 0, -1]
    assert confidence[easy].mean() > confidence[~easy].mean() + 0.2
    assert (support.matrix.numpy() > 0).all()
