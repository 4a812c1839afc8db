"""Confidences, thresholds at run time, and what compiling and evaluating make of a file."""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from click.testing import CliRunner
from memory import check_plan
from networks import convert, inputs_for, int8_inputs, keras_network, multi_exit, order_of
from numpy.typing import NDArray
from one_operator import FLOAT, SOUND, Change, both, given, made

from eexit_tf.cli import cli
from eexit_tf.confidences import Confidence, levels
from eexit_tf.data import Samples
from eexit_tf.errors import UserError
from eexit_tf.exits import attach_exits, exits_of
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.compiler import compile, compile_file
from eexit_tf.tflite.describe import describe
from eexit_tf.tflite.evaluation import evaluate
from eexit_tf.tflite.hints import hints
from eexit_tf.tflite.interpreter import EarlyExitInterpreter
from eexit_tf.tflite.quantization import quantize
from eexit_tf.tflite.runtimes import LiteRT, Tflm
from eexit_tf.tflite.splicing import splice, spliced
from eexit_tf.tflite.splicing.normalize import normalize
from eexit_tf.tflite.splicing.stages import cut
from eexit_tf.tflite.splicing.unsplice import unsplice
from eexit_tf.vocabulary import Exit, ExitUse, OperatingPoint


@lru_cache
def twins(seed: int, exits: int) -> bytes:
    """A network whose exits cannot tell class 0 from 1, nor 2 from 3: they always get one score."""
    network = keras_network(seed, exits)
    for layer in network.layers:
        if layer.name in network.output_names:
            kernel, bias = layer.get_weights()
            kernel[:, 1], kernel[:, 3] = kernel[:, 0], kernel[:, 2]
            bias[1], bias[3] = bias[0], bias[2]
            layer.set_weights([kernel, bias])
    return convert(network, seed)


def confidence_of(scores: NDArray, confidence: str) -> NDArray[np.int64]:
    """Levels of int8 scores, (..., classes), in another way than the library's."""
    ordered = np.sort(scores.astype(int), axis=-1)
    return ordered[..., -1] + 128 if confidence == "max" else ordered[..., -1] - ordered[..., -2]


def quantiles(confidence: NDArray[np.int64]) -> list[int]:
    """int8 thresholds at which every exit gets its part, from (exits, samples) levels."""
    staying, found = np.ones(confidence.shape[1], bool), []
    for k in range(len(confidence) - 1):
        level = int(np.quantile(confidence[k, staying], 1 - 1 / (len(confidence) - k)))
        found.append(min(level, 254) + 1 - 128)
        staying &= confidence[k] < found[-1] + 128
    return [*found, -128]


@pytest.mark.parametrize(
    ("confidence", "runtime_thresholds"), [("max", True), ("margin", False), ("margin", True)]
)
def test_both_runtimes_do_what_the_static_network_does(
    confidence: Confidence, runtime_thresholds: bool
) -> None:
    reached = []
    for multi in (multi_exit(12, 5, True), twins(10, 3)):
        order, x = order_of(multi), inputs_for(multi)
        said = Tflm(normalize(multi)).run(x)
        scores = np.stack([said[name] for name in order])
        confident = confidence_of(scores, confidence)
        np.testing.assert_array_equal(levels(scores, confidence), confident)
        thresholds = quantiles(confident)
        content = splice.splice(
            multi,
            order,
            thresholds,
            confidence=confidence,
            runtime_thresholds=runtime_thresholds,
        )
        check_plan(flatbuffer.read(content))
        index = (confident >= np.array(thresholds)[:, None] + 128).argmax(axis=0)
        given = [np.array(thresholds[:-1], np.int8)] if runtime_thresholds else []
        for runtime in (LiteRT, Tflm):
            found = runtime(content).run(x, *given)
            np.testing.assert_array_equal(found["exit"], index)
            np.testing.assert_array_equal(found["scores"], scores[index, np.arange(len(x))])
        reached.append(len(set(index)))
        predicted = EarlyExitInterpreter(content, runtime="tflm").predict(x)
        taken = confident[index, np.arange(len(x))]
        np.testing.assert_array_equal(predicted.exits, index)
        np.testing.assert_array_equal(predicted.confidences, taken / np.float32(256))
    assert max(reached) == 5


def test_two_classes_that_share_the_largest_score_have_no_margin() -> None:
    multi = twins(10, 3)
    order, x = order_of(multi), inputs_for(multi)
    said = Tflm(normalize(multi)).run(x)
    margins = [confidence_of(said[name], "margin") for name in order]
    assert (margins[0] == 0).all()
    assert (margins[1] > 0).all()
    content = splice.splice(multi, order, [1 - 128, 1 - 128, 0], confidence="margin")
    for runtime in (LiteRT, Tflm):
        assert (runtime(content).run(x)["exit"] == 1).all()


