"""A spliced file does, to the last bit, what the static network cut at its thresholds does."""

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from memory import check_plan
from networks import convert, inputs_for, multi_exit, order_of
from numpy.typing import NDArray

from eexit_tf.errors import UserError
from eexit_tf.keras import keras, tf
from eexit_tf.tflite import costs, flatbuffer, schema
from eexit_tf.tflite.arena import measure
from eexit_tf.tflite.lineage import producer
from eexit_tf.tflite.runtimes import LiteRT, Tflm
from eexit_tf.tflite.splicing import splice, spliced
from eexit_tf.tflite.splicing.memory_plan import ALIGNMENT, METADATA, plan
from eexit_tf.tflite.splicing.normalize import normalize
from eexit_tf.tflite.splicing.stages import cut

SAMPLES = 300


def three_exits() -> bytes:
    """A network whose five exits are cut down to three."""
    multi = multi_exit(10, 5, False)
    model = flatbuffer.read(multi)
    chosen = costs.order_by_cost(model)[1:4]
    signature = model.signatureDefs[0]
    signature.outputs = [entry for entry in signature.outputs if schema.text(entry.name) in chosen]
    model.subgraphs[0].outputs = np.array([e.tensorIndex for e in signature.outputs], np.int32)
    return flatbuffer.write(model)


def leave(
    outputs: dict[str, NDArray[np.int8]], exits: Sequence[str], thresholds: Sequence[int]
) -> tuple[NDArray[np.int8], NDArray[np.intp]]:
    """Scores and exit indices of the static network cut at these thresholds."""
    scores = np.stack([outputs[name] for name in exits])
    left = scores.max(axis=2) >= np.array([*thresholds[:-1], -128])[:, None]
    index = left.argmax(axis=0)
    return scores[index, np.arange(scores.shape[1])], index


def thresholds_that_share(outputs: dict[str, NDArray[np.int8]], exits: Sequence[str]) -> list[int]:
    """Thresholds at which every exit gets its part of the samples, as far as levels allow."""
    staying = np.ones(len(outputs[exits[0]]), bool)
    found = []
    for position, name in enumerate(exits[:-1]):
        confidence = outputs[name].max(axis=1)
        keep = 1 - 1 / (len(exits) - position)
        found.append(int(np.quantile(confidence[staying], keep, method="lower")) + 1)
        found[-1] = min(found[-1], 127)
        staying &= confidence < found[-1]
    return [*found, -128]


def check_equal(content: bytes, static: bytes, exits: Sequence[str], levels: Sequence[int]) -> set:
    """Both runtimes against the static network; returns the exits that were taken."""
    x = inputs_for(static, SAMPLES)
    for runtime in (LiteRT, Tflm):
        scores, index = leave(static_outputs(runtime, static), exits, levels)
        found = runtime(content).run(x)
        np.testing.assert_array_equal(found[spliced.EXIT], index)
        np.testing.assert_array_equal(found[spliced.SCORES], scores)
    return set(index.tolist())


@lru_cache(maxsize=8)
def static_outputs(runtime: type, static: bytes) -> dict[str, NDArray[np.int8]]:
    return runtime(static).run(inputs_for(static, SAMPLES))


@pytest.mark.parametrize(("seed", "share_head"), [(10, False), (12, True)])
def test_every_subset_of_exits_equals_the_static_network(seed: int, share_head: bool) -> None:
    """Residual and depthwise blocks, skips across cuts, heads on earlier heads' features."""
    multi = multi_exit(seed, 5, share_head)
    static = normalize(multi)
    order = order_of(multi)
    outputs = static_outputs(Tflm, static)
    crossing, reached = 0, 0
    for count in (1, 2, 3, 5):
        for exits in list(combinations(order, count))[::4]:
            levels = thresholds_that_share(outputs, exits)
            content = splice.splice(multi, exits, levels)
            known = spliced.inspect(content)
            assert (known.thresholds, known.exits) == (tuple(levels), tuple(exits))
            reached = max(reached, len(check_equal(content, static, exits, levels)))
            model = flatbuffer.read(content)
            check_plan(model)
            assert sorted(schema.outputs_by_name(model)) == ["exit", "scores"]
            stages = cut(flatbuffer.read(multi), exits)
            crossing = max(crossing, *(len(stage.receives) for stage in stages.stages))
    assert reached >= 4
    assert crossing >= 2


