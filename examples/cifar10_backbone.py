"""Backbones for CIFAR-10 around those of `cifar10.py`, for the search to choose from.

    eexit-tf search --dataset cifar10 --output found --backbone cifar10_backbone:backbone \\
        --max-mean-macs 2.44M --max-macs 5M --max-params 300k --augment flip,shift=4 --epochs 6

in this folder. Family, stem and the places of strides are set; widths, depths, expansions and
kernels are searched, together with heads, exits and thresholds.
"""

import keras_tuner

from eexit_tf.backbones import Stage, Stem, inverted_residual
from eexit_tf.keras import keras


def backbone(hp: keras_tuner.HyperParameters) -> keras.Model:
    width = hp.Choice("width1", [16, 24, 32])
    return inverted_residual(
        (32, 32, 3),
        stem=Stem(width, stride=2),
        stages=[
            Stage(width, hp.Choice("depth1", [1, 2]), stride=1, expansion=2),
            Stage(
                hp.Choice("width2", [32, 40, 48]),
                hp.Choice("depth2", [1, 2, 3]),
                kernel=hp.Choice("kernel2", [3, 5]),
                expansion=hp.Choice("expansion2", [2, 3, 4]),
            ),
            Stage(
                hp.Choice("width3", [64, 80, 96, 112]),
                hp.Choice("depth3", [2, 3, 4]),
                kernel=hp.Choice("kernel3", [3, 5]),
                expansion=hp.Choice("expansion3", [2, 3, 4]),
            ),
        ],
    )
