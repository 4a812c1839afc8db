"""The papers' recipes on our trainer, beside ours: the same backbone, samples and epochs.

    python benchmarks/side_by_side.py --dataset cifar10.npz [--seeds N] [--only RECIPE …]

A recipe is a choice of heads, loss, number format and threshold tuner, re-implemented from the
papers; none is their code. All flip and shift the images. Policies are chosen on validation, for
every budget of `training_runs.BUDGETS`, and judged on the 10,000 test images, executed heads
charged. A run that is in the JSON file is not done again.

ours             six exits (a cheap head at every tap, a strong one at two) trained jointly and
                 quantised by their ranges alone, which costs nothing (`quantization.py`); every
                 policy searched on the int8 network's outputs.
NACHOS           heads of three convolutions, gates with BCE, then L_cost, then L_peak too (half, a
                 quarter and a quarter of the epochs), one common threshold lowered. One training
                 for half of the backbone's MACs, and its thresholds for every budget; in float32.
AEBNAS           its heads of one convolution, summed cross-entropy, margin, its grid; in float32.
hardware-aware   heads of 4 x 4 maximum pooling and a dense layer, quantisation-aware training in
                 the last fifth of the epochs, one common threshold from 0.70 to 0.95 on the int8
                 network's outputs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import training_runs as runs
from numpy.typing import NDArray
from training_runs import BUDGETS, SHIFTED, SHOWN, TAPS, Figures, Runs, Work

from eexit_tf import threshold_grid
from eexit_tf.confidences import Confidence, levels
from eexit_tf.costs import ExitCosts
from eexit_tf.data import Samples
from eexit_tf.exits import attach_exits, exits_of
from eexit_tf.gates import CostLoss, NachosLoss, PeakLoss, SupportMatrix, add_gates
from eexit_tf.heads import GRID_SIDE
from eexit_tf.keras import keras, seed_everything, tf
from eexit_tf.network_costs import exit_costs
from eexit_tf.outputs import ExitOutputs
from eexit_tf.policies import search_policies
from eexit_tf.tflite import schema
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.lineage import resolve
from eexit_tf.tflite.model import MultiExit
from eexit_tf.tflite.quantization import quantize
from eexit_tf.tflite.runtimes import LiteRT
from eexit_tf.tflite.splicing.normalize import normalize
from eexit_tf.threshold_grid import Scored, Tuner
from eexit_tf.training import LEARNING_RATE, WarmUpCosine, fit, scores
from eexit_tf.vocabulary import Exit

STRONG = [Exit(tap, "nachos_dense") for tap in TAPS[1:-1]]
"""NACHOS's heads; on the largest map one costs more than the backbone, which its rules exclude."""
QUANTIZED = 0.2
"""Part of the epochs that is quantisation-aware."""
HERE = Path(__file__)
Outputs = tuple[ExitOutputs, ExitOutputs]
"""On validation and on test."""
Chosen = list[Scored]
Trained = tuple[ExitCosts, ExitOutputs, Chosen]
"""The exits' costs, what they say on test, and the policies chosen on validation."""


def ours(work: Work) -> Trained:
    exits = [*(Exit(tap, "grid_dense") for tap in TAPS[:-1]), *STRONG, Exit(TAPS[-1])]
    net = attach_exits(work.backbone(), exits, classes=work.data.classes)
    costs = exit_costs(net)
    train(net, work, work.epochs)
    outputs = in_int8(net, quantize(net, work.train, method="ptq"), work)
    return costs, outputs[1], list(search_policies(outputs[0], costs, tolerance=0.002).found)


def aebnas(work: Work) -> Trained:
    exits = [*(Exit(tap, "conv3_dense") for tap in TAPS[:-1]), Exit(TAPS[-1])]
    net = attach_exits(work.backbone(), exits, classes=work.data.classes)
    costs = exit_costs(net)
    train(net, work, work.epochs)
    outputs = in_float(lambda x: scores(net, x), work, "margin")
    return costs, outputs[1], tuned(threshold_grid.aebnas, outputs, costs)


def hardware_aware(work: Work) -> Trained:
    net = with_maximum_heads(work.backbone(), work.data.classes)
    costs = exit_costs(net)
    fine = max(1, round(QUANTIZED * work.epochs))
    train(net, work, work.epochs - fine)
    multi = quantize(net, work.train, epochs=fine, augmentation=SHIFTED)
    outputs = in_int8(net, multi, work)
    return costs, outputs[1], tuned(threshold_grid.common, outputs, costs)


