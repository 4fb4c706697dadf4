"""Snapshots of the index: what a lost index is rebuilt from, before the journal is replayed on it.

A snapshot file is a header and the bytes of an SQLite database (made by VACUUM INTO):

    magic 8 · version 4 · schema 4 · sequence 8 · checksum 16 · issued 8 · clock_ms 8 ·
    length 8 · digest of the database 16 · digest of all before it 16

Integers are big-endian, digests xxh3_128. sequence and checksum are the place in the chain that the
database stands at. Its name is `<sequence>-<schema>.snapshot`, both in hexadecimal.

A file under that name is whole: it is written under another name, synced, read back from the drive and
only then renamed. It is proof of nothing until it has been read: rot is found by the digest.
"""

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final, Self

import xxhash

from objstore import durable
from objstore.meta.drive_journal import TEMPORARY_SUFFIX, DriveJournal
from objstore.meta.position import Position
from objstore.meta.segment import Point

VERSION: Final = 1
GENERATIONS_KEPT: Final = 2
_MAGIC: Final = b"OBJSSNAP"
_HEADER: Final = Struct(">8sIIQ16sQQQ16s")
_DIGEST_BYTES: Final = 16
HEADER_BYTES: Final = _HEADER.size + _DIGEST_BYTES
_PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, order=True)
class SnapshotName:
    """Names sort by age."""

    sequence: int
    schema: int

    def __str__(self) -> str:
        return f"{self.sequence:016x}-{self.schema:04x}.snapshot"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """What a file name tells, or None for any other file."""
        stem, _, suffix = name.partition(".")
        sequence, _, schema = stem.partition("-")
        try:
            parsed = cls(int(sequence, 16), int(schema, 16))
        except ValueError:
            return None
        return parsed if suffix == "snapshot" and str(parsed) == name else None


@dataclass(frozen=True, slots=True)
class Header:
    """What a snapshot says of itself."""

    schema: int
    position: Position
    length: int
    digest: bytes

    @property
    def name(self) -> SnapshotName:
        """The file name that goes with it."""
        return SnapshotName(self.position.point.sequence, self.schema)

    def encode(self) -> bytes:
        """The header's bytes."""
        point = self.position.point
        fields = _HEADER.pack(
            _MAGIC,
            VERSION,
            self.schema,
            point.sequence,
            point.checksum,
            self.position.issued,
            self.position.clock_ms,
            self.length,
            self.digest,
        )
        return fields + xxhash.xxh3_128_digest(fields)

    @classmethod
    def decode(cls, data: bytes) -> Self | None:
        """The header in a file's first bytes, or None where they do not check."""
        fields = data[: _HEADER.size]
        if len(data) < HEADER_BYTES or xxhash.xxh3_128_digest(fields) != data[_HEADER.size : HEADER_BYTES]:
            return None
        magic, version, schema, sequence, checksum, issued, clock_ms, length, digest = _HEADER.unpack(fields)
        if (magic, version) != (_MAGIC, VERSION):
            return None
        return cls(schema, Position(Point(sequence, checksum), issued, clock_ms), length, digest)


def _pieces(descriptor: int, offset: int, length: int) -> Iterator[bytes]:
    while length > 0:
        data = durable.read(descriptor, offset, min(length, _PIECE_BYTES))
        if not data:
            return
        yield data
        offset += len(data)
        length -= len(data)


def digest_of(descriptor: int, offset: int, length: int) -> bytes | None:
    """Digest of so many bytes of a file, or None when it is shorter."""
    digest, got = xxhash.xxh3_128(), 0
    for piece in _pieces(descriptor, offset, length):
        digest.update(piece)
        got += len(piece)
    return digest.digest() if got == length else None


def names(drive: DriveJournal) -> list[SnapshotName]:
    """The snapshots on one drive, oldest first."""
    parsed = (SnapshotName.parse(name) for name in durable.names(drive.snapshots))
    return sorted(name for name in parsed if name is not None)


def header(drive: DriveJournal, name: SnapshotName) -> Header | None:
    """The header of a snapshot; None where it is absent, does not check, or its length is wrong."""
    try:
        descriptor = durable.open_file(drive.snapshots, str(name))
    except FileNotFoundError:
        return None
    try:
        found = Header.decode(durable.read(descriptor, 0, HEADER_BYTES))
    finally:
        durable.close(descriptor)
    if found is None or found.name != name:
        return None
    return found if durable.length_of(drive.snapshots, str(name)) == HEADER_BYTES + found.length else None


