"""LiteRT and TFLM behind one small interface.

Neither sees bytes that `flatbuffer.read` has not checked: what they are given is the checked model,
written anew.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from queue import SimpleQueue
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import numpy as np
from ai_edge_litert import schema_py_generated as fb
from numpy.typing import NDArray

from eexit_tf.cores import usable_cores
from eexit_tf.errors import UserError
from eexit_tf.stderr import captured_stderr
from eexit_tf.tflite import flatbuffer, schema
from eexit_tf.tflite.arena import measure, roomy_bytes

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

SHARED = 32
"""Samples from which on they are shared among the cores: fewer are not worth the interpreters."""


class Runtime(Protocol):
    """Something that runs a network on samples, one at a time."""

    name: str
    model: fb.ModelT

    def run(self, x: NDArray, *others: NDArray) -> dict[str, NDArray]:
        """Run every sample.

        Args:
            x: (samples, height, width, ...) in the type of the network's first input.
            others: the network's further inputs, each in its tensor's type and shape, the same
                for every sample.

        Returns:
            each output by name, (samples, ...), without dimensions of 1 in front: a score
            vector is (samples, classes) also where the network has it as (1, 1, 1, classes).
        """
        ...


class LiteRT:
    """The LiteRT interpreter, one for each core that samples can be shared among.

    Args:
        content: a `.tflite` file.
        reference: use the reference kernels, which agree with TFLM to the last bit. The
            optimised ones (XNNPACK) are faster; each operator may be off by one step of int8.

    Raises:
        UserError: the file is not sound, or the runtime refuses it.
    """

    name = "litert"

    def __init__(self, content: bytes, reference: bool = True) -> None:
        self.model = flatbuffer.read(content)
        self._content, self._reference = flatbuffer.write(self.model), reference
        self._interpreters = [self._interpreter()]
        self._inputs = [int(index) for index in self.model.subgraphs[0].inputs]
        self._outputs = schema.outputs_by_name(self.model)

    def _interpreter(self) -> "Interpreter":
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kernels = OpResolverType.BUILTIN_REF if self._reference else OpResolverType.AUTO
        with _refusal_of("LiteRT"):
            interpreter = Interpreter(
                model_content=self._content, experimental_op_resolver_type=kernels, num_threads=1
            )
            interpreter.allocate_tensors()
        return interpreter

    def run(self, x: NDArray, *others: NDArray) -> dict[str, NDArray]:
        """See `Runtime.run`."""
        x = check_input(self.model, x, *others)
        if len(x) < SHARED:
            return _stack(self.model, [self.invoke([sample[None], *others]) for sample in x])
        while len(self._interpreters) < usable_cores():
            self._interpreters.append(self._interpreter())
        idle: SimpleQueue[Interpreter] = SimpleQueue()
        for interpreter in self._interpreters:
            idle.put(interpreter)

        def result(sample: NDArray) -> dict[str, NDArray]:
            interpreter = idle.get()
            try:
                return self._invoke(interpreter, [sample[None], *others])
            finally:
                idle.put(interpreter)

        with ThreadPoolExecutor(len(self._interpreters)) as pool:  # it computes without the GIL
            return _stack(self.model, list(pool.map(result, x)))

    def invoke(self, inputs: Sequence[NDArray]) -> dict[str, NDArray]:
        """Run the network once.

        Args:
            inputs: in the order of the network's inputs, each in its tensor's type and shape.

        Returns:
            each output by name, in its tensor's type and shape.
        """
        return self._invoke(self._interpreters[0], inputs)

    def _invoke(self, interpreter: "Interpreter", inputs: Sequence[NDArray]) -> dict[str, NDArray]:
        for index, value in zip(self._inputs, inputs, strict=True):
            interpreter.set_tensor(index, value)
        with running(self.name):
            interpreter.invoke()
        return {name: interpreter.get_tensor(i) for name, i in self._outputs.items()}


class Tflm:
    """TensorFlow Lite for Microcontrollers, as its Python wheel has it (reference kernels).

    Args:
        content: a `.tflite` file.

    Raises:
        UserError: the file is not sound, or the runtime refuses it.
    """

    name = "tflm"

    def __init__(self, content: bytes) -> None:
        from tflite_micro import runtime

        self.model = flatbuffer.read(content)
        with _refusal_of("TFLM"):
            self._interpreter = runtime.Interpreter.from_bytes(
                flatbuffer.write(self.model), arena_size=roomy_bytes(self.model)
            )
        self._outputs = {
            name: list(self.model.subgraphs[0].outputs).index(index)
            for name, index in schema.outputs_by_name(self.model).items()
        }

    def run(self, x: NDArray, *others: NDArray) -> dict[str, NDArray]:
        """See `Runtime.run`."""
        x = check_input(self.model, x, *others)
        return _stack(self.model, [self.invoke([sample[None], *others]) for sample in x])

    def invoke(self, inputs: Sequence[NDArray]) -> dict[str, NDArray]:
        """See `LiteRT.invoke`."""
        for position, value in enumerate(inputs):
            self._interpreter.set_input(value, position)
        with running(self.name):
            self._interpreter.invoke()
        return {name: self._interpreter.get_output(i) for name, i in self._outputs.items()}

    @cached_property
    def arena_bytes(self) -> int:
        """The smallest arena that the network runs in; see `arena.Arena.needed_bytes`."""
        return measure(self.model).needed_bytes


RUNTIMES: Mapping[str, type[LiteRT] | type[Tflm]] = MappingProxyType(
    {"litert": LiteRT, "tflm": Tflm}
)
"""By the names that `--runtime` takes."""


def check_input(model: fb.ModelT, x: NDArray, *others: NDArray) -> NDArray:
    """`x` as the network takes it, (samples, ...); see `Runtime.run`.

    Raises:
        UserError: the shape or the type differs from the network's input, or the network has
            more or fewer inputs.
    """
    main = model.subgraphs[0]
    expected = [main.tensors[index] for index in main.inputs[1:]]
    if [(schema.dtype(t), schema.shape(t)) for t in expected] != [
        (value.dtype, value.shape) for value in others
    ]:
        wanted = 1 + len(others)
        raise UserError(
            f"expected a network with {wanted if wanted > 1 else 'one'} input"
            f"{'s' if wanted > 1 else ''} of the types given, got {len(main.inputs)}"
        )
    tensor = main.tensors[main.inputs[0]]
    shape = schema.shape(tensor)
    if shape[:1] != (1,):
        raise UserError(f"expected a network that takes one sample at a time, got {shape}")
    x = np.asarray(x)
    if x.shape[1:] != shape[1:] or x.dtype != schema.dtype(tensor):
        raise UserError(
            f"the network takes {schema.dtype(tensor)} of shape (samples, "
            f"{', '.join(map(str, shape[1:]))}), got {x.dtype} of shape {x.shape}"
        )
    return np.ascontiguousarray(x)


@contextmanager
def running(runtime: str) -> Iterator[None]:
    """Make a native runtime's failure on a network that it has set up a `UserError`.

    What it logs is not caught, as threads may be running.
    """
    try:
        yield
    except RuntimeError as error:
        said = " ".join(str(error).split())
        raise UserError(
            f"{runtime} set the network up but cannot run it; the file is broken, make it again: "
            f"{said}"
        ) from error


def _stack(model: fb.ModelT, results: list[dict[str, NDArray]]) -> dict[str, NDArray]:
    """(samples, ...) arrays, see `Runtime.run`."""
    main = model.subgraphs[0]
    stacked = {}
    for name, index in schema.outputs_by_name(model).items():
        tensor, values = main.tensors[index], [result[name] for result in results]
        shape = schema.shape(tensor)[1:]
        while len(shape) > 1 and shape[0] == 1:
            shape = shape[1:]
        stacked[name] = np.array(values, schema.dtype(tensor)).reshape(len(values), *shape)
    return stacked


@contextmanager
def _refusal_of(runtime: str) -> Iterator[None]:
    """Make a native runtime's refusal, with what it logs, a `UserError`."""
    refusal = None
    with captured_stderr() as log:
        try:
            yield
        except (RuntimeError, ValueError) as error:
            refusal = error
    if refusal is not None:
        said = " ".join(f"{refusal} {log.text}".split())
        raise UserError(f"{runtime} refuses the file: {said}") from refusal
