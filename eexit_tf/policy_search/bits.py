"""Sets of exits as the bits of a number, and their classes as the bytes of a word."""

import numpy as np
from numpy.typing import NDArray

from eexit_tf.policy_search.tables import Flags, Words

MOST_EXITS = 64
FEW = 64
"""Numbers a row that are summed one by one."""

_GATHER = np.uint64(0x0102040810204080)
"""Times 8 bytes of 0 or 1, puts these bits into the highest byte."""

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little") * 1.0
"""(256, 8): the bits of every byte."""


class ExitBits:
    """Packs rows with an entry for each exit, so that one operation works on all exits of a row.

    Attributes:
        width: bits of a number, the fewest of 8 to 64 that hold the exits.
        one: the number 1.
    """

    def __init__(self, exits: int) -> None:
        self.exits = exits
        self.width = next(bits for bits in (8, 16, 32, 64) if bits >= exits)
        self.one: np.unsignedinteger = np.dtype(f"u{self.width // 8}").type(1)

    def words(self, rows: NDArray) -> Words:
        """(rows, exits), 0 to 255, a byte each."""
        padded = np.zeros((len(rows), self.width), np.uint8)
        padded[:, : self.exits] = rows
        return padded.view(np.uint64)

    def numbers(self, words: Words) -> NDArray:
        """(rows,): bytes of 0 or 1 to bits."""
        bits = words * _GATHER >> np.uint64(56)
        return bits.astype(np.uint8).view(self.one.dtype)[:, 0]

    def at_least(self, words: Words, limits: Words) -> NDArray:
        """(rows,): the bits of the bytes that are not below those of the limits."""
        return self.numbers((words.view(np.uint8) >= limits.view(np.uint8)).view(np.uint64))

    def single(self, exits: NDArray) -> NDArray:
        """The numbers with just these bits."""
        return self.one << exits.astype(self.one.dtype)

    def flags(self, numbers: NDArray) -> Flags:
        """(rows, exits)."""
        rows = numbers.reshape(-1, 1).view(np.uint8)
        return np.unpackbits(rows, axis=1, bitorder="little", count=self.exits).view(np.bool_)

    def sums(
        self, numbers: NDArray, rows: NDArray[np.intp], weights: NDArray, size: int
    ) -> NDArray[np.float64]:
        """(size, exits): for each row and exit, the weights of the row's numbers with its bit.

        Args:
            rows: (numbers,), the row that each belongs to.
        """
        if len(numbers) < FEW * size:
            number, bit = np.nonzero(self.flags(numbers))
            each = np.bincount(rows[number] * self.exits + bit, weights[number], size * self.exits)
            return each.reshape(size, self.exits).astype(np.float64, copy=False)
        columns = []  # by bytes, of which there are fewer than exits
        for byte in numbers.reshape(-1, 1).view(np.uint8).T:
            each = np.bincount(rows * 256 + byte, weights, size * 256).reshape(size, 256)
            columns.append(np.einsum("rb,bk->rk", each, _BITS))  # no BLAS: the same sums anywhere
        return np.concatenate(columns, axis=1)[:, : self.exits]

    def place(self, numbers: NDArray) -> NDArray[np.intp]:
        """Where a number has its only bit."""
        return np.bitwise_count(numbers - self.one).astype(np.intp)

    def byte(self, words: Words, exits: NDArray[np.intp]) -> NDArray[np.uint8]:
        """(rows,), the byte of one exit in each row."""
        return words.view(np.uint8).ravel()[np.arange(len(exits)) * self.width + exits]