def test_all_exits_are_reached() -> None:
    """At least 300 inputs, every exit taken, through both runtimes."""
    multi = three_exits()
    static = normalize(multi)
    order = order_of(multi)
    levels = thresholds_that_share(static_outputs(Tflm, static), order)
    content = splice.splice(multi, order, levels)
    assert check_equal(content, static, order, levels) == {0, 1, 2}


def test_the_plan_changes_nothing_but_memory() -> None:
    multi = multi_exit(12, 5, True)
    order = order_of(multi)
    x = inputs_for(multi, SAMPLES)
    planned, plain = (splice.splice(multi, order, [40] * 5, memory_plan=on) for on in (True, False))
    assert schema.metadata(flatbuffer.read(plain), METADATA) is None
    runs = [Tflm(content) for content in (planned, plain)]
    for name, expected in runs[1].run(x).items():
        np.testing.assert_array_equal(runs[0].run(x)[name], expected)
    arenas = [measure(flatbuffer.read(content)) for content in (planned, plain)]
    assert arenas[0].tensor_bytes < arenas[1].tensor_bytes
    assert arenas[0].needed_bytes <= arenas[1].needed_bytes


def test_plans_of_many_cuts_are_sound_and_near_the_lower_bound() -> None:
    for seed, share_head in ((10, False), (12, True)):
        multi = multi_exit(seed, 5, share_head)
        order = order_of(multi)
        for count in (1, 2, 3, 4, 5):
            for exits in combinations(order, count):
                content = splice.splice(multi, exits, [0] * count, memory_plan=False)
                model = flatbuffer.read(content)
                made = plan(model)
                check_plan(model, made.offsets)
                assert made.arena_bytes % ALIGNMENT == 0
                assert made.lower_bound <= made.arena_bytes <= 1.05 * made.lower_bound


def test_the_same_input_gives_the_same_bytes() -> None:
    multi = three_exits()
    order = order_of(multi)
    assert splice.splice(multi, order, [1, 2, 3]) == splice.splice(multi, order, [1, 2, 3])


def test_the_last_threshold_is_ignored() -> None:
    multi = three_exits()
    order = order_of(multi)
    assert splice.splice(multi, order, [1, 2, 3]) == splice.splice(multi, order, [1, 2, -128])


def test_extreme_thresholds() -> None:
    multi = three_exits()
    order = order_of(multi)
    x = inputs_for(multi, 20)
    always = splice.splice(multi, order, [-128, -128, -128])
    assert set(Tflm(always).run(x)[spliced.EXIT]) == {0}
    static = normalize(multi)
    check_equal(splice.splice(multi, order, [127, 127, 0]), static, order, [127, 127, 0])


def test_one_exit_has_no_branch() -> None:
    multi = three_exits()
    for name in order_of(multi):
        content = splice.splice(multi, [name], [55])
        model = flatbuffer.read(content)
        names = {schema.op_name(model, op) for op in model.subgraphs[0].operators}
        assert len(model.subgraphs) == 1
        assert not names & {"IF", "GREATER_EQUAL"}
        assert spliced.inspect(content).thresholds == (-128,)
        check_equal(content, normalize(multi), [name], [-128])


def test_left_out_exits_cost_nothing() -> None:
    multi = multi_exit(10, 5, False)
    order = order_of(multi)
    model = flatbuffer.read(splice.splice(multi, order[:2], [0, 0]))
    operators = sum(len(graph.operators) for graph in model.subgraphs)
    stages = cut(flatbuffer.read(normalize(multi)), order[:2])
    # Each head's reshape gives way to one at the end; the decision is three operators.
    assert operators == sum(len(stage.operators) for stage in stages.stages) - 2 + 1 + 3


