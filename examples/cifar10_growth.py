"""A search space around a trained network: where its maps are finer, and how deep its stages are.

    CIFAR10=cifar10 eexit-tf search --dataset cifar10 --output DIR --space cifar10_growth:Growth

in this folder. Each network begins with the weights of the one that the search in `cifar10_space`
led to (`models/searched.weights.h5`, or the kept file), so that no trial learns from nothing; what
more MACs will be worth takes more epochs than a few to show. `CIFAR10` is the data set, as for
`--dataset`: the weights from the kept file need images to go with them.
"""

import os
from dataclasses import replace
from pathlib import Path

import keras_tuner
from cifar10 import DESIGNS, trained
from cifar10_space import CHEAP, STRONG
from growth import grow

import eexit_tf as ee
from eexit_tf.keras import keras

SOURCE = "searched"


class Growth(keras_tuner.HyperModel):
    """The searched network with one stride less, and with deeper stages.

    Attributes:
        learning_rate: the highest, for weights that have learnt something.
    """

    learning_rate = 2e-3

    def __init__(self) -> None:
        super().__init__()
        self._data = ee.load(os.environ.get("CIFAR10", "cifar10"))
        self._source = trained(SOURCE, self._data, Path("models"))

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        source = DESIGNS[SOURCE]
        fine = hp.Choice("fine", ["stem", "stage2", "stage3"])
        depths = (
            hp.Choice("depth1", [1, 2]),
            hp.Choice("depth2", [2, 3, 4]),
            hp.Choice("depth3", [3, 4, 5, 6, 7]),
        )
        stages = [
            replace(stage, depth=depth, stride=1 if fine == f"stage{number}" else stage.stride)
            for number, (stage, depth) in enumerate(zip(source.stages, depths, strict=True), 1)
        ]
        strong = hp.Choice("strong", [1, 2, 3])
        heads = {
            f"block{number}": STRONG if number <= strong else CHEAP
            for number in range(1, 1 + sum(depths))
        }
        stem = replace(source.stem, stride=1) if fine == "stem" else source.stem
        net = replace(source, stem=stem, stages=stages, heads=heads).build(self._data)
        grow(net, stages, self._source, source.stages)
        return net
