"""Exit weights that change in training."""

import numpy as np
import pytest

from eexit_tf.backbones import Stage, Stem, residual
from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.exit_weights import ExitWeightSchedule, GradientBalance, gradient_norms
from eexit_tf.exits import attach_exits, freeze_backbone
from eexit_tf.keras import keras, seed_everything
from eexit_tf.losses import Distillation, JointCrossEntropy
from eexit_tf.training import fit, stack_outputs
from eexit_tf.vocabulary import Exit

RNG = np.random.default_rng(0)
TRAIN = Samples(RNG.normal(size=(64, 8, 8, 1)).astype(np.float32), RNG.integers(0, 3, 64))


def network() -> keras.Model:
    seed_everything(0)
    backbone = residual((8, 8, 1), stem=Stem(4), stages=(Stage(4, stride=1), Stage(8)))
    return attach_exits(backbone, [Exit("stem"), Exit("block2")], classes=3)


def test_a_weight_of_0_trains_only_the_other_exit() -> None:
    net, loss = network(), JointCrossEntropy([1, 1])
    head, last = (net.get_layer(name) for name in net.output_names)
    before = head.kernel.numpy(), last.kernel.numpy()
    fit(net, TRAIN, epochs=1, loss=loss, callbacks=[ExitWeightSchedule(loss, lambda _: [0, 1])])
    np.testing.assert_array_equal(head.kernel.numpy(), before[0])
    assert (last.kernel.numpy() != before[1]).all()


def test_a_schedule_is_followed_by_the_epoch() -> None:
    loss = JointCrossEntropy([1, 1])
    seen: list[list[float]] = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: seen.append(loss.weights.numpy().tolist())
    )
    schedule = ExitWeightSchedule(loss, lambda epoch: [epoch, 1])
    fit(network(), TRAIN, epochs=3, loss=loss, callbacks=[schedule, look])
    assert seen == [[0, 1], [1, 1], [2, 1]]


def test_balanced_exits_pull_equally() -> None:
    net, loss = network(), JointCrossEntropy([1, 1])
    stacked = stack_outputs(net)
    pulls = gradient_norms(stacked, TRAIN)
    assert max(pulls) > 1.1 * min(pulls)
    balance = GradientBalance(loss, TRAIN)
    balance.set_model(stacked)
    balance.on_epoch_begin(0)
    weighted = pulls * loss.weights.numpy()
    assert weighted[0] == pytest.approx(weighted[1], rel=1e-4)
    assert loss.weights.numpy().mean() == pytest.approx(1)


def test_balance_does_not_count_a_teacher() -> None:
    net, joint = network(), JointCrossEntropy([1, 1])
    loss = Distillation(joint, teacher=True)
    fit(
        net,
        TRAIN,
        epochs=1,
        loss=loss,
        teacher=network(),
        callbacks=[GradientBalance(joint, TRAIN)],
    )
    assert joint.weights.numpy().mean() == pytest.approx(1)


def test_what_exits_do_not_share_cannot_be_balanced() -> None:
    frozen, loss = freeze_backbone(network()), JointCrossEntropy([1, 1])
    with pytest.raises(UserError, match="exit 2 does not depend on stem__pool_dense/kernel:0"):
        fit(frozen, TRAIN, epochs=1, loss=loss, callbacks=[GradientBalance(loss, TRAIN)])


def test_weights_of_an_epoch_are_checked() -> None:
    loss = JointCrossEntropy([1, 1])
    with pytest.raises(UserError, match="not all 0"):
        fit(
            network(),
            TRAIN,
            epochs=1,
            loss=loss,
            callbacks=[ExitWeightSchedule(loss, lambda _: [0, 0])],
        )


def test_weights_that_are_set_are_one_an_exit() -> None:
    two, three = JointCrossEntropy([1, 1]), JointCrossEntropy([1, 1, 1])
    for loss, callback in (
        (two, ExitWeightSchedule(two, lambda _: [1, 2, 3])),
        (three, GradientBalance(three, TRAIN)),
    ):
        with pytest.raises(UserError, match=r"the loss has . weights of exits, but . new ones"):
            fit(network(), TRAIN, epochs=1, loss=loss, callbacks=[callback])


def test_a_loss_without_weights_is_refused() -> None:
    with pytest.raises(UserError, match="the Distillation has no weights to change"):
        GradientBalance(Distillation(), TRAIN)
    with pytest.raises(UserError, match="no weights to change"):
        ExitWeightSchedule(JointCrossEntropy(), lambda _: [1, 1])
