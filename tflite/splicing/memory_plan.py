"""A memory plan for TFLM, shipped in the file: where in the arena every tensor lies.

TFLM plans memory itself, but it copies what crosses an `IF` and keeps the original. Here a
tensor that is handed to a branch, or back from it, gets the same place on both sides, and TFLM
then copies nothing (`CopyOpInputsToSubgraphInputs` skips equal addresses). What a `RESHAPE`
gives lies where its input lies, too. LiteRT ignores the plan.

Time is one line of steps: the operators of the main graph, at the `IF` first those of *then*,
then those of *else*. Each graph has a step of its own at its begin, when its inputs arrive, and
at its end, when its outputs are handed back. Tensors that hold values at a common step must not
overlap. What an `IF` gives back holds a value at the end of *then* and from the end of *else*
on, but not in between: on the way through *then*, *else* does not run.

The metadata is TFLM's own (`OfflineMemoryAllocation`, documented in TFLM's
`docs/memory_management.md`): version, a graph number that is not used, the number of tensors of
all graphs, and one offset a tensor, -1 for those that have no place in the arena; all int32.
"""

from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert import schema_py_generated as fb

from eexit_tf.tflite import schema
from eexit_tf.tflite.splicing.packing import Block, pack

METADATA = "OfflineMemoryAllocation"
ALIGNMENT = 16
NOWHERE = -1

Tensor = tuple[int, int]
"""Graph and position of a tensor."""


@dataclass(frozen=True)
class Plan:
    """Where tensors lie.

    Attributes:
        offsets: of every tensor of every graph, in bytes; `NOWHERE` for constants.
        arena_bytes: what the tensors need in all.
        lower_bound: the largest sum of tensors that live at once: no plan needs less.
    """

    offsets: dict[Tensor, int]
    arena_bytes: int
    lower_bound: int

    def to_bytes(self) -> bytes:
        """The content of the metadata entry."""
        offsets = [self.offsets[key] for key in sorted(self.offsets)]
        return np.array([1, 0, len(offsets), *offsets], "<i4").tobytes()


