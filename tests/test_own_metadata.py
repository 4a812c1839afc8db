"""What a compiled file says of itself in the project's own metadata."""

import copy
import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as fb
from networks import multi_exit, order_of

from eexit_tf.errors import UserError
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.splicing import splice, spliced


def test_the_metadata_can_be_read_by_anyone() -> None:
    """With nothing but a flatbuffer reader and JSON."""
    multi = multi_exit(10, 3)
    order, names = order_of(multi), ["a", '"thresholds_int8": [', "ø", "d", "e"]
    for at_run_time in (False, True):
        content = splice.splice(
            multi,
            order,
            [-128, 127, 0],
            labels=names,
            confidence="margin",
            runtime_thresholds=at_run_time,
        )
        retuned = spliced.retune(content, [5, -77, 0])
        assert len(retuned) == len(content)
        for file, thresholds in ((content, [-128, 127]), (retuned, [5, -77])):
            model = fb.Model.GetRootAs(file, 0)
            entries = [model.Metadata(i) for i in range(model.MetadataLength())]
            entry = next(e for e in entries if e.Name() == b"eexit_tf")
            assert json.loads(model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()) == {
                "schema": 1,
                "exits": order,
                "labels": names,
                "thresholds_int8": thresholds,
                "confidence": "margin",
                "runtime_thresholds": at_run_time,
            }
            assert spliced.inspect(file).thresholds == (*thresholds, -128)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"exits": ["a", "b"]}, "makes no sense"),
        ({"exits": []}, "makes no sense"),
        ({"thresholds_int8": [1, 300]}, "makes no sense"),
        ({"thresholds_int8": [1, 3.0]}, "makes no sense"),
        ({"confidence": "entropy"}, "makes no sense"),
        ({"runtime_thresholds": True}, "do not fit together"),
        ({"thresholds_int8": [1, 3]}, "do not fit together"),
        ({"labels": ["one"]}, "do not fit together"),
        ({"labels": 5}, "eexit-tf made"),
        ({"labels": [1, 2, 3, 4, 5]}, "makes no sense"),
        ({"exits": [1, 2, 3]}, "makes no sense"),
        ({"runtime_thresholds": 0}, "makes no sense"),
    ],
)
def test_metadata_that_does_not_fit_is_refused(change: dict, said: str) -> None:
    multi = multi_exit(10, 3)
    model = flatbuffer.read(splice.splice(multi, order_of(multi), [1, 2, 0]))
    entry = next(e for e in model.metadata if schema.text(e.name) == "eexit_tf")
    value = {**json.loads(bytes(model.buffers[entry.buffer].data)), **change}
    model.buffers[entry.buffer] = fb.BufferT(np.frombuffer(json.dumps(value).encode(), np.uint8))
    with pytest.raises(UserError, match=said):
        spliced.inspect(flatbuffer.write(model))


def test_metadata_that_was_rewritten_is_not_patched() -> None:
    multi = multi_exit(10, 3)
    model = flatbuffer.read(splice.splice(multi, order_of(multi), [1, 2, 0]))
    entry = next(e for e in model.metadata if schema.text(e.name) == "eexit_tf")
    dense = json.dumps(json.loads(bytes(model.buffers[entry.buffer].data)))
    model.buffers[entry.buffer] = fb.BufferT(np.frombuffer(dense.encode(), np.uint8))
    content = flatbuffer.write(model)
    assert spliced.inspect(content).thresholds == (1, 2, -128)
    with pytest.raises(UserError, match="metadata was rewritten"):
        spliced.retune(content, [3, 4, 0])


@pytest.mark.parametrize("other", ["threshold_1", "nothing"])
def test_thresholds_that_share_their_memory_are_not_patched(other: str) -> None:
    """As tools make it that keep equal constants once."""
    multi = multi_exit(10, 3)
    content = splice.splice(multi, order_of(multi), [-128, -128, 0], confidence="margin")
    model = flatbuffer.read(content)
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    (threshold,) = [t for t in tensors if schema.text(t.name) == "threshold_0"]
    for tensor in tensors:
        if schema.text(tensor.name) == other:
            tensor.buffer = threshold.buffer
    content = flatbuffer.write(model)
    assert spliced.inspect(content).thresholds == (-128, -128, -128)
    with pytest.raises(UserError, match="thresholds share their memory"):
        spliced.retune(content, [3, 4, 0])