@pytest.mark.parametrize("confidence", ["max", "margin"])
@pytest.mark.parametrize("runtime_thresholds", [False, True])
def test_no_tensor_and_no_constant_is_needless(confidence: str, runtime_thresholds: bool) -> None:
    """TFLM keeps a description of every tensor of every graph, used or not."""
    multi = three_exits()
    order = order_of(multi)
    model = flatbuffer.read(
        splice.splice(
            multi, order, [7, 7, 0], confidence=confidence, runtime_thresholds=runtime_thresholds
        )
    )
    buffers: dict[bytes, set[int]] = {}
    for graph in model.subgraphs:
        used = {*graph.inputs, *graph.outputs}
        for op in graph.operators:
            used |= {*op.inputs, *op.outputs}
        assert used - {-1} == set(range(len(graph.tensors)))
        seen = []
        for tensor in graph.tensors:
            if schema.is_constant(model, tensor) and not len(tensor.quantization.scale):
                content = schema.constant(model, tensor).tobytes()
                seen.append((tensor.type, schema.shape(tensor), content))
                buffers.setdefault(content, set()).add(tensor.buffer)
        assert len(seen) == len(set(seen))
    assert buffers
    assert all(len(numbers) == 1 for numbers in buffers.values())
    leave = [len(graph.tensors) - len(graph.inputs) for graph in model.subgraphs[1::2]]
    assert leave == [1, 1]  # an exit's own graph holds what it is given, and its index


def test_float_networks() -> None:
    multi = multi_exit(10, 3, False, int8=False)
    order = order_of(multi)
    x = inputs_for(multi, 60).astype(np.float32) / 30
    outputs = LiteRT(multi).run(x)
    scores = np.stack([outputs[name] for name in order])
    levels = [int(np.median(level)) - 128 for level in 256 * scores.max(axis=2)]
    levels[-1] = -128
    content = splice.splice(multi, order, levels)
    assert spliced.inspect(content).thresholds == tuple(levels)
    limits = (np.array(levels) + 128)[:, None] / 256
    index = (scores.max(axis=2) >= limits).argmax(axis=0)
    found = LiteRT(content).run(x)
    np.testing.assert_array_equal(found[spliced.EXIT], index)
    np.testing.assert_array_equal(found[spliced.SCORES], scores[index, np.arange(len(x))])
    assert len(set(index)) > 1


def test_labels_are_kept() -> None:
    multi = three_exits()
    order = order_of(multi)
    names = ["cat", "dog", "ørn", "4", "5"]
    named, plain = (splice.splice(multi, order, [1, 2, 3], labels=said) for said in (names, None))
    assert spliced.inspect(named).labels == tuple(names)
    assert spliced.inspect(plain).labels is None
    with pytest.raises(UserError, match="2 labels for a network with 5 classes"):
        splice.splice(multi, order, [1, 2, 3], labels=names[:2])


def test_retuning_patches_the_thresholds_and_nothing_else() -> None:
    multi = three_exits()
    order = order_of(multi)
    content = splice.splice(multi, order, [10, 20, 0])
    retuned = spliced.retune(content, [-5, 77, 0])
    assert retuned == splice.splice(multi, order, [-5, 77, 0])
    assert spliced.inspect(content).thresholds == (10, 20, -128)
    changed = [i for i, (a, b) in enumerate(zip(content, retuned, strict=True)) if a != b]
    assert len(changed) == 2 + len(b"10") + len(b"20")  # two constants and what metadata says


@pytest.mark.parametrize(
    ("exits", "thresholds", "said"),
    [
        ([0, 1], [5], "expected 2 thresholds"),
        ([0, 1], [200, 0], "from -128 to 127"),
        ([0, 1], [0.5, 0], "from -128 to 127"),
        ([0, 0], [5, 5], "one or more different exits"),
        ([], [], "one or more different exits"),
        (["elsewhere"], [5], "no output 'elsewhere'"),
    ],
)
def test_wrong_use_is_said(exits: list, thresholds: list, said: str) -> None:
    multi = three_exits()
    order = order_of(multi)
    names = [order[i] if isinstance(i, int) else i for i in exits]
    with pytest.raises(UserError, match=said):
        splice.splice(multi, names, thresholds)


