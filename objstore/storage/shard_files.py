"""Large shards, one file each: shards/<last byte of the blob id>/<blob id>.<chunk>.<shard>, in hex.

A file is created under its final name, written and synced; the directory is synced once per blob and
drive, after the last of its files. No rename: a name nobody refers to is garbage, and the commit of
the metadata is what makes a blob exist. All functions here block and run in the drive's threads.
"""

import errno
import mmap
from collections.abc import Iterable, Sequence
from contextlib import suppress
from os import urandom
from typing import Final, NamedTuple

from objstore import durable
from objstore.durable import Buffer
from objstore.storage.budget import AlignedBuffers
from objstore.storage.drive import SHARD_DIRECTORIES, Handle, Session

PAST_CACHE_BYTES_MIN: Final = 1 << 20
"""Smaller shards go through the page cache: they are likely to be read soon, and whole."""
STAGING_BYTES: Final = 1 << 20


class ShardName(NamedTuple):
    """Which shard a file holds."""

    blob_id: bytes
    chunk: int
    shard: int

    @property
    def directory(self) -> str:
        """The directory below shards/: the last byte of the id, which is random."""
        return f"{self.blob_id[-1]:02x}"

    @property
    def file(self) -> str:
        """The name in that directory."""
        return f"{self.blob_id.hex()}.{self.chunk:x}.{self.shard:x}"

    @classmethod
    def parse(cls, file: str) -> "ShardName | None":
        """From a file's name; None when it is none of these."""
        parts = file.split(".")
        if len(parts) != 3 or len(parts[0]) != 32:
            return None
        try:
            name = cls(bytes.fromhex(parts[0]), int(parts[1], 16), int(parts[2], 16))
        except ValueError:
            return None
        return name if name.file == file else None


def _directory(session: Session, blob_id: bytes) -> Handle:
    return Handle(durable.open_directory(session.shards.fd, ShardName(blob_id, 0, 0).directory))


def _staging(frame: Sequence[Buffer], buffers: AlignedBuffers) -> mmap.mmap | None:
    """What it takes to write a large frame past the page cache."""
    is_large = sum(map(len, frame)) >= PAST_CACHE_BYTES_MIN
    return buffers.take(STAGING_BYTES) if is_large else None


def write(session: Session, name: ShardName, frame: Sequence[Buffer], buffers: AlignedBuffers) -> None:
    """Write a new shard file and sync it; durable after `sync_names`. An error leaves no file, if it can."""
    try:
        directory = _directory(session, name.blob_id)
    except FileNotFoundError:
        durable.make_directory(session.shards.fd, name.directory)
        durable.sync_directory(session.shards.fd)
        directory = _directory(session, name.blob_id)
    durable.create_synced(directory.fd, name.file, frame, _staging(frame, buffers))


def sync_names(session: Session, blob_id: bytes) -> None:
    """The names of this blob's shard files on this drive are durable when this returns."""
    directory = _directory(session, blob_id)  # named, so that it stays open during the call
    durable.sync_directory(directory.fd)


def rewrite(session: Session, name: ShardName, frame: Sequence[Buffer], buffers: AlignedBuffers) -> None:
    """Put a good shard in the place of a bad or absent one: written beside it, synced, read back from the
    medium, then renamed over it. Durable on return; the old file stays until the new one has proved itself.
    """
    directory = _directory(session, name.blob_id)
    temporary = f"{name.file}.{urandom(4).hex()}.new"
    durable.create_synced(directory.fd, temporary, frame, _staging(frame, buffers))
    try:
        written = Handle(durable.open_file(directory.fd, temporary))
        durable.forget_cached(written.fd)
        expected = b"".join(bytes(part) for part in frame)
        if durable.read(written.fd, 0, len(expected) + 1) != expected:
            raise OSError(errno.EIO, "what was written does not read back", temporary)
        durable.rename(directory.fd, temporary, name.file)
    except BaseException:
        with suppress(OSError):
            durable.unlink(directory.fd, temporary)
        raise
    durable.sync_directory(directory.fd)


def open_for_reading(session: Session, name: ShardName, *, past_cache: bool = False) -> Handle:
    """The shard file, for `durable.read_aligned` if `past_cache`. Raises FileNotFoundError, OSError."""
    directory = _directory(session, name.blob_id)
    return Handle(durable.open_file(directory.fd, name.file, past_cache=past_cache))


def remove(session: Session, blob_id: bytes, shards: Iterable[tuple[int, int]]) -> None:
    """Remove the files of these (chunk, shard) of a blob; absent is fine. Durable after `sync_removals`."""
    try:
        directory = _directory(session, blob_id)
    except FileNotFoundError:
        return
    for chunk, shard in shards:
        with suppress(FileNotFoundError):
            durable.unlink(directory.fd, ShardName(blob_id, chunk, shard).file)


def sync_removals(session: Session, directories: Iterable[str]) -> None:
    """What was removed from these directories (ShardName.directory) is gone for good when this returns."""
    for name in directories:
        with suppress(FileNotFoundError):
            directory = Handle(durable.open_directory(session.shards.fd, name))
            durable.sync_directory(directory.fd)


def names_in(session: Session, directory: str) -> list[ShardName]:
    """The shards in one of SHARD_DIRECTORIES; what is none is passed over."""
    assert directory in SHARD_DIRECTORIES
    try:
        handle = Handle(durable.open_directory(session.shards.fd, directory))
    except FileNotFoundError:
        return []
    return [name for name in map(ShardName.parse, durable.names(handle.fd)) if name is not None]
