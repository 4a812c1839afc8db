"""Exits that give their scores in different shapes: dense heads and convolutional ones."""

from pathlib import Path

import numpy as np
import pytest
from memory import check_plan
from networks import convert, inputs_for, order_of
from static_cuts import check_equal

from eexit_tf.errors import UserError
from eexit_tf.keras import keras
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.compiler import compile_file
from eexit_tf.tflite.runtimes import RUNTIMES, LiteRT
from eexit_tf.tflite.segmented import SegmentedNetwork
from eexit_tf.tflite.segments import split
from eexit_tf.tflite.splicing import splice, spliced
from eexit_tf.tflite.splicing.normalize import normalize, normalize_model

CLASSES = 5
HEADS = [("vector", "map"), ("map", "vector"), ("map", "vector", "map"), ("vector", "map", "dense")]


def network(heads: tuple[str, ...]) -> keras.Model:
    """Heads that end in (1, classes), with a reshape behind a map of one position or without, or
    in such a map."""
    layers = keras.layers
    keras.utils.set_random_seed(0)
    x, outputs = (image := layers.Input((8, 8, 2), batch_size=1)), []
    for head in heads:
        x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
        sharp = {"kernel_initializer": keras.initializers.RandomNormal(stddev=2.0)}
        if head == "vector":
            logits = layers.GlobalMaxPooling2D()(layers.Conv2D(CLASSES, 1, **sharp)(x))
        elif head == "map":
            pooled = layers.AveragePooling2D(8)(x)
            logits = layers.Conv2D(CLASSES, 1, **sharp)(pooled)
        else:
            logits = layers.Dense(CLASSES, **sharp)(layers.Flatten()(x))
        outputs.append(layers.Softmax(name=f"exit{len(outputs)}")(logits))
    return keras.Model(image, outputs)


@pytest.mark.parametrize("confidence", ["max", "margin"])
@pytest.mark.parametrize("heads", HEADS)
def test_heads_of_different_shapes_go_into_one_file(
    heads: tuple[str, ...], confidence: str
) -> None:
    multi = convert(network(heads))
    order, static = order_of(multi), normalize(multi)
    main = flatbuffer.read(static).subgraphs[0]
    assert {len(main.tensors[index].shape) for index in main.outputs} == {2, 4}
    levels = [-40] * (len(heads) - 1) + [-128]
    content = splice.splice(multi, order, levels, confidence=confidence)
    model = flatbuffer.read(content)
    check_plan(model)
    assert schema.shape(model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]]) == (1, CLASSES)
    if confidence == "max":
        assert len(check_equal(content, static, order, levels)) > 1


def test_heads_may_all_end_in_maps() -> None:
    multi = convert(network(("map", "map")))
    order, levels = order_of(multi), [-40, -128]
    content = splice.splice(multi, order, levels)
    assert len(check_equal(content, normalize(multi), order, levels)) == 2


def test_heads_of_different_shapes_may_be_float_and_segments(tmp_path: Path) -> None:
    for int8 in (True, False):
        path = tmp_path / "multi.tflite"
        path.write_bytes(convert(network(HEADS[2]), int8=int8))
        model, order = compile_file(path, [0.5, 0.5]), order_of(path.read_bytes())
        x = inputs_for(model.content, 60)
        x = x if int8 else x.astype(np.float32) / 30
        outputs = LiteRT(normalize(path.read_bytes())).run(x)
        scores = np.stack([outputs[name] for name in order])
        limits = np.array([[0], [0], [-128]] if int8 else [[0.5], [0.5], [0]])
        index = (scores.max(axis=2) >= limits).argmax(axis=0)
        assert len(set(index)) > 1
        segments = split(model)
        for runtime in RUNTIMES.values():
            for ready in (runtime(model.content), SegmentedNetwork(segments, runtime)):
                found = ready.run(x)
                np.testing.assert_array_equal(found[spliced.EXIT].reshape(-1), index)
                np.testing.assert_allclose(
                    found[spliced.SCORES],
                    scores[index, np.arange(len(x))],
                    atol=0 if int8 else 1e-6,
                )


def test_several_samples_at_once_are_told_to_be_one() -> None:
    model = flatbuffer.read(convert(network(("vector", "map"))))
    main = model.subgraphs[0]
    main.tensors[main.outputs[0]].shape = np.int32([4, CLASSES])
    with pytest.raises(UserError, match=r"of 4 samples at once; convert .* with a batch of 1"):
        normalize_model(model)
