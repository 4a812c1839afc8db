"""A file that leaves early, and one file a stage, give what the static network gives.

To the last bit, scores and exit, in LiteRT's reference kernels and in TFLM: the converter's own
file with all exits as outputs runs in TFLM, is cut at the thresholds in numpy, and everything
else has to be equal to that.

    EEXIT_TF_RESNET8_INPUTS=1000 python -m pytest tests/test_bit_for_bit.py

runs MLPerf Tiny's ResNet-8 on as many inputs as the others, which takes a minute.
"""

import os
import random

import numpy as np
import pytest
from networks import inputs_for, order_of
from numpy.typing import NDArray
from space_networks import (
    RESNET8,
    data_path,
    ds_cnn,
    resnet8,
    space_networks,
)
from static_cuts import leave, sharing_thresholds

from eexit_tf.backbones import Stage, Stem, separable
from eexit_tf.data import Samples, load
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits
from eexit_tf.keras import seed_everything
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.describe import describe
from eexit_tf.tflite.inputs import quantise
from eexit_tf.tflite.quantization import quantize
from eexit_tf.tflite.runtimes import LiteRT, Tflm
from eexit_tf.tflite.segmented import SegmentedNetwork
from eexit_tf.tflite.segments import split
from eexit_tf.tflite.splicing import splice, spliced
from eexit_tf.tflite.splicing.normalize import normalize
from eexit_tf.training import fit
from eexit_tf.vocabulary import Exit

SPACE_INPUTS = int(os.environ.get("EEXIT_TF_SPACE_INPUTS", "1000"))
DS_CNN_INPUTS = 1000
RESNET8_INPUTS = int(os.environ.get("EEXIT_TF_RESNET8_INPUTS", "200"))
ARCHITECTURES = 25
COUNTS = ((1, 5), (2, 4), (3, 5), (2, 3), (4, 5))
"""Exits of the two networks of an architecture."""


def check(multi: bytes, x: NDArray[np.int8], chance: random.Random) -> None:
    """Compare every way to run a multi-exit file, with thresholds that use all its exits."""
    exits = order_of(multi)
    outputs = Tflm(multi).run(x)
    thresholds = sharing_thresholds(outputs, exits, chance)
    scores, taken = leave(outputs, exits, thresholds)
    assert set(taken) == set(range(len(exits))), (thresholds, np.bincount(taken))

    for name, values in LiteRT(normalize(multi)).run(x).items():
        np.testing.assert_array_equal(values, outputs[name], err_msg=name)
    content = splice.splice(multi, exits, thresholds)
    segments = split(describe(content))
    for runtime in (LiteRT, Tflm):
        for network in (runtime(content), SegmentedNetwork(segments, runtime)):
            found = network.run(x)
            said = f"{type(network).__name__} in {runtime.name}"
            np.testing.assert_array_equal(found[spliced.EXIT], taken, err_msg=said)
            np.testing.assert_array_equal(found[spliced.SCORES], scores, err_msg=said)


@pytest.mark.parametrize("seed", range(ARCHITECTURES))
def test_networks_of_the_search_space(seed: int) -> None:
    for number, multi in enumerate(space_networks(seed, COUNTS[seed % len(COUNTS)])):
        inputs = inputs_for(multi, SPACE_INPUTS, seed)
        check(multi, inputs, random.Random(2 * seed + number))


def test_mlperf_tinys_ds_cnn() -> None:
    multi = ds_cnn()
    check(multi, inputs_for(multi, DS_CNN_INPUTS), random.Random(0))


def test_mlperf_tinys_resnet8() -> None:
    path = data_path(RESNET8)
    if not path.is_file():
        pytest.skip(f"no {path}: set EEXIT_TF_DATA to the folder that holds {RESNET8}")
    multi = resnet8(path)
    check(multi, inputs_for(multi, RESNET8_INPUTS), random.Random(0))


@pytest.mark.parametrize(("backbone_bits", "head_bits"), [(8, 4), (4, 8)])
def test_weights_of_four_bits(backbone_bits: int, head_bits: int) -> None:
    """Depthwise weights keep 8, all others have what was asked for, and take half the room."""
    data = load("digits")
    seed_everything(0)
    stages = [Stage(16, 1), Stage(25, 1)]  # odd, so that a half byte is left over
    backbone = separable(data.input_shape, stem=Stem(8), stages=stages)
    exits = [Exit("block1", "conv3_dense"), Exit("block2")]
    net = attach_exits(backbone, exits, classes=data.classes)
    fit(net, data.train, epochs=2)
    few = data.train.draw(256, seed=0)
    bits = {"backbone_bits": backbone_bits, "head_bits": head_bits}
    multi = quantize(net, few, epochs=1, **bits).content

    model = flatbuffer.read(multi)
    main = model.subgraphs[0]
    for op in main.operators:
        name = schema.op_name(model, op)
        if name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            kernel = main.tensors[op.inputs[1]]
            asked = bits["head_bits" if "__" in schema.text(kernel.name) else "backbone_bits"]
            wanted = 8 if name == "DEPTHWISE_CONV_2D" else asked
            assert schema.type_name(kernel.type) == f"int{wanted}", schema.text(kernel.name)
    check(multi, quantise(model, data.test.x), random.Random(0))


def test_weights_of_four_bits_are_trained_as_such() -> None:
    net = attach_exits(separable((8, 8, 1), stages=[Stage(4)]), [Exit("block1")], classes=3)
    samples = Samples(np.zeros((4, 8, 8, 1), np.float32), np.zeros(4, np.int64))
    with pytest.raises(UserError, match="4 bits are trained as such: quantise with qat"):
        quantize(net, samples, method="ptq", head_bits=4)
    with pytest.raises(UserError, match="8 or 4 bits, not 8 and 6"):
        quantize(net, samples, head_bits=6)
