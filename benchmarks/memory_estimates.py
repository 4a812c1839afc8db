"""Estimates of flash and arena that a search goes by, against the compiled files.

    python benchmarks/memory_estimates.py

Networks are random points of the search space for inputs of several shapes, small ones among them,
with random weights and one to five of their exits: described, estimated, then quantised by either
method, compiled with labels as `convert` does, and set up in TFLM.
"""

import argparse
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import get_args

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras_tuner
import numpy as np

from eexit_tf.bounds import Bounds
from eexit_tf.costs import ExitCosts
from eexit_tf.data import Samples
from eexit_tf.exits import keep_exits
from eexit_tf.keras import keras
from eexit_tf.tflite.compiler import compile as compile_network
from eexit_tf.tflite.model import CompiledModel, Method
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
    ((8, 8, 1), 10, 30_000),
    ((1, 128, 6), 3, 60_000),
    ((1, 60, 1), 3, 100_000),
)
"""Shape of an input, classes, and the most MACs."""
EXITS = (1, 1, 2, 3, 4, 5)
"""How many a file gets; one more often, as that is what most small networks are left with."""
NAMES = ("{}", "class {}")
"""What classes are called: a number where the data has no names."""


@dataclass(frozen=True)
class Compared:
    """A network's costs, the exits that its file has, how it was quantised, and the file."""

    costs: ExitCosts
    chosen: tuple[int, ...]
    method: Method
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
        chosen = tuple(sorted(chance.sample(fit, min(len(fit), chance.choice(EXITS)))))
        method = chance.choice(get_args(Method))
        name = chance.choice(NAMES)
        names = [name.format(index) for index in range(classes)]
        file = _compiled(full, costs, chosen, method, names, seed=seed + number)
        yield Compared(costs, chosen, method, file)


def _compiled(
    full: keras.Model,
    costs: ExitCosts,
    chosen: tuple[int, ...],
    method: Method,
    names: list[str],
    seed: int,
) -> CompiledModel:
    exits = [costs.exits[index] for index in chosen]
    net = keep_exits(full, exits)
    rng = np.random.default_rng(seed)
    # All different, as equal ones would be kept once.
    net.set_weights([w + rng.uniform(0.01, 0.1, w.shape) for w in net.get_weights()])
    x = rng.normal(size=(8, *net.input_shape[1:])).astype(np.float32)
    # One epoch is enough for each map's own range, of which `qat` makes more operators.
    multi = quantize(net, Samples(x, np.zeros(8, np.int64)), method=method, epochs=1)
    uses = tuple(ExitUse(exit_.at, exit_.head, 0.5, 0.0, 0) for exit_ in exits)
    point = OperatingPoint("p0", "", 0.0, 0.0, 0, 0, uses)
    return compile_network(multi, point, class_names=names)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    heading = f"{'flash':>10} {'estimate':>10} {'':>7} {'arena':>10} {'estimate':>10}"
    print(f"{'exits':>5} {'by':>4} {heading}")
    errors: dict[str, list[float]] = {"flash": [], "arena": []}
    for each in networks(options.networks, options.seed):
        flash = each.costs.flash_bytes(each.chosen) or 0
        arena = each.costs.arena_bytes(each.chosen) or 0
        errors["flash"].append(flash / each.file.flash_bytes - 1)
        errors["arena"].append(arena / each.file.arena_bytes - 1)
        print(
            f"{len(each.chosen):5} {each.method:>4} {each.file.flash_bytes:10,} {flash:10,} "
            f"{errors['flash'][-1]:+7.1%} {each.file.arena_bytes:10,} {arena:10,} "
            f"{errors['arena'][-1]:+7.1%}",
            flush=True,
        )
    for what, found in errors.items():
        low, middle, high = np.quantile(found, [0, 0.5, 1])
        print(
            f"{what}: estimates are {low:+.1%} to {high:+.1%} off, {middle:+.1%} in the middle; "
            f"{sum(error < 0 for error in found)} of {len(found)} are too low"
        )


if __name__ == "__main__":
    main()
