"""Reading files: sound ones come back the same, unsound ones are refused in words."""

import random
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from networks import int8_inputs, multi_exit, order_of

from eexit_tf.errors import UserError
from eexit_tf.tflite import costs, flatbuffer, schema
from eexit_tf.tflite.lineage import resolve
from eexit_tf.tflite.runtimes import LiteRT, Tflm
from eexit_tf.tflite.splicing import memory_plan, splice
from eexit_tf.tflite.splicing.normalize import normalize
from eexit_tf.tflite.splicing.stages import cut


@pytest.fixture(scope="module")
def multi() -> bytes:
    return multi_exit(10, 5, False)


@pytest.fixture(scope="module")
def spliced(multi: bytes) -> bytes:
    return splice.splice(multi, order_of(multi)[:3], [20, 20, 0])


def test_writing_is_deterministic_and_stable(multi: bytes) -> None:
    written = flatbuffer.write(flatbuffer.read(multi))
    assert flatbuffer.write(flatbuffer.read(multi)) == written
    assert flatbuffer.write(flatbuffer.read(written)) == written


def test_written_buffers_are_aligned_to_sixteen_bytes(spliced: bytes) -> None:
    table = fb.Model.GetRootAs(spliced, 0)
    buffers = [table.Buffers(index) for index in range(table.BuffersLength())]
    places = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
    assert len(places) > 10
    assert [place % 16 for place in places] == [0] * len(places)


def test_outputs_are_found_by_name(multi: bytes) -> None:
    model = flatbuffer.read(multi)
    names = schema.outputs_by_name(model)
    assert sorted(names) == sorted(costs.order_by_cost(model))
    assert all(name.startswith("block") and "__" in name for name in names)
    assert set(names.values()) == {int(index) for index in model.subgraphs[0].outputs}
    with pytest.raises(UserError, match="no output 'nowhere'"):
        resolve(model, "nowhere")


@pytest.mark.parametrize("turned", [False, True])
def test_outputs_may_be_of_a_classifier_or_of_tfmot(turned: bool) -> None:
    named = {"quant_a__grid_dense": 1, "a__grid_dense": 2, "quant_scores": 3, "b__pool_dense": 4}
    outputs = dict(reversed(named.items())) if turned else named
    with patch.object(schema, "outputs_by_name", lambda _: outputs):
        found = {name: resolve(None, name) for name in (*named, "scores", "scores__own")}
        assert found == named | {"scores": 3, "scores__own": 3}
        with pytest.raises(UserError, match=r"no output 'b'.* its outputs are .*quant_scores"):
            resolve(None, "b")


def test_a_file_without_signature_gives_tensor_names(multi: bytes) -> None:
    model = flatbuffer.read(multi)
    model.signatureDefs = []
    again = flatbuffer.read(flatbuffer.write(model))
    assert len(schema.outputs_by_name(again)) == 5
    for tensor in model.subgraphs[0].tensors:
        tensor.name = b"x"
    assert sorted(schema.outputs_by_name(model).values()) == sorted(model.subgraphs[0].outputs)


def test_macs_of_mlperf_tiny_resnet8_by_hand() -> None:
    """A stem and three stacks; see the table in `eexit_tf.costs`."""
    stem = 32 * 32 * 16 * 9 * 3
    first = 2 * 32 * 32 * 16 * 9 * 16 + 32 * 32 * 16
    second = 16 * 16 * 32 * 9 * (16 + 32) + 16 * 16 * 32 * 16 + 16 * 16 * 32
    third = 8 * 8 * 64 * 9 * (32 + 64) + 8 * 8 * 64 * 32 + 8 * 8 * 64
    head = 8 * 8 * 64 + 64 * 10 + 10
    model = flatbuffer.read(_resnet8())
    stages = cut(model, list(schema.outputs_by_name(model)))
    assert stages.leave_macs == (stem + first + second + third + head,)
    assert stages.params == 77_706


