"""The runtimes and the interpreter on top of them."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from ai_edge_litert import schema_py_generated as fb
from networks import convert, int8_inputs, multi_exit, order_of

from eexit_tf.errors import UserError
from eexit_tf.tflite import arena, flatbuffer, runtimes, schema
from eexit_tf.tflite.interpreter import EarlyExitInterpreter
from eexit_tf.tflite.runtimes import LiteRT, Runtime, Tflm
from eexit_tf.tflite.splicing import splice, spliced


@pytest.fixture(scope="module")
def content() -> bytes:
    multi = multi_exit(12, 5, True)
    order = order_of(multi)
    return splice.splice(multi, [order[0], order[2], order[4]], [40, 90, 0])


@pytest.fixture(scope="module")
def shape(content: bytes) -> tuple[int, ...]:
    main = flatbuffer.read(content).subgraphs[0]
    return schema.shape(main.tensors[main.inputs[0]])[1:]


@pytest.fixture(params=[LiteRT, Tflm])
def runtime(request: pytest.FixtureRequest) -> Callable[[bytes], Runtime]:
    return request.param


def test_outputs_come_by_name(
    runtime: Callable[[bytes], Runtime], content: bytes, shape: tuple[int, ...]
) -> None:
    found = runtime(content).run(int8_inputs(shape, 7))
    assert found["scores"].shape == (7, 5)
    assert found["scores"].dtype == np.int8
    assert found["exit"].shape == (7,)
    assert found["exit"].dtype == np.int32


def test_no_samples(
    runtime: Callable[[bytes], Runtime], content: bytes, shape: tuple[int, ...]
) -> None:
    assert runtime(content).run(int8_inputs(shape, 0))["scores"].shape == (0, 5)


def test_order_and_repetition_of_samples_do_not_matter(
    runtime: Callable[[bytes], Runtime], content: bytes, shape: tuple[int, ...]
) -> None:
    x, network = int8_inputs(shape, 40), runtime(content)
    once, again, backwards = (network.run(part) for part in (x, x, x[::-1]))
    for name in once:
        np.testing.assert_array_equal(once[name], again[name])
        np.testing.assert_array_equal(once[name], backwards[name][::-1])


def test_samples_that_cores_share_are_answered_as_alone(
    content: bytes, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "usable_cores", lambda: 4)
    x, network = int8_inputs(shape, 300), LiteRT(content)
    together = network.run(x)
    assert len(network._interpreters) == 4
    for k, sample in enumerate(x):
        for name, alone in network.run(sample[None]).items():
            np.testing.assert_array_equal(together[name][k], alone[0])


def test_wrong_samples_are_refused(
    runtime: Callable[[bytes], Runtime], content: bytes, shape: tuple[int, ...]
) -> None:
    network = runtime(content)
    for x in (np.zeros((2, 3, 3, 1), np.int8), np.zeros((2, *shape), np.int32), np.int8(3)):
        with pytest.raises(UserError, match="the network takes int8"):
            network.run(x)


def test_a_failure_while_running_is_the_networks(
    runtime: Callable[[bytes], Runtime],
    content: bytes,
    shape: tuple[int, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Fails:
        def invoke(self) -> None:
            raise RuntimeError("node 3 failed")

        def __getattr__(self, name: str) -> Callable:
            return lambda *_: None

    network = runtime(content)
    monkeypatch.setattr(network, "_interpreter", Fails())
    monkeypatch.setattr(network, "_interpreters", [Fails()], raising=False)
    with pytest.raises(UserError, match=r"cannot run it; the file is broken.*node 3 failed"):
        network.run(int8_inputs(shape, 1))


def test_a_maximum_in_other_units_is_refused(content: bytes) -> None:
    model = flatbuffer.read(content)
    main = model.subgraphs[0]
    largest = next(op for op in main.operators if schema.op_name(model, op) == "REDUCE_MAX")
    main.tensors[largest.outputs[0]].quantization.zeroPoint = np.array([3])
    with pytest.raises(UserError, match=r"REDUCE_MAX.*differ in quantisation"):
        flatbuffer.read(flatbuffer.write(model))


def test_native_code_says_nothing(
    runtime: Callable[[bytes], Runtime],
    content: bytes,
    shape: tuple[int, ...],
    capfd: pytest.CaptureFixture[str],
) -> None:
    runtime(content).run(int8_inputs(shape, 2))
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_optimised_kernels_differ_by_one_step_at_most(
    content: bytes, shape: tuple[int, ...]
) -> None:
    multi = multi_exit(12, 5, True)
    x = int8_inputs(shape, 100)
    reference, optimised = (LiteRT(multi, reference=flag).run(x) for flag in (True, False))
    different = [
        np.mean(np.abs(reference[name].astype(int) - optimised[name]) > 3) for name in reference
    ]
    assert max(different) < 0.01  # softmax stretches the step of its input


def test_the_arena_is_the_smallest_that_will_do(content: bytes) -> None:
    from tflite_micro import runtime

    found = arena.measure(flatbuffer.read(content))
    assert 0 < found.tensor_bytes < found.used_bytes <= found.needed_bytes + 16
    assert Tflm(content).arena_bytes == found.needed_bytes
    runtime.Interpreter.from_bytes(content, arena_size=found.needed_bytes).invoke()


def test_no_arena_is_tried_in_which_kernels_could_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tensors of this network need less than its kernels hold while they are set up."""
    layers = tf_keras.layers
    image = layers.Input((2, 2, 1), batch_size=1)
    hidden = layers.Flatten()(layers.Conv2D(4, 2)(image))
    scores = layers.Dense(2, activation="softmax")(hidden)
    model = flatbuffer.read(convert(tf_keras.Model(image, scores)))
    tried, fits = [], arena._fits

    def recording(content: bytes, size: int) -> bool:
        tried.append(size)
        return fits(content, size)

    monkeypatch.setattr(arena, "_fits", recording)
    found = arena.measure(model)
    # The convolution's four tensors, each looked up twice, and TFLM's list of 12 requests.
    assert min(tried) >= found.persistent_bytes + 2 * 4 * 88 + 12 * 16
    assert found.used_bytes < found.needed_bytes < 2 * found.used_bytes


