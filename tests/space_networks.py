"""Networks of the search space and of MLPerf Tiny as int8 files, with random weights, quickly."""

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras_tuner
import numpy as np
from networks import convert
from numpy.typing import NDArray

from eexit_tf.backbones import separable
from eexit_tf.bounds import Bounds
from eexit_tf.exits import attach_exits, exits_of, keep_exits
from eexit_tf.keras import keras
from eexit_tf.tuners.space import ExitSpace
from eexit_tf.vocabulary import Exit

CLASSES = 5
RESNET8 = "mlperf_tiny/resnet8_cifar10.h5"
RESNET8_EXITS = (Exit("activation_2"), Exit("activation_4", "grid_dense"))
DS_CNN_EXITS = (Exit("block1"), Exit("block2", "conv3_dense"), Exit("block4"))


def data_path(name: str) -> Path:
    """A file of the data that development uses: in `EEXIT_TF_DATA`, or beside the checkout."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    return Path(os.environ.get("EEXIT_TF_DATA", beside)) / name


def space_networks(seed: int, counts: Sequence[int]) -> Iterator[bytes]:
    """Networks of one random point of the search space: for each count, so many random exits.

    Weights are drawn anew for each, so that confidences spread.
    """
    chance = random.Random(seed)
    space = ExitSpace((8, 8, chance.choice((1, 3))), CLASSES, Bounds(max_macs=80_000))
    hp = keras_tuner.HyperParameters()
    space.declare_hyperparameters(hp)
    while True:
        values = {p.name: chance.choice(p.values) for p in hp.space}
        # Random weights of many layers say the same of every sample.
        values["stages"] = min(values["stages"], 3)
        values |= {f"depth{stage}": min(values[f"depth{stage}"], 2) for stage in (1, 2, 3)}
        if not space.rejected(values) and len(space.costs(values)) >= max(counts):
            net = space.network(values)
            if len(net.outputs) >= max(counts):
                break
    for number, count in enumerate(counts):
        exits = exits_of(net)
        kept = sorted(chance.sample(range(len(exits)), count))
        part = keep_exits(net, [exits[index] for index in kept])
        rng = np.random.default_rng(1000 * seed + number)
        randomise(part, rng)
        yield convert(part, samples=rng.normal(size=(16, *part.input_shape[1:])))


def resnet8(path: Path) -> bytes:
    """MLPerf Tiny's trained ResNet-8 with two untrained exits before its own."""
    backbone = keras.models.load_model(path, compile=False)
    net = attach_exits(backbone, RESNET8_EXITS)
    rng = np.random.default_rng(0)
    samples = rng.uniform(0, 255, (16, *net.input_shape[1:]))
    spread_confidences(net, net.output_names[:-1], samples)
    return convert(net, samples=samples)


def ds_cnn() -> bytes:
    """MLPerf Tiny's DS-CNN for keywords (Zhang et al. 2017, size S), untrained, with exits."""
    net = attach_exits(separable((49, 10, 1)), DS_CNN_EXITS, classes=12)
    rng = np.random.default_rng(0)
    randomise(net, rng)
    return convert(net, samples=rng.normal(size=(16, *net.input_shape[1:])))


def randomise(net: keras.Model, rng: np.random.Generator) -> None:
    """Random weights of a size that keeps activations about as large as the input."""
    for layer in net.layers:
        weights = layer.get_weights()
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (w.shape for w in weights)
            layer.set_weights(
                [
                    rng.uniform(0.7, 1.5, gamma),
                    rng.normal(0, 0.3, beta),
                    rng.normal(0, 0.3, mean),
                    rng.uniform(0.5, 1.5, variance),
                ]
            )
        elif weights:
            fan_in = np.prod(weights[0].shape[:-1])
            layer.set_weights([rng.normal(0, (2 / fan_in) ** 0.5, w.shape) for w in weights])
    spread_confidences(net, net.output_names, rng.normal(size=(64, *net.input_shape[1:])))


def spread_confidences(net: keras.Model, names: Sequence[str], samples: NDArray) -> None:
    """Scale the exits' last weights so that their confidences spread over these samples."""
    said = net(samples.astype(np.float32), training=False)
    outputs = dict(zip(net.output_names, said if isinstance(said, list) else [said], strict=True))
    for name in names:
        logits = np.log(np.maximum(outputs[name].numpy(), 1e-30))
        middle = logits.mean(axis=0)  # what a class gets whatever the sample
        factor = 2 / (logits - middle).std()
        kernel, bias = net.get_layer(name).get_weights()
        net.get_layer(name).set_weights([kernel * factor, (bias - middle) * factor])
