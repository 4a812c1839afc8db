"""What a compiled file says of itself in the project's own metadata."""

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


def test_branches_that_do_not_lead_to_all_exits_are_refused() -> None:
    multi = multi_exit(10, 3)
    model = flatbuffer.read(splice.splice(multi, order_of(multi), [1, 2, 0]))
    (branch,) = [op for op in model.subgraphs[0].operators if schema.op_name(model, op) == "IF"]
    to = branch.builtinOptions
    to.thenSubgraphIndex, to.elseSubgraphIndex = to.elseSubgraphIndex, to.thenSubgraphIndex
    with pytest.raises(UserError, match="do not fit together"):
        spliced.inspect(flatbuffer.write(model))