def test_what_cannot_be_spliced_is_said() -> None:
    multi = three_exits()
    order = order_of(multi)
    content = splice.splice(multi, order, [1, 2, 3])
    with pytest.raises(UserError, match="leaves early by itself"):
        splice.splice(content, ["scores"], [0])
    model = flatbuffer.read(content)
    first, second = model.signatureDefs[0].outputs
    first.tensorIndex, second.tensorIndex = second.tensorIndex, first.tensorIndex
    with pytest.raises(UserError, match="do not fit together"):
        spliced.inspect(flatbuffer.write(model))
    for ask in (spliced.inspect, lambda c: spliced.retune(c, [1])):
        with pytest.raises(UserError, match=r"self-exiting \.tflite file that eexit-tf made"):
            ask(multi)


def _with_outputs(content: bytes, change: Callable[[fb.ModelT, int], int]) -> bytes:
    """The file with each output replaced by what `change` makes of it."""
    model = flatbuffer.read(content)
    main = model.subgraphs[0]
    for entry in model.signatureDefs[0].outputs:
        entry.tensorIndex = change(model, entry.tensorIndex)
    main.outputs = np.array([e.tensorIndex for e in model.signatureDefs[0].outputs], np.int32)
    return flatbuffer.write(model)


def _before(model: fb.ModelT, index: int) -> int:
    return int(producer(model.subgraphs[0], index).inputs[0])


def test_logits_get_a_softmax() -> None:
    multi = three_exits()
    logits = _with_outputs(multi, _before)
    order = order_of(multi)
    assert spliced.inspect(splice.splice(logits, order, [5, 5, 0])).exits == tuple(order)
    check_equal(splice.splice(logits, order, [5, 5, 0]), normalize(multi), order, [5, 5, 0])
    assert normalize(normalize(logits)) == normalize(logits)


def test_float_inputs_and_outputs_of_an_int8_network_are_taken_off() -> None:
    import networks

    network = networks.keras_network(10, 2)
    as_int8 = networks.convert(network, 10)
    as_float = networks.convert(network, 10, float_io=True)
    order = order_of(as_int8)
    content = splice.splice(as_float, order, [20, 0])
    graphs = flatbuffer.read(content).subgraphs
    assert all(t.type != fb.TensorType.FLOAT32 for graph in graphs for t in graph.tensors)
    check_equal(content, normalize(as_int8), order, [20, 0])


def test_activations() -> None:
    layers = keras.layers
    keras.utils.set_random_seed(1)
    image = layers.Input((8, 8, 2), batch_size=1)
    slopes = keras.initializers.RandomUniform(-1, 1, seed=2)
    x = layers.PReLU(slopes, shared_axes=[1, 2])(layers.Conv2D(4, 3)(image))
    sharp = keras.initializers.RandomNormal(stddev=2.0, seed=3)
    early = layers.Dense(5, "softmax", kernel_initializer=sharp, name="early")(layers.Flatten()(x))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(6, 3)(x))
    x = layers.Activation("tanh")(layers.Conv2D(6, 1)(x))
    x = layers.Conv2D(6, 1)(x)
    x = layers.Lambda(lambda y: y * tf.nn.relu6(y + 3.0) / 6.0)(x)
    late = layers.Dense(5, "softmax", kernel_initializer=sharp, name="late")(layers.Flatten()(x))
    multi = convert(keras.Model(image, [early, late]))
    model = flatbuffer.read(multi)
    names = {schema.op_name(model, op) for op in model.subgraphs[0].operators}
    assert names >= {"PRELU", "LEAKY_RELU", "TANH", "HARD_SWISH"}
    content = splice.splice(multi, ["early", "late"], [60, 0])
    assert check_equal(content, normalize(multi), ["early", "late"], [60, 0]) == {0, 1}