def _resnet8() -> bytes:
    """The architecture of MLPerf Tiny's image classifier, with random weights."""
    import tf_keras
    from networks import convert

    layers = tf_keras.layers
    x = inputs = layers.Input((32, 32, 3), batch_size=1)
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    for filters, stride in ((16, 1), (32, 2), (64, 2)):
        y = layers.Conv2D(filters, 3, stride, padding="same", activation="relu")(x)
        y = layers.Conv2D(filters, 3, padding="same")(y)
        if stride > 1:
            x = layers.Conv2D(filters, 1, stride)(x)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    head = layers.Dense(10, activation="softmax", bias_initializer="ones", name="pool__dense")
    return convert(tf_keras.Model(inputs, head(x)))


def test_exit_costs_agree_with_exact_stages(multi: bytes) -> None:
    model = flatbuffer.read(multi)
    order = costs.order_by_cost(model)
    exits = costs.exit_costs(model, order)
    for chosen in ([0, 1, 2, 3, 4], [0, 2], [1, 3], [3], [0, 4], [1], [0, 1]):
        stages = cut(model, [order[i] for i in chosen])
        assert exits.leave_macs(chosen) == stages.leave_macs


def test_a_normalized_file_is_what_tflm_computes(multi: bytes) -> None:
    x = int8_inputs((8, 8, 3), 200)
    x = x[..., : schema.shape(flatbuffer.read(multi).subgraphs[0].tensors[0])[-1]]
    rewritten = normalize(multi)
    expected = Tflm(multi).run(x)
    for found in (Tflm(rewritten).run(x), LiteRT(rewritten).run(x)):
        for name, scores in expected.items():
            np.testing.assert_array_equal(found[name], scores)
    assert normalize(rewritten) == rewritten


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a .tflite file"),
        (b"\x00" * 64, "not a .tflite file"),
        (b"\x1c\x00\x00\x00TFL3", "at least 16 bytes"),
        (b"\xff\xff\xff\xffTFL3" + b"\xff" * 64, "not a readable"),
    ],
)
def test_what_is_no_tflite_file_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        flatbuffer.read(content)


def _enlarge(tensor: fb.TensorT) -> None:
    n, height, width, channels = tensor.shape
    tensor.shape = np.array([n, height + 1, width, channels], np.int32)


def _break(change: str) -> bytes:
    model = flatbuffer.read(multi_exit(10, 5, False))
    main = model.subgraphs[0]
    convolution = next(op for op in main.operators if schema.op_name(model, op) == "CONV_2D")
    if change == "operator order":
        main.operators.reverse()
    elif change == "tensor index":
        convolution.inputs = np.array([10_000, *convolution.inputs[1:]], np.int32)
    elif change == "buffer index":
        main.tensors[0].buffer = 10_000
    elif change == "buffer 0":
        model.buffers[0].data = np.zeros(1, np.uint8)
    elif change == "kernel shape":
        _enlarge(main.tensors[convolution.inputs[1]])
    elif change == "output shape":
        _enlarge(main.tensors[convolution.outputs[0]])
    elif change == "dynamic shape":
        main.tensors[0].shape = np.array([-1, 8, 8, 3], np.int32)
    elif change == "stride":
        convolution.builtinOptions.strideW = 0
    elif change == "scale":
        main.tensors[0].quantization.scale = np.array([np.nan], np.float32)
    elif change == "operator code":
        model.operatorCodes[0].builtinCode = 33  # a custom or unknown operator
        model.operatorCodes[0].deprecatedBuiltinCode = 33
    elif change == "open batch":
        main.tensors[main.inputs[0]].shapeSignature = np.array([-1, 8, 8, 3], np.int32)
        model.operatorCodes[0].builtinCode = fb.BuiltinOperator.SHAPE
        model.operatorCodes[0].deprecatedBuiltinCode = fb.BuiltinOperator.SHAPE
    elif change == "half floats":
        main.tensors[0].type = fb.TensorType.FLOAT16
    elif change == "weights alone":
        for index in (convolution.inputs[0], convolution.outputs[0]):
            main.tensors[index].type = fb.TensorType.FLOAT32
            main.tensors[index].quantization = None
    elif change == "no outputs":
        main.outputs = np.zeros(0, np.int32)
        model.signatureDefs = []
    return flatbuffer.write(model)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("operator order", "before anything has written it"),
        ("tensor index", "10000, but there are"),
        ("buffer index", "its buffer is 10000, but there are"),
        ("buffer 0", "buffer 0, that of tensors without content, has some"),
        ("kernel shape", "needs"),
        ("output shape", "the output should be"),
        ("dynamic shape", "not a static one"),
        ("stride", "out of range"),
        ("scale", "not a positive number"),
        ("operator code", "not supported; supported are"),
        ("open batch", "SHAPE is not supported; convert with a batch of 1"),
        ("half floats", "float16 is not one of .* convert the network to int8 throughout"),
        ("weights alone", "only the weights are int8 .* representative data set"),
        ("no outputs", "no inputs or no outputs"),
    ],
)
def test_what_native_code_would_take_on_trust_is_refused(change: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        flatbuffer.read(_break(change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda model, op: op.inputs.put(1, -1), "or an input is missing"),
        (lambda model, op: op.inputs.put(0, op.inputs[1]), "the condition is not one bool"),
        (lambda model, op: vars(op.builtinOptions).update(thenSubgraphIndex=0), "graph 0 does not"),
        (lambda model, op: vars(op.builtinOptions).update(elseSubgraphIndex=1), "is called twice"),
        (lambda model, op: vars(op.builtinOptions).update(elseSubgraphIndex=9), "graph 9 does not"),
        (lambda model, op: _reverse(model.subgraphs[1], "outputs"), "differ from those of graph 1"),
        (lambda model, op: _reverse(model.subgraphs[2], "inputs"), "differ from those of graph 2"),
        (lambda model, op: model.subgraphs.append(model.subgraphs[1]), "graphs .5. are never"),
    ],
)
def test_branches_are_checked(
    spliced: bytes, change: Callable[[fb.ModelT, fb.OperatorT], None], said: str
) -> None:
    model = flatbuffer.read(spliced)
    model.metadata = []  # the memory plan is for this number of graphs
    branch = next(op for op in model.subgraphs[0].operators if schema.op_name(model, op) == "IF")
    branch.inputs = branch.inputs.copy()  # to be changed
    assert len(branch.inputs) > 2
    change(model, branch)
    with pytest.raises(UserError, match=said):
        flatbuffer.read(flatbuffer.write(model))