def plan(model: fb.ModelT) -> Plan:
    """Place every tensor of a network that `splice` made, or of one without branches."""
    lives = _Lives(model)
    lives.walk(0)
    places = _Places(lives)
    blocks, members = [], []
    for values in places.groups():
        tensors = [key for value in values for key in lives.values[value]]
        size = max(schema.byte_size(lives.tensor(key)) for key in tensors)
        steps = 0
        for value in values:
            steps |= lives.steps[value]
        blocks.append(Block(-(-size // ALIGNMENT) * ALIGNMENT, steps))
        members.append(tensors)
    packed = pack(blocks)
    offsets = {
        (number, index): NOWHERE
        for number, graph in enumerate(model.subgraphs)
        for index in range(len(graph.tensors))
    }
    for tensors, offset in zip(members, packed.offsets, strict=True):
        offsets.update(dict.fromkeys(tensors, offset))
    return Plan(offsets, packed.total, packed.lower_bound)


def add_plan(model: fb.ModelT) -> Plan:
    """Plan the model's memory and put the plan into its metadata; the plan is returned."""
    made = plan(model)
    model.buffers.append(fb.BufferT(np.frombuffer(made.to_bytes(), np.uint8)))
    model.metadata.append(fb.MetadataT(METADATA, len(model.buffers) - 1))
    return made


@dataclass
class _Lives:
    """Values, the tensors that hold each, and the steps at which it is held.

    A value is named after the tensor that first holds it. Branch inputs and reshaped tensors
    hold the value that they are made from; nothing ever changes a value.

    Attributes:
        steps: bit t is set if the value is held at step t.
        handed: values given back by an `IF`: (from, to, step of the handing).
    """

    model: fb.ModelT
    now: int = 0
    values: dict[Tensor, list[Tensor]] = field(default_factory=dict)
    steps: dict[Tensor, int] = field(default_factory=dict)
    handed: list[tuple[Tensor, Tensor, int]] = field(default_factory=list)
    _value_of: dict[Tensor, Tensor] = field(default_factory=dict)

    def tensor(self, key: Tensor) -> fb.TensorT:
        return self.model.subgraphs[key[0]].tensors[key[1]]

    def walk(self, number: int) -> int:
        """Go through a graph from the step `now` on; returns its last step."""
        graph = self.model.subgraphs[number]
        for index in graph.inputs:
            self._hold((number, int(index)), self.now)
        for op in graph.operators:
            self.now += 1
            name = schema.op_name(self.model, op)
            for index in op.inputs:
                self._hold((number, int(index)), self.now)
            if name == "IF":
                self._branch(number, op)
                continue
            for index in op.outputs:
                key = (number, int(index))
                if name == "RESHAPE" and (number, int(op.inputs[0])) in self._value_of:
                    self._same(key, (number, int(op.inputs[0])))
                self._hold(key, self.now)
        self.now += 1
        for index in graph.outputs:
            self._hold((number, int(index)), self.now)
        return self.now

    def _branch(self, number: int, op: fb.OperatorT) -> None:
        ends = []
        for target in (op.builtinOptions.thenSubgraphIndex, op.builtinOptions.elseSubgraphIndex):
            self.now += 1
            for mine, theirs in zip(
                op.inputs[1:], self.model.subgraphs[target].inputs, strict=True
            ):
                self._hold((number, int(mine)), self.now)
                self._same((target, int(theirs)), (number, int(mine)))
            ends.append(self.walk(target))
        for position, index in enumerate(op.outputs):
            mine = (number, int(index))
            self._new(mine)
            for target, end in zip(
                (op.builtinOptions.thenSubgraphIndex, op.builtinOptions.elseSubgraphIndex),
                ends,
                strict=True,
            ):
                theirs = (target, int(self.model.subgraphs[target].outputs[position]))
                self.steps[mine] |= 1 << end
                if theirs in self._value_of:
                    self.handed.append((self._value_of[theirs], mine, end))

    def _new(self, key: Tensor) -> None:
        self._value_of[key], self.values[key], self.steps[key] = key, [key], 0

    def _same(self, key: Tensor, origin: Tensor) -> None:
        """`key` holds the same value as `origin`."""
        value = self._value_of[origin]
        self._value_of[key] = value
        self.values[value].append(key)

    def _hold(self, key: Tensor, step: int) -> None:
        """The value of `key` is held from its birth up to this step (constants are not)."""
        if key[1] < 0 or schema.is_constant(self.model, self.tensor(key)):
            return
        if key not in self._value_of:
            self._new(key)
            self.steps[key] = 1 << step
            return
        value = self._value_of[key]
        held = self.steps[value]
        last = held.bit_length() - 1
        self.steps[value] = held | (1 << step + 1) - (1 << last)


class _Places:
    """Which values share a place: those that are handed back, where they do not collide."""

    def __init__(self, lives: _Lives) -> None:
        self._steps = lives.steps
        self._group = {value: [value] for value in lives.values}
        self._handing: dict[frozenset[Tensor], int] = {}
        for a, b, step in lives.handed:
            pair = frozenset((a, b))
            self._handing[pair] = self._handing.get(pair, 0) | 1 << step
        for a, b, _ in lives.handed:
            self._merge(a, b)

    def groups(self) -> list[list[Tensor]]:
        unique = {id(group): group for group in self._group.values()}
        return list(unique.values())

    def _merge(self, a: Tensor, b: Tensor) -> None:
        first, second = self._group[a], self._group[b]
        if first is second or any(self._collide(x, y) for x in first for y in second):
            return
        first.extend(second)
        for value in second:
            self._group[value] = first

    def _collide(self, a: Tensor, b: Tensor) -> bool:
        """Whether both hold a value at one step, other than the one handed over just then."""
        allowed = self._handing.get(frozenset((a, b)), 0)
        return bool(self._steps[a] & self._steps[b] & ~allowed)