def test_both_runtimes_give_the_same_predictions(
    content: bytes, shape: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    x = np.random.default_rng(0).normal(size=(60, *shape)).astype(np.float32)
    first = EarlyExitInterpreter(path).predict(x)
    second = EarlyExitInterpreter(str(path), runtime="tflm").predict(x)
    np.testing.assert_array_equal(first.raw_scores, second.raw_scores)
    np.testing.assert_array_equal(first.exits, second.exits)
    assert len(set(first.exits)) > 1
    np.testing.assert_array_equal(first.confidences, first.scores.max(axis=1))
    np.testing.assert_array_equal(first.classes, first.scores.argmax(axis=1))
    np.testing.assert_allclose(first.scores.sum(axis=1), 1, atol=0.02)


def test_thresholds_can_be_given(content: bytes, shape: tuple[int, ...]) -> None:
    x = int8_inputs(shape, 30)
    eager = EarlyExitInterpreter(content, thresholds=[0, 0])
    assert eager.thresholds == (-128, -128, -128)
    assert set(eager.predict(x).exits) == {0}
    picky = EarlyExitInterpreter(content, thresholds=[1, 1])
    assert picky.thresholds == (127, 127, -128)
    assert len(picky.exits) == 3
    assert EarlyExitInterpreter(content).thresholds == (40, 90, -128)


def test_thresholds_may_be_any_numbers_in_a_row(content: bytes) -> None:
    for given in (iter([0.5, 1]), np.array([0.5, 1], np.float32), (np.float64(0.5), np.int32(1))):
        assert EarlyExitInterpreter(content, thresholds=given).thresholds == (0, 127, -128)


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_file_may_be_in_any_kind_of_bytes(
    kind: type, content: bytes, shape: tuple[int, ...]
) -> None:
    x = int8_inputs(shape, 5)
    found, expected = (EarlyExitInterpreter(c).predict(x) for c in (kind(content), content))
    np.testing.assert_array_equal(found.raw_scores, expected.raw_scores)
    with pytest.raises(UserError, match=r"not a \.tflite file"):
        EarlyExitInterpreter(kind(b"nothing"))


@pytest.mark.parametrize("name", [b"FlexErf", b"TFLite_Detection_PostProcess"])
def test_a_custom_operator_may_be_listed_but_not_used(
    runtime: Callable[[bytes], Runtime], content: bytes, shape: tuple[int, ...], name: bytes
) -> None:
    model = flatbuffer.read(content)
    custom = fb.BuiltinOperator.CUSTOM
    model.operatorCodes.insert(0, fb.OperatorCodeT(custom, name, 1, custom))
    for graph in model.subgraphs:
        for op in graph.operators:
            op.opcodeIndex += 1
    x, listed = int8_inputs(shape, 5), flatbuffer.write(model)
    expected = runtime(content).run(x)
    for output, values in runtime(listed).run(x).items():
        np.testing.assert_array_equal(values, expected[output])
    model.subgraphs[0].operators[0].opcodeIndex = 0
    with pytest.raises(UserError, match=f"custom operator .*{name.decode()}.* is not supported"):
        runtime(flatbuffer.write(model))


def test_a_threshold_is_the_next_level_up() -> None:
    assert [spliced.int8_threshold(t) for t in (0, 0.5, 0.9, 255 / 256, 0.999, 1)] == [
        -128,
        0,
        231 - 128,
        127,
        127,
        127,
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"runtime": "onnx"}, "unknown runtime 'onnx'"),
        ({"thresholds": [0.5]}, "expected 2 thresholds, got 1"),
        ({"thresholds": [0.5, 2]}, "from 0 to 1"),
        ({"thresholds": [0.5, float("nan")]}, "from 0 to 1"),
        ({"thresholds": 0.5}, "expected a list of thresholds, got 0.5"),
        ({"thresholds": np.array(0.5)}, "expected a list of thresholds"),
        ({"thresholds": [0.5, "0.5"]}, "expected a number as a threshold, got '0.5'"),
        ({"thresholds": [None, 0.5]}, "expected a number as a threshold, got None"),
        ({"thresholds": np.full((2, 2), 0.5)}, "expected a number as a threshold"),
        ({"model": "/nowhere/model.tflite"}, "cannot read"),
        ({"model": b"nothing"}, "not a .tflite file"),
        ({"model": multi_exit}, "eexit-tf made"),
    ],
)
def test_wrong_use_is_said(content: bytes, arguments: dict, said: str) -> None:
    if callable(arguments.get("model")):
        arguments = {"model": arguments["model"](12, 5, True)}
    with pytest.raises(UserError, match=said):
        EarlyExitInterpreter(**{"model": content, **arguments})


