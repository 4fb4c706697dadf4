"""The locator: where a blob's shards lie, in few bytes. Layout: docs/on_disk_format.md, "Locator".

Small blobs have one chunk whose shards lie in packs. Larger ones are chunks whose shards are files;
their drives stand in runs of chunks, since they change only when a drive fails under way.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from struct import Struct, error
from typing import Final, NamedTuple

from objstore.erasure.geometry import chunk_count

NO_DRIVE: Final = 0xFFFF
"""In place of a drive number: this shard was never stored, or was lost for ever."""
DRIVE_NUMBER_MAX: Final = NO_DRIVE - 1

_PACKED: Final = 1
_FILES: Final = 2
_HEAD: Final = Struct("<BBB")
_PLACE: Final = Struct("<HQI")
_CHUNKS: Final = Struct("<I")


class LocatorInvalid(ValueError):
    """These bytes are no locator of this store, or do not fit the blob's size."""


class Place(NamedTuple):
    """Where one packed shard's frame begins."""

    drive: int
    pack: int
    offset: int


NOWHERE: Final = Place(NO_DRIVE, 0, 0)


@dataclass(frozen=True, slots=True)
class Packed:
    """The layout of a blob of one chunk; shard i's frame begins at places[i]."""

    data_shards: int
    places: tuple[Place, ...]

    @property
    def total_shards(self) -> int:
        """n."""
        return len(self.places)

    def drives_of(self, chunk: int) -> tuple[int, ...]:
        """The drive of each shard of the only chunk."""
        return tuple(place.drive for place in self.places)

    def pack(self) -> bytes:
        """The locator."""
        return _HEAD.pack(_PACKED, self.data_shards, len(self.places)) + b"".join(
            [_PLACE.pack(*place) for place in self.places]
        )


class Run(NamedTuple):
    """Consecutive chunks whose shards lie on the same drives; drives[i] holds shard i of each."""

    chunks: int
    drives: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Files:
    """The layout of a blob whose shards are files."""

    data_shards: int
    total_shards: int
    chunk_size: int
    runs: tuple[Run, ...]
    _ends: list[int] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ends", list(accumulate(run.chunks for run in self.runs)))

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return self._ends[-1] if self._ends else 0

    def drives_of(self, chunk: int) -> tuple[int, ...]:
        """The drive of each shard of one chunk."""
        return self.runs[bisect_right(self._ends, chunk)].drives

    def chunks_on(self) -> Iterator[tuple[int, int, int]]:
        """(chunk, shard, drive) of every shard that was stored."""
        for run, end in zip(self.runs, self._ends, strict=True):
            for chunk in range(end - run.chunks, end):
                for shard, drive in enumerate(run.drives):
                    if drive != NO_DRIVE:
                        yield chunk, shard, drive

    def pack(self) -> bytes:
        """The locator."""
        row = Struct(f"<I{self.total_shards}H")
        return (
            _HEAD.pack(_FILES, self.data_shards, self.total_shards)
            + _CHUNKS.pack(self.chunk_size)
            + b"".join([row.pack(run.chunks, *run.drives) for run in self.runs])
        )


Layout = Packed | Files


def joined(drives_by_chunk: Iterable[tuple[int, ...]]) -> tuple[Run, ...]:
    """The runs of chunks whose drives are these, in order."""
    runs: list[Run] = []
    for drives in drives_by_chunk:
        if runs and runs[-1].drives == drives:
            runs[-1] = Run(runs[-1].chunks + 1, drives)
        else:
            runs.append(Run(1, drives))
    return tuple(runs)


def parse(locator: bytes, blob_size: int) -> Layout:
    """The layout of a blob of `blob_size` bytes. Raises LocatorInvalid."""
    try:
        kind, data_shards, total_shards = _HEAD.unpack_from(locator)
        if not 1 <= data_shards <= total_shards:
            raise LocatorInvalid(f"{data_shards} of {total_shards} shards")
        if kind == _PACKED:
            body = memoryview(locator)[_HEAD.size :]
            places = tuple(map(Place._make, _PLACE.iter_unpack(body)))
            if len(places) != total_shards:
                raise LocatorInvalid(f"{len(places)} places for {total_shards} shards")
            return Packed(data_shards, places)
        if kind == _FILES:
            start = _HEAD.size
            (chunk_size,) = _CHUNKS.unpack_from(locator, start)
            rows = Struct(f"<I{total_shards}H").iter_unpack(memoryview(locator)[start + 4 :])
            runs = tuple(Run(row[0], row[1:]) for row in rows)
            layout = Files(data_shards, total_shards, chunk_size, runs)
            if not chunk_size or layout.chunks != chunk_count(blob_size, chunk_size):
                raise LocatorInvalid(f"{layout.chunks} chunks of {chunk_size} bytes for {blob_size} bytes")
            return layout
    except error as exc:
        raise LocatorInvalid(str(exc)) from exc
    raise LocatorInvalid(f"unknown kind {kind}")