def _reverse(graph: fb.SubGraphT, side: str) -> None:
    setattr(graph, side, getattr(graph, side)[::-1].copy())


@pytest.mark.parametrize("offset", [-16, 8, 2**31 - 8])
def test_memory_plans_are_checked(spliced: bytes, offset: int) -> None:
    model = flatbuffer.read(spliced)
    entry = next(e for e in model.metadata if schema.text(e.name) == memory_plan.METADATA)
    numbers = np.array(model.buffers[entry.buffer].data).view("<i4")
    numbers[5] = offset
    model.buffers[entry.buffer].data = numbers.view(np.uint8)
    with pytest.raises(UserError, match="memory plan"):
        flatbuffer.read(flatbuffer.write(model))
    model.buffers[entry.buffer].data = numbers[:-1].view(np.uint8)
    with pytest.raises(UserError, match="memory plan"):
        flatbuffer.read(flatbuffer.write(model))


def _mutations(content: bytes, count: int) -> list[bytes]:
    chance, found = random.Random(1), []
    for number in range(count):
        damaged = bytearray(content)
        kind = number % 4
        if kind == 0:
            del damaged[chance.randrange(len(damaged)) :]
        elif kind == 1:
            for _ in range(chance.randint(1, 4)):
                damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        elif kind == 2:
            start = chance.randrange(len(damaged) - 8)
            damaged[start : start + 4] = chance.choice(
                [b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"]
            )
        else:
            a, b = (4 * chance.randrange(len(damaged) // 4) for _ in range(2))
            damaged[a : a + 4], damaged[b : b + 4] = damaged[b : b + 4], damaged[a : a + 4]
        found.append(bytes(damaged))
    return found


@pytest.mark.parametrize("which", ["multi", "spliced"])
def test_damaged_files_work_or_are_refused(which: str, request: pytest.FixtureRequest) -> None:
    """What passes the checks must run: a crash of native code would end this test's process."""
    content = request.getfixturevalue(which)
    refused = 0
    for damaged in _mutations(content, 200):
        try:
            model = flatbuffer.read(damaged)
            shape = schema.shape(model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]])
            x = int8_inputs(shape[1:], 1)
            LiteRT(damaged).run(x)
            Tflm(damaged).run(x)
        except UserError:
            refused += 1
    assert 0 < refused < 200
