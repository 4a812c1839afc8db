"""Flash and arena of a network, estimated from its description.

Operators add up in the file and in what persists of the arena. Feature maps take turns: what
counts is the largest set of them that lives at a time, which the memory plan of a compiled file
reaches. While TFLM sets a small network up, it needs more than the maps do.

How a network will be quantised is not known yet. `qat` puts a `QUANTIZE` behind pooling, as each
map is trained with a range of its own, and `ptq` gives classifiers a scale for each class: the
constants have room for both. They are set so that estimates are seldom too low;
`benchmarks/memory_estimates.py` holds them against files.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import accumulate
from math import prod
from types import MappingProxyType

from eexit_tf.blueprints import Kind, Unit
from eexit_tf.memory import ExitMemory, Needs, aligned

NETWORK = Needs(1830, 420)
EXIT = Needs(930, 1110, 970)
"""With its classifier and its decision."""
CONVOLUTION, WINDOW = Needs(197, 244, 122), Needs(285, 270, 100)
OPERATORS: Mapping[Kind, Needs] = MappingProxyType(
    {
        "conv": CONVOLUTION,
        "depthwise": CONVOLUTION,
        "add": Needs(150, 165, 150),
        "average": WINDOW,
        "maximum": WINDOW,
        "move": WINDOW,
    }
)
CHANNELS: Mapping[Kind, Needs] = MappingProxyType(
    {"conv": Needs(18, 8), "depthwise": Needs(18, 8), "classify": Needs(14, 8)}
)
"""Of each output channel or class. Each parameter is a byte of flash beside it."""
LABEL = 18
"""Bytes of flash of each class's name, which the file has twice: five or six letters fit."""
PREPARATION, PREPARATION_CHANNEL = 1248, 16
"""Bytes of TFLM's descriptions of one operator's tensors, and of their scales; see
`tflite.arena`."""
NOTHING = Needs()


def exit_memory(
    order: Sequence[Unit],
    trunks: Sequence[Set[Unit]],
    heads: Sequence[Set[Unit]],
    classes: int,
) -> ExitMemory:
    """Estimate it from what is executed.

    Args:
        order: all units, each behind those that it reads.
        trunks: what each exit shares with others, each containing the one before.
        heads: what each exit alone needs.
        classes: how many there are.
    """
    place = {unit: number for number, unit in enumerate(order)}
    maps: dict[Unit, Unit] = {}
    for unit in order:  # whose memory an output is in
        maps[unit] = maps[unit.inputs[0]] if unit.kind == "folded" else unit

    def read(units: Iterable[Unit]) -> set[Unit]:
        return {maps[source] for unit in units for source in unit.inputs}

    def peak(units: Set[Unit], before: Set[Unit], after: Set[Unit]) -> int:
        schedule = sorted(units, key=place.__getitem__)
        return max(_live_bytes(schedule, maps, before, after), default=0)

    before = [frozenset[Unit](), *trunks[:-1]]
    stages = [trunk - earlier for trunk, earlier in zip(trunks, before, strict=True)]
    going_on: list[set[Unit]] = [set()]
    for stage, head in zip(stages[:0:-1], heads[:0:-1], strict=True):
        going_on.append(going_on[-1] | read(stage) | read(head))
    going_on.reverse()
    trunk_peaks, early_peaks, last_peaks = [], [], []
    crossing: set[Unit] = set()
    for trunk, stage, head, later in zip(trunks, stages, heads, going_on, strict=True):
        kept, taken = later & trunk, read(head) & trunk
        trunk_peaks.append(peak(stage, crossing, kept | taken))
        early_peaks.append(peak(head, kept | taken, kept))
        last_peaks.append(peak(head, taken, set()))
        crossing = kept
    return ExitMemory(
        trunks=tuple(accumulate(map(_total, stages), initial=NETWORK + Needs(LABEL * classes)))[1:],
        heads=tuple(EXIT + _total(head) for head in heads),
        trunk_peaks=tuple(accumulate(trunk_peaks, max)),
        early_peaks=tuple(early_peaks),
        last_peaks=tuple(last_peaks),
        trunk_preparation=tuple(map(_preparation, trunks)),
        head_preparation=tuple(map(_preparation, heads)),
    )


def _live_bytes(
    schedule: Sequence[Unit], maps: Mapping[Unit, Unit], before: Set[Unit], after: Set[Unit]
) -> Iterator[int]:
    """Bytes of the maps that live while each unit of a schedule is executed."""
    last = {maps[source]: unit for unit in schedule for source in unit.inputs}
    total = sum(_map_bytes(unit) for unit in before)
    for unit in schedule:
        written = {unit} if maps[unit] is unit else set()
        total += sum(_map_bytes(made) for made in written)
        yield total
        done = written | {maps[source] for source in unit.inputs}
        total -= sum(_map_bytes(map_) for map_ in done - after if last.get(map_, unit) is unit)


def _map_bytes(unit: Unit) -> int:
    return aligned(prod(unit.shape))


def _total(units: Iterable[Unit]) -> Needs:
    return sum(map(_unit_needs, units), NOTHING)


def _unit_needs(unit: Unit) -> Needs:
    operator, channel = OPERATORS.get(unit.kind, NOTHING), CHANNELS.get(unit.kind, NOTHING)
    channels = unit.shape[2]
    return Needs(
        operator.flash + channels * channel.flash + unit.params,
        operator.persistent + channels * channel.persistent,
        operator.planning,
    )


def _preparation(units: Iterable[Unit]) -> int:
    widest = max((unit.shape[2] for unit in units if unit.kind in CHANNELS), default=0)
    return PREPARATION + PREPARATION_CHANNEL * widest