@pytest.mark.parametrize("int8", [True, False])
@pytest.mark.parametrize("value", [np.float32(np.nan), np.float32(np.inf), np.float64(1e300)])
def test_samples_must_be_finite(int8: bool, value: np.floating) -> None:
    multi = multi_exit(10, 3, False, int8=int8)
    interpreter = EarlyExitInterpreter(splice.splice(multi, order_of(multi), [0, 0, 0]))
    main = interpreter.runtime.model.subgraphs[0]
    samples = np.zeros((2, *main.tensors[main.inputs[0]].shape[1:]), value.dtype)
    samples[1, 0, 0, 0] = value
    interpreter.predict(samples[:1])
    with pytest.raises(UserError, match="not finite numbers"):
        interpreter.predict(samples)


@pytest.mark.parametrize("name", ["litert", "tflm"])
def test_running_needs_no_tensorflow(content: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    code = f"""
        import sys
        sys.modules.update(dict.fromkeys(["tensorflow", "tf_keras", "keras"]))
        import numpy as np
        from eexit_tf.tflite.interpreter import EarlyExitInterpreter
        network = EarlyExitInterpreter({str(path)!r}, runtime={name!r})
        main = network.runtime.model.subgraphs[0]
        x = np.zeros((100, *main.tensors[main.inputs[0]].shape[1:]), np.int8)
        assert network.predict(x).scores.shape == (100, 5)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)
