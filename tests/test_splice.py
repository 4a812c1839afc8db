"""A spliced file does, to the last bit, what the static network cut at its thresholds does."""

import copy
import random
from itertools import combinations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from memory import check_plan
from networks import inputs_for, multi_exit, order_of
from static_cuts import (
    SAMPLES,
    check_equal,
    scores_read_again,
    sharing_thresholds,
    static_outputs,
    three_exits,
)

from eexit_tf.errors import UserError
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.arena import measure
from eexit_tf.tflite.exporting.cpp import thresholds_input
from eexit_tf.tflite.runtimes import LiteRT, Tflm
from eexit_tf.tflite.splicing import splice, spliced
from eexit_tf.tflite.splicing.memory_plan import ALIGNMENT, METADATA, plan
from eexit_tf.tflite.splicing.normalize import normalize
from eexit_tf.tflite.splicing.stages import cut
from eexit_tf.tflite.splicing.unsplice import unsplice


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
            levels = sharing_thresholds(outputs, exits, random.Random(0))
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


@pytest.mark.parametrize("order", [["early", "late"], ["late", "early"]])
def test_an_exit_may_read_the_scores_of_another(order: list[str]) -> None:
    multi = scores_read_again()
    content = splice.splice(multi, order, [60, -128])
    assert check_equal(content, normalize(multi), order, [60, -128]) == {0, 1}
    check_plan(flatbuffer.read(content))


def test_all_exits_are_reached() -> None:
    """At least 300 inputs, every exit taken, through both runtimes."""
    multi = three_exits()
    static = normalize(multi)
    order = order_of(multi)
    levels = sharing_thresholds(static_outputs(Tflm, static), order, random.Random(0))
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


def test_what_is_handed_to_a_branch_and_back_stays_in_its_place() -> None:
    """So that TFLM copies nothing."""
    multi = three_exits()
    model = flatbuffer.read(splice.splice(multi, order_of(multi), [1, 2, 3]))
    offsets, branches = plan(model).offsets, 0
    for number, graph in enumerate(model.subgraphs):
        for op in graph.operators:
            if schema.op_name(model, op) == "IF":
                branches += 1
                options = op.builtinOptions
                for target in (options.thenSubgraphIndex, options.elseSubgraphIndex):
                    inner = model.subgraphs[target]
                    mine, theirs = [*op.inputs[1:], *op.outputs], [*inner.inputs, *inner.outputs]
                    for a, b in zip(mine, theirs, strict=True):
                        if not schema.is_constant(model, inner.tensors[b]):
                            assert offsets[number, int(a)] == offsets[target, int(b)]
    assert branches == 2


def test_the_same_input_gives_the_same_bytes() -> None:
    multi = three_exits()
    order = order_of(multi)
    assert splice.splice(multi, order, [1, 2, 3]) == splice.splice(multi, order, [1, 2, 3])


def test_operators_keep_their_versions_and_are_named_for_old_readers_too() -> None:
    multi = three_exits()
    order = order_of(multi)
    content = splice.splice(multi, order, [1, 2, 3])
    given, made = (
        {
            (code.deprecatedBuiltinCode, code.builtinCode, code.version)
            for graph in model.subgraphs
            for code in (model.operatorCodes[op.opcodeIndex] for op in graph.operators)
        }
        for model in map(flatbuffer.read, (normalize(multi), content))
    )
    assert given <= made
    assert all(old == min(new, 127) for old, new, _ in made)
    old = flatbuffer.read(multi)
    for code in old.operatorCodes:
        code.builtinCode = 0
    assert splice.splice(flatbuffer.write(old), order, [1, 2, 3]) == content


def test_the_last_threshold_is_ignored() -> None:
    multi = three_exits()
    order = order_of(multi)
    for last in (-128, 999, 0.5):
        assert splice.splice(multi, order, [1, 2, 3]) == splice.splice(multi, order, [1, 2, last])


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
            ours = not len(tensor.quantization.scale) or schema.text(tensor.name) == "nothing"
            if schema.is_constant(model, tensor) and ours:
                content = schema.constant(model, tensor).tobytes()
                seen.append((tensor.type, schema.shape(tensor), content))
                buffers.setdefault(content, set()).add(tensor.buffer)
        assert len(seen) == len(set(seen))
    assert buffers
    assert all(len(numbers) == 1 for numbers in buffers.values())
    leave = [len(graph.tensors) - len(graph.inputs) for graph in model.subgraphs[1::2]]
    assert leave == [1, 1]  # an exit's own graph holds what it is given, and its index


@pytest.mark.parametrize("name", ["threshold_0", "threshold_5", "threshold_"])
def test_weights_may_be_called_like_thresholds(name: str) -> None:
    multi = multi_exit(12, 3, True)
    model = flatbuffer.read(multi)
    for tensor in model.subgraphs[0].tensors:
        if schema.is_constant(model, tensor):
            tensor.name = name
    order, levels = order_of(multi), [40, 90, -128]
    content = splice.splice(flatbuffer.write(model), order, levels)
    assert spliced.inspect(spliced.retune(content, [7, 8, -128])).thresholds == (7, 8, -128)
    assert spliced.inspect(splice.splice(unsplice(content), order, levels)).exits == tuple(order)
    x, plain = inputs_for(multi, 20), splice.splice(multi, order, levels)
    for said, wanted in zip(*(LiteRT(c).run(x).values() for c in (content, plain)), strict=True):
        np.testing.assert_array_equal(said, wanted)


def test_an_input_may_be_called_like_that_of_thresholds() -> None:
    multi = three_exits()
    model, order = flatbuffer.read(multi), order_of(multi)
    model.signatureDefs[0].inputs[0].name = "thresholds"
    named = flatbuffer.write(model)
    content = splice.splice(named, order, [5, 5, -128])
    assert thresholds_input(flatbuffer.read(content)) == -1
    check_equal(content, normalize(multi), order, [5, 5, -128])
    with pytest.raises(UserError, match="an input called 'thresholds' already; rename it"):
        splice.splice(named, order, [5, 5, -128], runtime_thresholds=True)


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
    with pytest.raises(UserError, match="leaves early by itself"):
        splice.splice(splice.splice(multi, order, [1, 2, 3]), ["scores"], [0])
    model = flatbuffer.read(multi)
    main, (taken,) = model.subgraphs[0], model.signatureDefs[0].inputs
    main.tensors.append(copy.copy(main.tensors[taken.tensorIndex]))
    main.inputs = np.array([taken.tensorIndex, len(main.tensors) - 1], np.int32)
    model.signatureDefs[0].inputs.append(fb.TensorMapT("more", len(main.tensors) - 1))
    with pytest.raises(UserError, match="expected a network with one input, got 2"):
        splice.splice(flatbuffer.write(model), order, [1, 2, 3])
    for exits in (order, order[:1]):
        model = flatbuffer.read(splice.splice(multi, exits, [0] * len(exits)))
        first, second = model.signatureDefs[0].outputs
        first.tensorIndex, second.tensorIndex = second.tensorIndex, first.tensorIndex
        with pytest.raises(UserError, match="do not fit together"):
            spliced.inspect(flatbuffer.write(model))
    for ask in (spliced.inspect, lambda c: spliced.retune(c, [1])):
        with pytest.raises(UserError, match=r"self-exiting \.tflite file that eexit-tf made"):
            ask(multi)
