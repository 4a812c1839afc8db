"""A search space of one's own: inverted residual networks for CIFAR-10, with a head at each block.

    eexit-tf search --dataset cifar10 --output DIR --space cifar10_space:Space --max-mean-macs 2.44M

in this folder. `eexit-tf search` has a space without one; this one is smaller, and has nothing in
it that is known not to pay: no stride before the second stage but the stem's, and one head at each
block, stronger at the first ones, where features are poor.
"""

import keras_tuner

import eexit_tf as ee
from eexit_tf.backbones import Stage, Stem, inverted_residual
from eexit_tf.keras import keras

STRONG = "separable5x2_separable3x2_dense"
CHEAP = "separable3x2_dense"


class Space(keras_tuner.HyperModel):
    """Three stages behind a stem that halves the image."""

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        width = hp.Choice("width1", [16, 24, 32])
        stem, stages = Stem(width, stride=2), []
        for number, depths in ((1, [1, 2]), (2, [2, 3]), (3, [2, 3, 4])):
            if number > 1:
                growth = hp.Choice(f"growth{number}", [1.5, 2.0])
                width = 8 * round(width * growth / 8)
            depth = hp.Choice(f"depth{number}", depths)
            expansion = hp.Choice(f"expansion{number}", [2, 3, 4])
            stages.append(Stage(width, depth, stride=min(number, 2), expansion=expansion))
        strong = hp.Choice("strong", [1, 2, 3])
        backbone = inverted_residual((32, 32, 3), stem=stem, stages=stages)
        exits = [
            ee.Exit(f"block{number}", STRONG if number <= strong else CHEAP)
            for number in range(1, 1 + sum(stage.depth for stage in stages))
        ]
        return ee.attach_exits(backbone, exits, classes=10)