def test_float_networks_have_margins_and_runtime_thresholds() -> None:
    multi = multi_exit(10, 3, int8=False)
    order = order_of(multi)
    x = inputs_for(multi, 60).astype(np.float32) / 30
    said = LiteRT(normalize(multi)).run(x)
    scores = np.stack([said[name] for name in order])
    confident = levels(scores, "margin").astype(int)
    thresholds = quantiles(confident)
    index = (confident >= np.array(thresholds)[:, None] + 128).argmax(axis=0)
    for at_run_time in (False, True):
        content = splice.splice(
            multi, order, thresholds, confidence="margin", runtime_thresholds=at_run_time
        )
        for runtime in ("litert", "tflm"):
            found = EarlyExitInterpreter(content, runtime).predict(x)
            np.testing.assert_array_equal(found.exits, index)
    assert set(index) == {0, 1, 2}


def test_thresholds_of_float_networks_are_rounded_as_the_help_says(tmp_path: Path) -> None:
    path = tmp_path / "multi.tflite"
    path.write_bytes(multi_exit(10, 3, False, int8=False))
    made = compile_file(path, [0.9, 1.0])
    assert [exit_.threshold for exit_ in made.exits] == [231 / 256, 255 / 256, 0]
    for verb in ("compile", "retune"):
        said = " ".join(CliRunner().invoke(cli, [verb, "--help"]).output.split())
        assert "rounded up to steps of 1/256, 255/256 at most, in a float32 network, too" in said


def test_thresholds_are_set_at_run_time() -> None:
    multi = multi_exit(12, 5, True)
    order, x = order_of(multi), inputs_for(multi, 40)
    content = splice.splice(multi, order, [127] * 5, runtime_thresholds=True)
    model = flatbuffer.read(content)
    assert list(schema.inputs_by_name(model)) == ["image", "thresholds"]
    tensor = model.subgraphs[0].tensors[schema.inputs_by_name(model)["thresholds"]]
    assert (schema.shape(tensor), schema.quantization(tensor)) == ((4,), (1 / 256, -128))
    for runtime in (LiteRT(content), Tflm(content)):
        for leave_at in (0, 3, 1, 4, 2):
            given = np.full(4, 127, np.int8)
            given[leave_at:] = -128
            exits = runtime.run(x, given)["exit"]
            assert exits.max() == leave_at
    with pytest.raises(UserError, match="expected a network with one input"):
        LiteRT(content).run(x)
    fixed = splice.splice(multi, order, [10, 20, 30, 40, 0])
    mine = EarlyExitInterpreter(content, thresholds=[(t + 128) / 256 for t in (10, 20, 30, 40)])
    assert mine.thresholds == (10, 20, 30, 40, -128)
    np.testing.assert_array_equal(mine.predict(x).exits, LiteRT(fixed).run(x)["exit"])


def test_a_network_with_one_exit_has_no_thresholds() -> None:
    multi = multi_exit(10, 3)
    last = order_of(multi)[-1:]
    content = splice.splice(multi, last, [0], runtime_thresholds=True, confidence="margin")
    assert content == splice.splice(multi, last, [0], confidence="margin")
    assert not spliced.inspect(content).runtime_thresholds


def test_unsplicing_gives_back_the_network() -> None:
    multi = multi_exit(12, 5, True)
    order = order_of(multi)
    plain = unsplice(splice.splice(multi, order, [0] * 5))
    made = splice.splice(multi, order, [9] * 5, confidence="margin", runtime_thresholds=True)
    x = inputs_for(multi, 30)
    expected, found = (Tflm(content).run(x) for content in (plain, unsplice(made)))
    for name, scores in expected.items():
        np.testing.assert_array_equal(found[name], scores)
    stages = [cut(flatbuffer.read(content), order) for content in (unsplice(made), multi)]
    assert stages[0].leave_macs == stages[1].leave_macs


def test_decisions_are_charged() -> None:
    multi = multi_exit(10, 3)
    order = order_of(multi)
    by_max, by_margin = (
        describe(splice.splice(multi, order, [0, 0, 0], confidence=confidence))
        for confidence in ("max", "margin")
    )
    differences = [b.macs - a.macs for a, b in zip(by_max.exits, by_margin.exits, strict=True)]
    one = (5 * 5 + 2) - (5 + 1)
    assert differences == [one, 2 * one, 2 * one]
    assert by_max.static_macs == by_margin.static_macs
    assert (by_max.confidence, by_margin.confidence) == ("max", "margin")


def test_evaluation_counts_what_happens(tmp_path: Path) -> None:
    path = tmp_path / "multi.tflite"
    path.write_bytes(multi_exit(12, 5, True))
    x = inputs_for(path.read_bytes(), 80)
    samples = Samples(x, np.arange(80) % 5)  # type: ignore[arg-type]  # int8 goes as well
    for at_run_time in (False, True):
        model = compile_file(
            path, [0.3, 0.4, 0.5, 0.6], confidence="margin", runtime_thresholds=at_run_time
        )
        results = [evaluate(model, samples, runtime=name) for name in ("litert", "tflm")]
        assert results[0].exits == results[1].exits
        assert results[0].accuracy == results[1].accuracy
        assert sum(exit_.share > 0 for exit_ in results[0].exits) > 2
        assert [exit_.macs for exit_ in results[0].exits] == [e.macs for e in model.exits]
        assert model.runtime_thresholds == at_run_time
    with pytest.raises(UserError, match="expected labelled samples, got none"):
        evaluate(model, Samples(samples.x[:0], samples.y[:0]))