def is_whole(drive: DriveJournal, name: SnapshotName) -> bool:
    """Whether every byte of a snapshot checks, read from the drive."""
    found = header(drive, name)
    if found is None:
        return False
    descriptor = durable.open_file(drive.snapshots, str(name))
    try:
        durable.forget_cached(descriptor)
        return digest_of(descriptor, HEADER_BYTES, found.length) == found.digest
    finally:
        durable.close(descriptor)


def describe(database: Path, schema: int, position: Position) -> Header:
    """The header for a database file that nobody has open. Reads all of it."""
    directory = durable.open_root(str(database.parent))
    try:
        descriptor = durable.open_file(directory, database.name)
        try:
            length = durable.length_of(directory, database.name)
            digest = digest_of(descriptor, 0, length)
        finally:
            durable.close(descriptor)
    finally:
        durable.close(directory)
    if digest is None:
        raise OSError(errno.EIO, f"{database} is shorter than its length")
    return Header(schema, position, length, digest)


def put(drive: DriveJournal, told: Header, source: int, source_offset: int) -> None:
    """Make the snapshot be on `drive`, from an open file's bytes; durable and read back on return.

    Raises OSError, also when the source's bytes are not those the header tells.
    """
    temporary = f"{told.name}{TEMPORARY_SUFFIX}"
    with suppress(FileNotFoundError):
        durable.unlink(drive.snapshots, temporary)
    descriptor = durable.create(drive.snapshots, temporary)
    try:
        durable.write(descriptor, 0, [told.encode()])
        offset = HEADER_BYTES
        for piece in _pieces(source, source_offset, told.length):
            offset += durable.write(descriptor, offset, [piece])
        durable.sync(descriptor)
        durable.forget_cached(descriptor)
        if (
            Header.decode(durable.read(descriptor, 0, HEADER_BYTES)) != told
            or digest_of(descriptor, HEADER_BYTES, told.length) != told.digest
        ):
            raise OSError(errno.EIO, f"snapshot {told.name} reads back otherwise than it should")
    except BaseException:
        with suppress(OSError):
            durable.unlink(drive.snapshots, temporary)
        raise
    finally:
        durable.close(descriptor)
    durable.rename(drive.snapshots, temporary, str(told.name))
    durable.sync_directory(drive.snapshots)


def put_from_file(drive: DriveJournal, told: Header, database: Path) -> None:
    """`put` from a database file."""
    directory = durable.open_root(str(database.parent))
    try:
        source = durable.open_file(directory, database.name)
        try:
            put(drive, told, source, 0)
        finally:
            durable.close(source)
    finally:
        durable.close(directory)


def copy(source: DriveJournal, target: DriveJournal, name: SnapshotName) -> bool:
    """Copy a snapshot from drive to drive, read back there; False where the source's does not check."""
    told = header(source, name)
    if told is None or not is_whole(source, name):
        return False
    descriptor = durable.open_file(source.snapshots, str(name))
    try:
        put(target, told, descriptor, HEADER_BYTES)
    finally:
        durable.close(descriptor)
    return True


def restore(drive: DriveJournal, name: SnapshotName, directory: int, file_name: str) -> Position | None:
    """Write the snapshot's database as the new file `file_name`; its position, or None where it is bad.

    Synced, so that a drive that cannot take an index is found out before one is used there. Raises OSError.
    """
    told = header(drive, name)
    if told is None:
        return None
    source = durable.open_file(drive.snapshots, str(name))
    target = durable.create(directory, file_name)
    digest, offset = xxhash.xxh3_128(), 0
    try:
        for piece in _pieces(source, HEADER_BYTES, told.length):
            digest.update(piece)
            offset += durable.write(target, offset, [piece])
        durable.sync(target)
    finally:
        durable.close(target)
        durable.close(source)
    if offset != told.length or digest.digest() != told.digest:
        durable.unlink(directory, file_name)
        return None
    return told.position


def drop(drive: DriveJournal, unneeded: list[SnapshotName]) -> None:
    """Remove snapshots. Absent ones are fine."""
    for name in unneeded:
        with suppress(FileNotFoundError):
            durable.unlink(drive.snapshots, str(name))
