"""A writer of flatbuffers in which nothing stands twice.

The graphs of a self-exiting network describe what crosses an `IF` once more each, and layers are
much alike. A reader follows offsets and sees no difference where several lead to one place.
"""

from typing import Any

import flatbuffers
from numpy.typing import NDArray


class ThriftyBuilder(flatbuffers.Builder):
    """Writes equal names, lists of numbers and tables (tensors, scales, options) once."""

    current_vtable: Any

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}
        self._tables: dict[tuple[Any, ...], int] = {}
        self._fields: list[Any] = []

    def CreateNumpyVector(self, x: NDArray) -> int:  # noqa: N802 - flatbuffers' name
        key = (x.dtype.str, x.tobytes())
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]

    def CreateString(  # noqa: N802 - flatbuffers' name
        self, s: str | bytes, encoding: str = "utf-8", errors: str = "strict"
    ) -> int:
        key = ("name", s if isinstance(s, bytes) else s.encode(encoding, errors))
        if key not in self._written:
            self._written[key] = super().CreateString(s, encoding, errors)
        return self._written[key]

    def StartObject(self, numfields: int) -> None:  # noqa: N802 - flatbuffers' name
        super().StartObject(numfields)
        self._fields = []

    def PrependSlot(self, flags: Any, o: int, x: Any, d: Any) -> None:  # noqa: N802 - the same
        self._fields.append((o, x, d, flags))

    def PrependUOffsetTRelativeSlot(self, o: int, x: int, d: int) -> None:  # noqa: N802 - the same
        self._fields.append((o, x, d, None))

    def EndObject(self) -> int:  # noqa: N802 - flatbuffers' name
        """The table's place, or that of an equal one.

        Large fields come first, as flatbuffers' other writers have them, so that less is padded.
        """
        key = (len(self.current_vtable), *self._fields)
        if key in self._tables:
            self.nested = False
            return self._tables[key]
        for field in sorted(self._fields, key=_size, reverse=True):
            *slot, flags = field
            if flags is None:
                super().PrependUOffsetTRelativeSlot(*slot)
            else:
                super().PrependSlot(flags, *slot)
        self._tables[key] = super().EndObject()
        return self._tables[key]


def _size(field: tuple[int, Any, Any, Any]) -> int:
    """Bytes of a table's field, of which those without a type are offsets."""
    flags = field[3]
    return 4 if flags is None else int(flags.bytewidth)
