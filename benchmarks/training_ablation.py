"""What each method of training is worth, against plain joint training of all exits.

    python benchmarks/training_ablation.py --dataset cifar10.npz [--seeds N] [--only METHOD …]

One network of 0.9 M MACs with four exits, one budget of samples and epochs. `plain` is equal
cross-entropies, Adam, a cosine with warm-up and nothing else; every other row changes one thing.
Policies are chosen on validation, figures are of the 10,000 test images, in float32 with
confidences rounded as int8 would. A run that is in the JSON file is not done again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import training_runs as runs
from training_runs import SHIFTED, SHOWN, Figures, Runs, Work

from eexit_tf.augmentation import Augmentation
from eexit_tf.averaging import WeightAverage
from eexit_tf.costs import ExitCosts
from eexit_tf.exit_weights import ExitWeightSchedule, GradientBalance
from eexit_tf.exits import attach_exits, freeze_backbone, keep_exits
from eexit_tf.keras import keras, seed_everything, tf
from eexit_tf.losses import CascadeCrossEntropy, Distillation, JointCrossEntropy, cost_weights
from eexit_tf.network_costs import exit_costs
from eexit_tf.policies import search_policies
from eexit_tf.slow_backbone import SlowBackbone
from eexit_tf.training import LEARNING_RATE, WarmUpCosine, exit_outputs, fit, scores
from eexit_tf.vocabulary import Exit

EXITS = [Exit(tap, "grid_dense") for tap in runs.TAPS]
PLAIN, AGAIN = "plain", "plain again"
TEACHER_WIDTH = 24
HERE = Path(__file__)


@dataclass(frozen=True)
class Training:
    """One network that is to be trained.

    Attributes:
        teacher: the file of a trained, larger network.
    """

    net: keras.Model
    costs: ExitCosts
    work: Work
    teacher: Path

    def fit(
        self, epochs: int | None = None, net: keras.Model | None = None, **options: Any
    ) -> None:
        """Plain joint training, but for the options; see `eexit_tf.fit`."""
        epochs = epochs or self.work.epochs
        fit(net or self.net, self.work.train, epochs=epochs, batch_size=runs.BATCH, **options)

    def rate(self, peak: float) -> WarmUpCosine:
        return WarmUpCosine(peak, self.work.steps)


def sgd(training: Training) -> None:
    training.fit(optimizer=keras.optimizers.legacy.SGD(training.rate(0.1), 0.9, nesterov=True))


def weight_decay(training: Training) -> None:
    optimizer = keras.optimizers.AdamW(
        training.rate(LEARNING_RATE), weight_decay=0.05, epsilon=1e-7, jit_compile=False
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    training.fit(optimizer=optimizer)


def later_and_later(training: Training) -> None:
    """From the first exit's weight of 1 and the last one's of 1/4 to the reverse."""
    loss, epochs = JointCrossEntropy([1.0] * len(EXITS)), training.work.epochs

    def weights(epoch: int) -> Any:
        early = np.geomspace(1, 1 / 4, len(EXITS))
        part = epoch / max(1, epochs - 1)
        return (1 - part) * early + part * early[::-1]

    training.fit(loss=loss, callbacks=[ExitWeightSchedule(loss, weights)])


def gradient_balance(training: Training) -> None:
    loss = JointCrossEntropy([1.0] * len(EXITS))
    balance = GradientBalance(loss, training.work.train.draw(256, seed=1))
    training.fit(loss=loss, callbacks=[balance])


def backbone_first(training: Training, rate: float) -> None:
    """Six tenths of the epochs for the backbone with its last exit, the others for the heads.

    Args:
        rate: of the backbone, to that of the heads, when they learn; frozen at 0.
    """
    epochs = training.work.epochs
    first = round(0.6 * epochs)
    training.fit(first, keep_exits(training.net, EXITS[-1:]))
    if rate:
        training.fit(epochs - first, callbacks=[SlowBackbone(training.net, rate)])
    else:
        training.fit(epochs - first, freeze_backbone(training.net))


def taught(training: Training) -> None:
    if not training.teacher.exists():
        train_teacher(training.work, training.teacher)
    teacher = keras.models.load_model(training.teacher, compile=False)
    training.fit(loss=Distillation(teacher=True), teacher=teacher)


def train_teacher(work: Work, path: Path) -> None:
    net = attach_exits(work.backbone(TEACHER_WIDTH), EXITS[-1:], classes=work.data.classes)
    fit(net, work.train, epochs=work.epochs, batch_size=runs.BATCH, augmentation=SHIFTED)
    net.save(path)


def mixed_up(training: Training) -> None:
    """Mixup (Zhang et al. 2018, alpha 0.2): each batch is mixed with itself in reverse."""
    loss = MixedCrossEntropy()
    net = training.net
    training.fit(net=keras.Model(net.input, net(MixUp(loss.share)(net.input))), loss=loss)


class MixUp(keras.layers.Layer):
    """Draws how much of each sample stays, and tells the loss."""

    def __init__(self, share: Any) -> None:
        super().__init__()
        self.share = share

    def call(self, x: Any, training: bool = False) -> Any:
        if not training:
            return x
        one, other = tf.unstack(tf.random.gamma((2,), 0.2) + keras.backend.epsilon())
        self.share.assign(one / (one + other))
        return self.share * x + (1 - self.share) * x[::-1]


class MixedCrossEntropy(JointCrossEntropy):
    """The cross-entropies against both labels, by their shares."""

    def __init__(self) -> None:
        super().__init__()
        self.share = tf.Variable(1.0, trainable=False)

    def call(self, labels: Any, stacked: Any) -> Any:
        one, other = super().call(labels, stacked), super().call(labels[::-1], stacked)
        return self.share * one + (1 - self.share) * other


def calibrated(training: Training) -> None:
    """A temperature for each exit after training (Guo et al. 2017), the best on validation.

    It becomes part of the head's last weights, so that it costs nothing.
    """
    training.fit()
    x, y = training.work.data.validation
    for exit_, scored in zip(EXITS, scores(training.net, x), strict=True):
        logits = np.log(np.maximum(scored, keras.backend.epsilon()))

        def surprise(temperature: float, logits: Any = logits) -> float:
            normal = np.logaddexp.reduce(logits / temperature, axis=1)
            return float((normal - logits[np.arange(len(y)), y] / temperature).mean())

        best = min(np.geomspace(0.25, 4, 65), key=surprise)
        layer = training.net.get_layer(exit_.name)
        layer.set_weights([weights / best for weights in layer.get_weights()])


class FailurePrediction(JointCrossEntropy):
    """Adds the cross-entropy of being right, as foretold by the largest score.

    As the confidence network of Corbiere et al. (2019), but for the scores themselves.
    """

    def call(self, labels: Any, stacked: Any) -> Any:
        sure = tf.clip_by_value(tf.reduce_max(stacked, axis=-1), 1e-4, 1 - 1e-4)
        right = tf.argmax(stacked, axis=-1) == tf.cast(tf.reshape(labels, (-1, 1)), tf.int64)
        foretold = -tf.math.log(tf.where(right, sure, 1 - sure))
        return super().call(labels, stacked) + 0.5 * tf.reduce_mean(foretold, axis=-1)


METHODS: dict[str, Callable[[Training], None]] = {
    PLAIN: lambda t: t.fit(),
    "flip and shift": lambda t: t.fit(augmentation=SHIFTED),
    "cutout": lambda t: t.fit(augmentation=Augmentation(cutout=8)),
    "label smoothing": lambda t: t.fit(loss=JointCrossEntropy(label_smoothing=0.1)),
    "averaged weights": lambda t: t.fit(callbacks=[WeightAverage()]),
    "weight decay": weight_decay,
    "SGD instead of Adam": sgd,
    "weights by cost": lambda t: t.fit(loss=JointCrossEntropy(cost_weights(t.costs))),
    "weights from early to late": later_and_later,
    "gradient balance": gradient_balance,
    "self-distillation": lambda t: t.fit(loss=Distillation()),
    "distillation from a teacher": taught,
    "cascade weighting": lambda t: t.fit(loss=CascadeCrossEntropy()),
    "backbone first, then heads": partial(backbone_first, rate=0.0),
    "then heads, backbone slow": partial(backbone_first, rate=0.1),
    # What plain training gives on another processor, where those after it ran.
    AGAIN: lambda t: t.fit(),
    "temperature by validation": calibrated,
    "mixup": mixed_up,
    "failure prediction": lambda t: t.fit(loss=FailurePrediction()),
}
_NAMES = list(METHODS)
_LATER = _NAMES.index(AGAIN)
OVER = dict.fromkeys(_NAMES[1:_LATER], PLAIN) | dict.fromkeys(_NAMES[_LATER + 1 :], AGAIN)
"""Which plain training a method is compared with: that on its own processor."""
COLUMNS: dict[str, Callable[[Figures], float]] = {
    "hypervolume": lambda run: run["hypervolume"],
    **{f"{budget / 1e6:g} M": runs.accuracy_within(budget) for budget in SHOWN},
    "last exit": lambda run: run["accuracy"][-1],
    "ranking": lambda run: float(np.mean(run["ranking"][:-1])),
}


def train(method: str, seed: int, work: Work, teacher: Path) -> Figures:
    """One run: train, choose policies on validation, judge them on test."""
    keras.backend.clear_session()
    seed_everything(seed)
    net = attach_exits(work.backbone(), EXITS, classes=work.data.classes)
    costs = exit_costs(net)
    METHODS[method](Training(net, costs, work, teacher))
    validation, test = (exit_outputs(net, part) for part in (work.data.validation, work.data.test))
    found = search_policies(validation, costs, tolerance=0.0005, effort=1e9).found
    return {
        **runs.front_figures(found, test, costs),
        "accuracy": test.right.mean(axis=1).tolist(),
        "ranking": runs.ranking(test),
    }


def plot(done: Runs, path: Path) -> None:
    """What each method gains over plain training: every seed, and the mean."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name, over in OVER.items() if {name, over} <= done.done.keys()]
    shown = ("hypervolume", "last exit", "ranking")
    figure, axes = plt.subplots(1, len(shown), figsize=(11, 4.4), sharey=True, layout="constrained")
    for axis, column in zip(axes, shown, strict=True):
        for row, name in enumerate(reversed(names)):
            gains = 100 * np.array(done.gains(name, OVER[name], COLUMNS[column]))
            axis.plot(gains, [row] * len(gains), "o", color="tab:blue", alpha=0.4, markersize=4)
            axis.plot(gains.mean(), row, "|", color="black", markersize=14, markeredgewidth=2)
        axis.axvline(0, color="grey", linewidth=0.8)
        axis.set_xlabel(f"{column}: points more than plain")
        axis.grid(alpha=0.3, axis="x")
    axes[0].set_yticks(range(len(names)), reversed(names))
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = runs.options(HERE, __doc__.splitlines()[0], METHODS, 3)
    parser.add_argument("--plot", type=Path, default=HERE.with_suffix(".png"))
    parser.add_argument("--teacher", type=Path, default=Path("training_ablation_teacher.keras"))
    arguments = parser.parse_args()
    done = runs.run_all(arguments, partial(train, teacher=arguments.teacher))
    runs.show(done, COLUMNS, over=OVER)
    plot(done, arguments.plot)


if __name__ == "__main__":
    main()
