"""What a branch and bound has still to look at, largest lead first, within a limit of memory.

A *lead* bounds how many more right answers than the known policies something may come to.
"""

from collections import defaultdict
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from eexit_tf.policy_search.tables import Flags, Ints

Table = TypeVar("Table", bound="Rows")


@dataclass
class Rows:
    """A table whose fields are its columns: arrays with one row for each thing."""

    def __len__(self) -> int:
        return len(next(iter(vars(self).values())))

    def take(self: Table, which: NDArray[np.intp] | Flags | slice) -> Table:
        return type(self)(*(column[which] for column in vars(self).values()))

    @property
    def bytes(self) -> int:
        return sum(column.nbytes for column in vars(self).values())

    @classmethod
    def joined(cls: type[Table], parts: list[Table]) -> Table:
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


class Waiting(Generic[Table]):
    """Rows that wait at some places.

    Args:
        batch: rows that are popped together, if so many wait.
        memory_bytes: of all that waits.
    """

    def __init__(self, places: int, batch: int, memory_bytes: int) -> None:
        self.batch, self.free_bytes = batch, memory_bytes
        self._tables: list[dict[int, list[Table]]] = [defaultdict(list) for _ in range(places)]

    def push(self, place: int, rows: Table, leads: Ints) -> int:
        """Have rows wait.

        Args:
            leads: (rows,), more than 0.

        Returns:
            The largest lead of those that had to be given up as memory ran out, 0 without any.
        """
        for lead in np.unique(leads):
            self._tables[place][int(lead)].append(rows.take(leads == lead))
        self.free_bytes -= rows.bytes
        given_up = 0
        while self.free_bytes < 0:
            lowest, at = min((min(tables), at) for at, tables in enumerate(self._tables) if tables)
            self.free_bytes += sum(table.bytes for table in self._tables[at].pop(lowest))
            given_up = max(given_up, lowest)
        return given_up

    def largest(self) -> tuple[int, int]:
        """The largest lead, and where it waits (the last such place); lead 0 if nothing waits."""
        return max((max(tables, default=0), at) for at, tables in enumerate(self._tables))

    def pop(self, place: int) -> Table:
        """A batch of what waits at a place, largest leads first."""
        tables = self._tables[place]
        chunks: list[Table] = []
        size = 0
        while tables and size < self.batch:
            lead = max(tables)
            chunks.append(tables[lead].pop())
            size += len(chunks[-1])
            if not tables[lead]:
                del tables[lead]
        rows = chunks[0].joined(chunks)
        self.free_bytes += rows.bytes
        return rows
