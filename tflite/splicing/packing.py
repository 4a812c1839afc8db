"""Packing blocks that live for some steps into as little memory as possible."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

_TRIES = 400


@dataclass(frozen=True)
class Block:
    """Memory of a size that is needed at some steps.

    Attributes:
        size: in bytes.
        steps: bit t is set if the block is needed at step t.
    """

    size: int
    steps: int


@dataclass(frozen=True)
class Packing:
    """Where blocks lie.

    Attributes:
        offsets: of each block, in bytes.
        total: bytes needed in all.
        lower_bound: the largest sum of sizes at one step; no packing needs less.
    """

    offsets: tuple[int, ...]
    total: int
    lower_bound: int


def pack(blocks: Sequence[Block]) -> Packing:
    """Place blocks so that those with a step in common do not overlap.

    Blocks are put, one after another, at the lowest free offset. Which order is best cannot be
    known: largest first, longest first and earliest first are tried, then the best order with
    blocks moved at random (always the same ones), until the lower bound is met or the tries
    are used up.
    """
    last = max((block.steps.bit_length() for block in blocks), default=0)
    bound = max((sum(b.size for b in blocks if b.steps >> t & 1) for t in range(last)), default=0)
    length = [block.steps.bit_count() for block in blocks]
    first = [(block.steps & -block.steps).bit_length() for block in blocks]
    indices = range(len(blocks))
    orders = [
        sorted(indices, key=lambda i: (-blocks[i].size, -length[i])),
        sorted(indices, key=lambda i: (-blocks[i].size * length[i], first[i])),
        sorted(indices, key=lambda i: (-length[i], -blocks[i].size)),
        sorted(indices, key=lambda i: (first[i], -blocks[i].size)),
    ]
    results = [(*_place(blocks, order), order) for order in orders]
    total, offsets, order = min(results, key=lambda result: result[0])
    chance = random.Random(0)
    for _ in range(_TRIES):
        if total == bound:
            break
        changed = list(order)
        for _ in range(chance.randint(1, 3)):
            changed.insert(
                chance.randrange(len(changed)), changed.pop(chance.randrange(len(order)))
            )
        found, places = _place(blocks, changed)
        if found <= total:
            total, offsets, order = found, places, changed
    return Packing(tuple(offsets), total, bound)


def _place(blocks: Sequence[Block], order: Sequence[int]) -> tuple[int, list[int]]:
    """First fit in this order: bytes needed and the offset of each block."""
    offsets = [0] * len(blocks)
    placed: list[int] = []
    total = 0
    for index in order:
        block = blocks[index]
        taken = sorted(
            (offsets[i], offsets[i] + blocks[i].size)
            for i in placed
            if blocks[i].steps & block.steps
        )
        offset = 0
        for begin, end in taken:
            if begin - offset >= block.size:
                break
            offset = max(offset, end)
        offsets[index] = offset
        total = max(total, offset + block.size)
        placed.append(index)
    return total, offsets
