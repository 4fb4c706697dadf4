"""A journal segment as bytes: a header, then records one after the other. Pure.

    header (64 bytes)   magic 8 · version 4 · zero 4 · epoch 8 · first sequence 8 · link 16 · checksum 16
    record              magic 4 · body length 4 · epoch 8 · sequence 8 · link 16 · checksum 16 ·
                        issued 8 · clock_ms 8 · changeset · zeros up to a multiple of 8

Integers are big-endian. A checksum is xxh3_128 over everything before it in its header, and for a
record over its body (issued, clock_ms, changeset) as well. A link is the checksum of the record
before this one, so that records form one chain across segments; the link of sequence 1 is zero.
A segment holds consecutive sequences of one epoch. Behind the last record lie zeros (space reserved)
or nothing.

Telling a torn write from rot: the ledger writes one record at a time and the next only when it is
durable. So a record that does not check and has a good one after it was damaged later (rot); one with
nothing good after it may never have been written whole (torn).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, Self

import xxhash

LINK_BYTES: Final = 16
NO_LINK: Final = bytes(LINK_BYTES)
VERSION: Final = 1
_ALIGN: Final = 8

_HEADER: Final = Struct(">8sIIQQ16s")
_HEADER_MAGIC: Final = b"OBJSJRNL"
HEADER_BYTES: Final = _HEADER.size + LINK_BYTES

_RECORD: Final = Struct(">4sIQQ16s")
_RECORD_MAGIC: Final = b"\xc5Jr1"
_BODY: Final = Struct(">QQ")
RECORD_HEADER_BYTES: Final = _RECORD.size + LINK_BYTES


@dataclass(frozen=True, slots=True, order=True)
class SegmentName:
    """A segment's place in the journal; in order, they are the order of the journal."""

    epoch: int
    first: int

    def __str__(self) -> str:
        return f"{self.epoch:016x}-{self.first:016x}.segment"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The place a file name tells, or None for any other file."""
        stem, _, suffix = name.partition(".")
        epoch, _, first = stem.partition("-")
        try:
            parsed = cls(int(epoch, 16), int(first, 16))
        except ValueError:
            return None
        return parsed if suffix == "segment" and str(parsed) == name else None


@dataclass(frozen=True, slots=True)
class Point:
    """A place in the chain: after the record of this sequence, whose checksum this is."""

    sequence: int
    checksum: bytes


START: Final = Point(0, NO_LINK)


@dataclass(frozen=True, slots=True)
class Record:
    """One committed batch. `raw` is the whole record as it lies in the segment, padding included."""

    epoch: int
    sequence: int
    link: bytes
    checksum: bytes
    issued: int
    """The last sequence number given to a command when this batch was done."""
    clock_ms: int
    """The batch's time: never before that of the record before it."""
    changeset: bytes
    raw: bytes

    @property
    def point(self) -> Point:
        """The place right after this record."""
        return Point(self.sequence, self.checksum)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a segment's bytes hold, as far as it checks out."""

    records: tuple[Record, ...]
    """Good records, in order of place. A gap in their sequences is where one is damaged."""
    length: int
    """Bytes up to the end of the leading run of consecutive good records."""
    is_clean: bool
    """Whether nothing but zeros follows that run."""


def header(name: SegmentName, link: bytes) -> bytes:
    """The header of a segment whose first record will carry this link."""
    fields = _HEADER.pack(_HEADER_MAGIC, VERSION, 0, name.epoch, name.first, link)
    return fields + xxhash.xxh3_128_digest(fields)


def parse_header(data: bytes) -> tuple[SegmentName, bytes] | None:
    """Name and link that a segment's first bytes tell, or None where they do not check."""
    if len(data) < HEADER_BYTES:
        return None
    fields = data[: _HEADER.size]
    if xxhash.xxh3_128_digest(fields) != data[_HEADER.size : HEADER_BYTES]:
        return None
    magic, version, _, epoch, first, link = _HEADER.unpack(fields)
    return (SegmentName(epoch, first), link) if (magic, version) == (_HEADER_MAGIC, VERSION) else None


def record(
    epoch: int, before: Point, issued: int, clock_ms: int, changeset: bytes
) -> tuple[Point, Sequence[bytes]]:
    """The record that follows `before`: the place after it, and its bytes in pieces to write one by one."""
    sequence = before.sequence + 1
    body = _BODY.pack(issued, clock_ms)
    length = len(body) + len(changeset)
    fields = _RECORD.pack(_RECORD_MAGIC, length, epoch, sequence, before.checksum)
    digest = xxhash.xxh3_128(fields)
    digest.update(body)
    digest.update(changeset)
    checksum = digest.digest()
    padding = bytes(-(RECORD_HEADER_BYTES + length) % _ALIGN)
    return Point(sequence, checksum), (fields + checksum + body, changeset, padding)


def _record_at(data: bytes, offset: int, epoch: int) -> Record | None:
    """The good record of this epoch that begins at `offset`, if one does."""
    body_start = offset + RECORD_HEADER_BYTES
    if body_start > len(data) or data[offset : offset + len(_RECORD_MAGIC)] != _RECORD_MAGIC:
        return None
    _, length, told_epoch, sequence, link = _RECORD.unpack_from(data, offset)
    body_end = body_start + length
    if told_epoch != epoch or length < _BODY.size or body_end > len(data):
        return None
    digest = xxhash.xxh3_128(memoryview(data)[offset : offset + _RECORD.size])
    digest.update(memoryview(data)[body_start:body_end])
    checksum = data[offset + _RECORD.size : body_start]
    if digest.digest() != checksum:
        return None
    issued, clock_ms = _BODY.unpack_from(data, body_start)
    end = body_end + -(body_end - offset) % _ALIGN
    raw = data[offset:end].ljust(end - offset, b"\0")
    changeset = data[body_start + _BODY.size : body_end]
    return Record(told_epoch, sequence, link, checksum, issued, clock_ms, changeset, raw)


def parse(name: SegmentName, data: bytes) -> Parsed:
    """Every good record in a segment's bytes; damage is stepped over, never trusted.

    Takes the name's word over the header's: where the header is rotten the records still speak.
    """
    records: list[Record] = []
    offset = length = HEADER_BYTES
    expected = name.first
    in_order = True
    while offset < len(data):
        found = _record_at(data, offset, name.epoch)
        if found is None or found.sequence < expected:
            in_order = False
            offset = data.find(_RECORD_MAGIC, offset + 1)
            if offset < 0:
                break
            continue
        in_order = in_order and found.sequence == expected
        records.append(found)
        expected = found.sequence + 1
        offset += len(found.raw)
        if in_order:
            length = offset
    is_clean = data.count(0, length) == max(len(data) - length, 0)
    return Parsed(tuple(records), length, is_clean)