def test_damaged_files_work_or_are_refused() -> None:
    """As in `test_schema`, with the operators of margins and of thresholds at run time."""
    from test_schema import _mutations

    multi = multi_exit(10, 3)
    content = splice.splice(
        multi, order_of(multi), [20, 20, 0], confidence="margin", runtime_thresholds=True
    )
    refused = 0
    for damaged in _mutations(content, 200):
        try:
            network = EarlyExitInterpreter(damaged)
            main = network.runtime.model.subgraphs[0]
            x = int8_inputs(schema.shape(main.tensors[main.inputs[0]])[1:], 1)
            network.predict(x)
            EarlyExitInterpreter(damaged, "tflm").predict(x)
        except UserError:
            refused += 1
    assert 0 < refused < 200


def test_exits_may_share_layers() -> None:
    """One dense classifier for all exits, on features that pass through one shared layer."""
    layers = tf_keras.layers
    tf_keras.utils.set_random_seed(3)
    inputs = layers.Input((8, 8, 2), batch_size=1, name="image")
    block = layers.Conv2D(6, 3, padding="same", activation="relu")
    pool, classify = layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax")
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(inputs)
    outputs = []
    for k in range(3):
        x = block(x)
        scores = classify(layers.Lambda(lambda y: 30 * y)(pool(x)))
        outputs.append(layers.Reshape((5,), name=f"exit{k}")(scores))
    multi = convert(tf_keras.Model(inputs, outputs))
    order, samples = order_of(multi), inputs_for(multi)
    said = Tflm(normalize(multi)).run(samples)
    scores = np.stack([said[name] for name in order])
    confident = confidence_of(scores, "margin")
    thresholds = quantiles(confident)
    index = (confident >= np.array(thresholds)[:, None] + 128).argmax(axis=0)
    content = splice.splice(multi, order, thresholds, confidence="margin")
    for runtime in (LiteRT, Tflm):
        found = runtime(content).run(samples)
        np.testing.assert_array_equal(found["exit"], index)
        np.testing.assert_array_equal(found["scores"], scores[index, np.arange(len(samples))])
    assert set(index) == {0, 1, 2}
    # The weights that the exits share are in the file once.
    assert len(content) < len(multi) + 6000


@pytest.mark.parametrize(("exits", "hinted"), [(2, False), (3, True)])
def test_a_mean_over_a_map_is_hinted_at(exits: int, hinted: bool, tmp_path: Path) -> None:
    """The third head of this network is the only one that begins with a global average."""
    source = tmp_path / "multi.tflite"
    source.write_bytes(multi_exit(11, exits))
    arguments = ["compile", str(source), "--output", str(tmp_path / "M.tflite"), "--thresholds"]
    done = CliRunner().invoke(cli, [*arguments, ",".join(["0.9"] * (exits - 1))])
    assert done.exit_code == 0, done.output
    assert ("hint: 1 MEAN over height and width" in done.output) is hinted


@pytest.mark.parametrize(
    ("change", "hinted"),
    [
        (given(1, data=(-2, 1)), True),
        (both(given(1, data=(2,), shape=(1,)), made(shape=(1, 8, 3))), False),
        (both(given(1, data=(1, 2, 3), shape=(3,)), made(shape=(1,))), False),
        (both(given(0, type=FLOAT), made(type=FLOAT)), False),
        (both(given(0, shape=(1, 8, 9)), made(shape=(1,))), False),
    ],
)
def test_means_over_else_than_maps_are_not(change: Change, hinted: bool) -> None:
    model = flatbuffer.read(change(SOUND["MEAN"]).content("MEAN"))
    assert bool(hints(model)) is hinted


def test_the_backbones_own_classifier_is_an_exit() -> None:
    """Its output has a name without a head, in the file as in Keras."""
    layers = tf_keras.layers
    x = inputs = layers.Input((8, 8, 1))
    x = layers.ReLU(name="tap")(layers.Conv2D(4, 3)(x))
    x = layers.Flatten()(layers.MaxPooling2D(2)(layers.Conv2D(4, 3)(x)))
    backbone = tf_keras.Model(inputs, layers.Dense(3, activation="softmax", name="classify")(x))
    net = attach_exits(backbone, [Exit("tap")])
    x = np.random.default_rng(0).normal(size=(40, 8, 8, 1)).astype(np.float32)
    samples = Samples(x, np.arange(40) % 3)
    uses = tuple(ExitUse(exit_.at, exit_.head, 0.5, 0.5, 1) for exit_ in exits_of(net))
    point = OperatingPoint("1", "1", 0.5, 1.0, 1, 1, uses)
    model = compile(quantize(net, samples, method="ptq"), point)
    assert [(exit_.at, exit_.head) for exit_ in model.exits] == [
        ("tap", "pool_dense"),
        ("classify", "own"),
    ]
    assert evaluate(model, samples).samples == 40
