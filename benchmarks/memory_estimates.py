"""Estimates of flash and arena that a search goes by, against the compiled files.

    python benchmarks/memory_estimates.py

Networks are random points of the search space for inputs of several shapes, with random weights
and one to five of their exits: described, estimated, then quantised, compiled and set up in TFLM.
"""

import argparse
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_tuner
import numpy as np

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.data import Samples
from eexit_tf.exits import keep_exits
from eexit_tf.keras import keras
from eexit_tf.tflite.compiler import compile as compile_network
from eexit_tf.tflite.model import CompiledModel
from eexit_tf.tflite.quantization import quantize
from eexit_tf.tuners.space import ExitSpace
from eexit_tf.vocabulary import ExitUse, OperatingPoint

DATA = (
    ((32, 32, 3), 10, 8_000_000),
    ((49, 10, 1), 12, 3_000_000),
    ((1, 128, 6), 6, 1_500_000),
    ((8, 8, 1), 10, 200_000),
    ((48, 48, 1), 2, 5_000_000),
    ((32, 32, 3), 100, 8_000_000),
)
"""Shape of an input, classes, and the most MACs."""
MOST_EXITS = 5


@dataclass(frozen=True)
class Compared:
    """A network's costs, the exits that its file has, and the file."""

    costs: ExitCosts
    chosen: tuple[int, ...]
    file: CompiledModel


def networks(count: int, seed: int) -> Iterator[Compared]:
    chance = random.Random(seed)
    for number in range(count):
        shape, classes, most = chance.choice(DATA)
        space = ExitSpace(shape, classes, Bounds(max_macs=most))
        hp = keras_tuner.HyperParameters()
        space.declare_hyperparameters(hp)
        values = {p.name: chance.choice(p.values) for p in hp.space}
        while space.rejected(values):
            values = {p.name: chance.choice(p.values) for p in hp.space}
        keras.backend.clear_session()
        full = space.network(values)
        costs = space.costs(values)
        fit = [i for i, exit_ in enumerate(costs.exits) if exit_.name in full.output_names]
        exits = min(len(fit), chance.randint(1, MOST_EXITS))
        chosen = tuple(sorted(chance.sample(fit, exits)))
        yield Compared(costs, chosen, _compiled(full, costs, chosen, seed=seed + number))


def _compiled(
    full: keras.Model, costs: ExitCosts, chosen: tuple[int, ...], seed: int
) -> CompiledModel:
    exits = [costs.exits[index] for index in chosen]
    net = keep_exits(full, exits)
    rng = np.random.default_rng(seed)
    # All different, as equal ones would be kept once.
    net.set_weights([w + rng.uniform(0.01, 0.1, w.shape) for w in net.get_weights()])
    x = rng.normal(size=(8, *net.input_shape[1:])).astype(np.float32)
    multi = quantize(net, Samples(x, np.zeros(8, np.int64)), method="ptq")
    uses = tuple(ExitUse(exit_.at, exit_.head, 0.5, 0.0, 0) for exit_ in exits)
    return compile_network(multi, OperatingPoint("p0", "", 0.0, 0.0, 0, 0, uses))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    print(f"{'exits':>5} {'flash':>10} {'estimate':>10} {'':>7} {'arena':>10} {'estimate':>10}")
    errors: dict[str, list[float]] = {"flash": [], "arena": []}
    for each in networks(options.networks, options.seed):
        flash = each.costs.flash_bytes(each.chosen) or 0
        arena = each.costs.arena_bytes(each.chosen) or 0
        errors["flash"].append(flash / each.file.flash_bytes - 1)
        errors["arena"].append(arena / each.file.arena_bytes - 1)
        print(
            f"{len(each.chosen):5} {each.file.flash_bytes:10,} {flash:10,} "
            f"{errors['flash'][-1]:+7.1%} {each.file.arena_bytes:10,} {arena:10,} "
            f"{errors['arena'][-1]:+7.1%}",
            flush=True,
        )
    for what, found in errors.items():
        low, middle, high = np.quantile(found, [0, 0.5, 1])
        print(f"{what}: estimates are {low:+.1%} to {high:+.1%} off, {middle:+.1%} in the middle")


if __name__ == "__main__":
    main()