def nachos(work: Work) -> Trained:
    exits = [*STRONG, Exit(TAPS[-1])]
    net = attach_exits(work.backbone(), exits, classes=work.data.classes)
    costs = exit_costs(net)  # a gate's hundred MACs are left out
    gated = add_gates(net)
    support = SupportMatrix(
        work.train.draw(len(work.train.y) // 10, seed=1), work.data.classes, len(costs)
    )
    cost_weight, peak_weight = (tf.Variable(0.0, trainable=False) for _ in range(2))
    half = costs.alone_macs(len(costs) - 1) / 2
    loss = NachosLoss(CostLoss(costs, half), PeakLoss(support.matrix), cost_weight, peak_weight)

    def begin(epoch: int, logs: Any = None) -> None:
        cost_weight.assign(float(epoch >= round(work.epochs / 2)))
        peak_weight.assign(float(epoch >= round(work.epochs * 3 / 4)))

    schedule = keras.callbacks.LambdaCallback(on_epoch_begin=begin)
    rate = WarmUpCosine(LEARNING_RATE, work.steps)
    gated.compile(keras.optimizers.legacy.Adam(rate), loss)
    data = tf.data.Dataset.from_tensor_slices(tuple(work.train)).shuffle(len(work.train.y))
    data = data.map(SHIFTED, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    gated.fit(data.batch(runs.BATCH), epochs=work.epochs, verbose=0, callbacks=[support, schedule])

    def outputs(samples: Samples) -> ExitOutputs:
        said = gated.predict(samples.x, batch_size=256, verbose=0)
        # A sample leaves once the probability of having left reaches the threshold.
        left = 1 - np.cumprod(1 - said[..., -1], axis=1)
        right = said[..., :-1].argmax(-1) == samples.y[:, None]
        return ExitOutputs(np.clip(256 * left.T, 0, 255).astype(np.uint8), right.T)

    both = outputs(work.data.validation), outputs(work.data.test)
    return costs, both[1], tuned(threshold_grid.nachos, both, costs)


RECIPES: dict[str, Callable[[Work], Trained]] = {
    "ours": ours,
    "NACHOS": nachos,
    "AEBNAS": aebnas,
    "hardware-aware": hardware_aware,
}
COLUMNS: dict[str, Callable[[Figures], float]] = {
    "hypervolume": lambda run: run["hypervolume"],
    **{f"{b / 1e6:g} M": runs.accuracy_within(b) for b in (*SHOWN, BUDGETS[-1])},
    "last exit": lambda run: run["accuracy"][-1],
}


def train(net: keras.Model, work: Work, epochs: int) -> None:
    fit(net, work.train, epochs=epochs, batch_size=runs.BATCH, augmentation=SHIFTED)


def tuned(tuner: Tuner, outputs: Outputs, costs: ExitCosts) -> Chosen:
    """A policy for each budget."""
    return [tuner(outputs[0], costs, budget) for budget in (*BUDGETS, *SHOWN)]


def with_maximum_heads(backbone: keras.Model, classes: int) -> keras.Model:
    """An exit at every tap: maximum pooling to 4 x 4 and a dense softmax."""
    outputs = []
    for tap in TAPS:
        x = backbone.get_layer(tap).output
        if x.shape[1] > GRID_SIDE:
            x = keras.layers.MaxPooling2D(x.shape[1] // GRID_SIDE, name=f"{tap}_max")(x)
        x = keras.layers.Flatten(name=f"{tap}_flat")(x)
        name = Exit(tap, "max_dense").name
        outputs.append(keras.layers.Dense(classes, activation="softmax", name=name)(x))
    return keras.Model(backbone.input, outputs, name=backbone.name)


def in_float(
    predict: Callable[[NDArray], list[NDArray]], work: Work, confidence: Confidence
) -> Outputs:
    """What exits say in float32, with the levels that int8 has."""

    def outputs(samples: Samples) -> ExitOutputs:
        given = predict(samples.x)
        right = np.stack([each.argmax(axis=1) == samples.y for each in given])
        return ExitOutputs(np.stack([levels(each, confidence) for each in given]), right)

    return outputs(work.data.validation), outputs(work.data.test)


def in_int8(net: keras.Model, multi: MultiExit, work: Work) -> Outputs:
    """What the exits of the network's int8 file say in LiteRT."""
    runtime = LiteRT(normalize(multi.content), reference=False)
    names = [resolve(runtime.model, exit_.name) for exit_ in exits_of(net)]
    tensors = {index: name for name, index in schema.outputs_by_name(runtime.model).items()}

    def predict(x: NDArray) -> list[NDArray]:
        said = runtime.run(quantise(runtime.model, x))
        return [said[tensors[name]] for name in names]

    return in_float(predict, work, "max")


def measure(recipe: str, seed: int, work: Work) -> Figures:
    keras.backend.clear_session()
    seed_everything(seed)
    costs, test, chosen = RECIPES[recipe](work)
    return {
        **runs.front_figures(chosen, test, costs),
        "accuracy": test.right.mean(axis=1).tolist(),
        "ranking": runs.ranking(test),
        "exits": [[e.name, costs.alone_macs(i)] for i, e in enumerate(costs.exits)],
    }


def plot(done: Runs, path: Path) -> None:
    """Test accuracy against test mean MACs: every seed's front, and the mean at each budget."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4.6), layout="constrained")
    for colour, (name, seeds) in zip(plt.get_cmap("tab10").colors, done.done.items(), strict=False):
        fronts = [
            {b: (macs, accuracy) for b, macs, accuracy in run["points"] if b in BUDGETS}
            for run in seeds.values()
        ]
        for front in fronts:
            axis.plot(*points(front.values()), color=colour, alpha=0.3, linewidth=0.8)
        shared = [b for b in BUDGETS if all(b in front for front in fronts)]
        means = [tuple(np.mean([front[b] for front in fronts], axis=0)) for b in shared]
        axis.plot(*points(means), "o-", color=colour, markersize=3, label=name)
    axis.set_xscale("log")
    for formatted in (axis.xaxis.set_major_formatter, axis.xaxis.set_minor_formatter):
        formatted("{x:g}")
    axis.set_xlabel("mean MACs (M), executed heads charged")
    axis.set_ylabel("test accuracy (%)")
    axis.grid(alpha=0.3, which="both")
    axis.legend()
    figure.savefig(path, dpi=90)


def points(front: Any) -> tuple[list[float], list[float]]:
    return [macs / 1e6 for macs, _ in front], [100 * accuracy for _, accuracy in front]


def main() -> None:
    parser = runs.options(HERE, __doc__.splitlines()[0], RECIPES, 3)
    parser.add_argument("--plot", type=Path, default=HERE.with_suffix(".png"))
    arguments = parser.parse_args()
    done = runs.run_all(arguments, measure)
    runs.show(done, COLUMNS)
    plot(done, arguments.plot)


if __name__ == "__main__":
    main()