def test_thresholds_in_the_bytes_of_another_buffer_are_not_patched() -> None:
    multi = multi_exit(10, 3)
    content = bytearray(splice.splice(multi, order_of(multi), [-128, -128, 0]))
    graphs = flatbuffer.read(bytes(content)).subgraphs
    named = {schema.text(t.name): t.buffer for graph in graphs for t in graph.tensors}
    root = fb.Model.GetRootAs(content, 0)
    first, second = (root.Buffers(named[f"threshold_{k}"])._tab for k in range(2))
    field = second.Pos + second.Offset(4)
    vector = first.Vector(first.Offset(4)) - 4
    content[field : field + 4] = (vector - field).to_bytes(4, "little", signed=True)
    assert spliced.inspect(bytes(content)).thresholds == (-128, -128, -128)
    with pytest.raises(UserError, match="thresholds share their memory"):
        spliced.retune(bytes(content), [3, 4, 0])


def test_metadata_nested_too_deeply_is_refused() -> None:
    multi = multi_exit(10, 3)
    model = flatbuffer.read(splice.splice(multi, order_of(multi), [1, 2, 0]))
    entry = next(e for e in model.metadata if schema.text(e.name) == "eexit_tf")
    model.buffers[entry.buffer] = fb.BufferT(np.frombuffer(b"[" * 200_000, np.uint8))
    with pytest.raises(UserError, match="eexit-tf made"):
        spliced.inspect(flatbuffer.write(model))


@pytest.mark.parametrize("name", ["scores", "exit", "threshold_1"])
def test_outputs_and_thresholds_of_other_names_are_refused(name: str) -> None:
    multi = multi_exit(10, 3)
    model = flatbuffer.read(splice.splice(multi, order_of(multi), [1, 2, 0]))
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    for named in (*model.signatureDefs[0].outputs, *tensors):
        if schema.text(named.name) == name:
            named.name = f"{name}7"
    with pytest.raises(UserError, match="do not fit together"):
        spliced.inspect(flatbuffer.write(model))


@pytest.mark.parametrize("change", ["name", "shape", "one more"])
def test_inputs_that_do_not_take_thresholds_are_refused(change: str) -> None:
    multi = multi_exit(10, 3)
    content = splice.splice(multi, order_of(multi), [1, 2, 0], runtime_thresholds=True)
    model = flatbuffer.read(content)
    main = model.subgraphs[0]
    if change == "name":
        for entry in model.signatureDefs[0].inputs:
            entry.name = f"my_{schema.text(entry.name)}"
    elif change == "shape":
        for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
            if schema.text(tensor.name) == "thresholds":
                tensor.shape = np.array([3], np.int32)
    else:
        main.tensors.append(copy.copy(main.tensors[main.inputs[1]]))
        model.signatureDefs[0].inputs.append(fb.TensorMapT("more", len(main.tensors) - 1))
        main.inputs = np.array([*main.inputs, len(main.tensors) - 1], np.int32)
        model.metadata = [e for e in model.metadata if schema.text(e.name) == "eexit_tf"]
    with pytest.raises(UserError, match="do not fit together"):
        spliced.inspect(flatbuffer.write(model))


def test_branches_that_do_not_lead_to_all_exits_are_refused() -> None:
    multi = multi_exit(10, 3)
    model = flatbuffer.read(splice.splice(multi, order_of(multi), [1, 2, 0]))
    (branch,) = [op for op in model.subgraphs[0].operators if schema.op_name(model, op) == "IF"]
    to = branch.builtinOptions
    to.thenSubgraphIndex, to.elseSubgraphIndex = to.elseSubgraphIndex, to.thenSubgraphIndex
    with pytest.raises(UserError, match="do not fit together"):
        spliced.inspect(flatbuffer.write(model))
