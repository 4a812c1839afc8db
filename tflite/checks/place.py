"""An operator where it stands: what the checks of operators ask for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema

INT4, INT8, UINT8, FLOAT, INT32, BOOL = (
    fb.TensorType.INT4,
    fb.TensorType.INT8,
    fb.TensorType.UINT8,
    fb.TensorType.FLOAT32,
    fb.TensorType.INT32,
    fb.TensorType.BOOL,
)


@dataclass(frozen=True)
class Place:
    """An operator where it stands: what a check needs to know."""

    model: fb.ModelT
    graph: fb.SubGraphT
    number: int
    operator: fb.OperatorT
    called: set[int]

    @property
    def inputs(self) -> list[Any]:
        """The tensors read; `None` where an optional one is missing."""
        return [None if i == -1 else self.graph.tensors[i] for i in self.operator.inputs]

    @property
    def outputs(self) -> list[fb.TensorT]:
        return [self.graph.tensors[i] for i in self.operator.outputs]

    @property
    def options(self) -> Any:
        return self.operator.builtinOptions

    def data(self, tensor: fb.TensorT) -> np.ndarray | None:
        """Values of a constant int32 tensor, `None` if it is anything else."""
        data = self.model.buffers[tensor.buffer].data
        return np.asarray(data).view("<i4") if tensor.type == INT32 and len(data) else None


def same_type(*tensors: fb.TensorT, types: Iterable[int] = (INT8, FLOAT)) -> Iterator[str]:
    kinds = {tensor.type for tensor in tensors}
    if len(kinds) > 1 or not kinds <= set(types):
        found = " and ".join(map(schema.type_name, sorted(kinds)))
        yield f"{found} where all should be the same, int8 or float32"


def same_quantisation(place: Place) -> Iterator[str]:
    tensors = (tensor for tensor in (*place.inputs, *place.outputs) if tensor.type == INT8)
    if len({schema.quantization(tensor) for tensor in tensors}) > 1:
        yield "inputs and output differ in quantisation, which TFLM does not take"


def only_weights(tensor: fb.TensorT) -> str:
    """What to say where a constant in few bits is used in float32."""
    return (
        f"only the weights are {schema.type_name(tensor.type)} (dynamic-range or weight-only "
        "quantisation); give the converter a representative data set, so that all is int8"
    )