def test_uint8_inputs_and_outputs_are_taken_off() -> None:
    multi = three_exits()
    order = order_of(multi)
    model = flatbuffer.read(
        _with_outputs(multi, lambda m, index: _quantize(m, index, inward=False))
    )
    main = model.subgraphs[0]
    main.inputs = np.array([_quantize(model, int(main.inputs[0]), inward=True)], np.int32)
    model.signatureDefs[0].inputs[0].tensorIndex = int(main.inputs[0])
    content = splice.splice(flatbuffer.write(model), order, [5, 5, 0])
    graphs = flatbuffer.read(content).subgraphs
    assert all(t.type != fb.TensorType.UINT8 for graph in graphs for t in graph.tensors)
    check_equal(content, normalize(multi), order, [5, 5, 0])


def _quantize(model: fb.ModelT, index: int, inward: bool) -> int:
    """A uint8 tensor from or to which an int8 one is converted."""
    main = model.subgraphs[0]
    tensor = copy.copy(main.tensors[index])
    tensor.type, tensor.quantization = fb.TensorType.UINT8, copy.copy(tensor.quantization)
    tensor.quantization.zeroPoint = tensor.quantization.zeroPoint + 128
    main.tensors.append(tensor)
    op = _operator(model, fb.BuiltinOperator.QUANTIZE, [index], len(main.tensors) - 1)
    if inward:
        op.inputs, op.outputs = op.outputs, op.inputs
    main.operators.insert(0 if inward else len(main.operators), op)
    return len(main.tensors) - 1


def _operator(model: fb.ModelT, builtin: int, inputs: list[int], output: int) -> fb.OperatorT:
    model.operatorCodes.append(fb.OperatorCodeT(builtin, None, 1, builtin))
    op = fb.OperatorT(len(model.operatorCodes) - 1)
    op.inputs, op.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    return op


def test_other_outputs_are_refused() -> None:
    def maps(model: fb.ModelT, index: int) -> int:
        del index
        return next(
            i for i, t in enumerate(model.subgraphs[0].tensors) if schema.shape(t)[1:2] == (8,)
        )

    def sigmoid(model: fb.ModelT, index: int) -> int:
        op = producer(model.subgraphs[0], index)
        logistic = fb.BuiltinOperator.LOGISTIC
        model.operatorCodes.append(fb.OperatorCodeT(logistic, None, 2, logistic))
        op.opcodeIndex = len(model.operatorCodes) - 1
        op.builtinOptions, op.builtinOptionsType = None, 0
        return index

    def doubled(model: fb.ModelT, index: int) -> int:
        main = model.subgraphs[0]
        main.tensors.append(copy.copy(main.tensors[index]))
        added = _operator(model, fb.BuiltinOperator.ADD, [index, index], len(main.tensors) - 1)
        added.builtinOptions = fb.AddOptionsT()
        added.builtinOptionsType = fb.BuiltinOptions.AddOptions
        main.operators.append(added)
        return len(main.tensors) - 1

    multi = three_exits()
    order = order_of(multi)
    with pytest.raises(UserError, match="comes from ADD, with softmax or sigmoid scores behind it"):
        splice.splice(_with_outputs(multi, doubled), order, [5, 5, 0])
    doubled_logits = _with_outputs(_with_outputs(multi, _before), doubled)
    assert spliced.inspect(splice.splice(doubled_logits, order, [5, 5, 0])).exits == tuple(order)
    with pytest.raises(UserError, match="comes from LOGISTIC"):
        splice.splice(_with_outputs(multi, sigmoid), order, [5, 5, 0])
    with pytest.raises(UserError, match=r"expected \(1, classes\)"):
        splice.splice(_with_outputs(one_exit(multi), maps), order[:1], [0])


def one_exit(content: bytes) -> bytes:
    """The file with its cheapest exit alone."""
    model = flatbuffer.read(content)
    name = costs.order_by_cost(model)[0]
    signature = model.signatureDefs[0]
    signature.outputs = [entry for entry in signature.outputs if schema.text(entry.name) == name]
    model.subgraphs[0].outputs = np.array([signature.outputs[0].tensorIndex], np.int32)
    return flatbuffer.write(model)
