"""Which bytes of a completed multipart object lie in which part: arithmetic over runs of equal parts.

Parts of one object mostly have one size, so ten thousand of them are a run or two: a manifest is read
and searched in microseconds whatever the number of parts.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgpack


@dataclass(frozen=True, slots=True)
class Run:
    """`count` parts of `size` bytes each, numbered from `first_number` without a gap."""

    first_number: int
    count: int
    size: int


@dataclass(frozen=True, slots=True)
class Piece:
    """`length` bytes from `offset` (0-based) on of part `part_number`."""

    part_number: int
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The parts of a completed object in order, numbers ascending, gaps allowed."""

    runs: tuple[Run, ...]

    @classmethod
    def of(cls, parts: Iterable[tuple[int, int]]) -> "Layout":
        """The layout of (part number, size) pairs in ascending order."""
        runs: list[Run] = []
        for number, size in parts:
            last = runs[-1] if runs else None
            if last and last.size == size and last.first_number + last.count == number:
                runs[-1] = Run(last.first_number, last.count + 1, size)
            else:
                runs.append(Run(number, 1, size))
        return cls(tuple(runs))

    def pack(self) -> bytes:
        """The layout as one column: first number, count and size of each run, flat."""
        packed: bytes = msgpack.packb(
            [n for run in self.runs for n in (run.first_number, run.count, run.size)]
        )
        return packed

    @classmethod
    def unpack(cls, column: bytes) -> "Layout":
        """The inverse of `pack`."""
        flat = msgpack.unpackb(column)
        return cls(tuple(Run(*flat[i : i + 3]) for i in range(0, len(flat), 3)))

    @property
    def count(self) -> int:
        """How many parts there are."""
        return sum(run.count for run in self.runs)

    @property
    def size(self) -> int:
        """The object's size in bytes."""
        return sum(run.count * run.size for run in self.runs)

    def parts(self) -> Iterator[tuple[int, int]]:
        """(part number, size) of each part in order."""
        for run in self.runs:
            for index in range(run.count):
                yield run.first_number + index, run.size

    def part(self, part_number: int) -> tuple[int, int] | None:
        """(offset in the object, size) of one part; None when the object has no such part."""
        offset = 0
        for run in self.runs:
            index = part_number - run.first_number
            if 0 <= index < run.count:
                return offset + index * run.size, run.size
            offset += run.count * run.size
        return None

    def pieces(self, offset: int, length: int) -> Iterator[Piece]:
        """The pieces of parts that make up `length` bytes from `offset` of the object, in order.

        Empty parts are left out; a range beyond the end is cut.
        """
        start, end = 0, offset + length
        if length <= 0:
            return
        for run in self.runs:
            run_end = start + run.count * run.size
            if run.size and run_end > offset and start < end:
                first = max(0, (offset - start) // run.size)
                for index in range(first, run.count):
                    part_start = start + index * run.size
                    if part_start >= end:
                        return
                    low, high = max(offset, part_start), min(end, part_start + run.size)
                    yield Piece(run.first_number + index, low - part_start, high - low)
            start = run_end
