"""Every file operation of storage/ and meta/, once: the idioms that make bytes durable.

Invariants kept here:
- A function that says "durable" returns only after the kernel reported the sync as done.
- A failed sync is never retried on the same descriptor: the kernel may have dropped the pages and
  will report success next time (Rebello et al., "Can Applications Recover from fsync Failures?",
  ATC 2020). Callers close the descriptor and write the bytes elsewhere.
- Files are reached relative to a directory descriptor, so that an unmount or a mount on top cannot
  redirect a write, and never through a symbolic link.

Tests install an observer (`observed`) that sees each operation before it happens, may record it for
replay, and may raise OSError to inject a fault.
"""

import errno
import fcntl
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

Buffer = bytes | bytearray | memoryview
Observer = Callable[[str, str, tuple[Any, ...]], None]
"""Called as observer(operation, path, details) before the operation; raise OSError to make it fail.

Operations and their details: mkdir (), create (), write (offset, bytes), sync (), sync_directory (),
allocate (offset, length), truncate (length,), append (bytes), chmod (mode,), rename (new_path,),
unlink (), rmdir (), open (), read (offset, length).
"""

_IOV_MAX: Final = 1024
ALIGNMENT: Final = 4096
"""What reads and writes past the page cache must begin and end at, in the file and in memory."""
_observer: Observer | None = None
_paths: dict[int, str] = {}


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Let `observer` see (and fail) every file operation of this process while the block runs."""
    global _observer
    before, _observer = _observer, observer
    try:
        yield
    finally:
        _observer = before


def _tell(operation: str, path: str, *details: Any) -> None:
    if _observer is not None:
        _observer(operation, path, details)


def path_of(descriptor: int) -> str:
    """The path a descriptor of this module was opened under (for messages and observers)."""
    return _paths.get(descriptor, f"<descriptor {descriptor}>")


def _join(directory: int, name: str) -> str:
    return f"{path_of(directory)}/{name}"


def open_root(path: str) -> int:
    """A descriptor of the existing directory at an absolute `path`: the anchor for everything below it."""
    _tell("open", path)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    _paths[descriptor] = path
    return descriptor


def open_directory(directory: int, name: str) -> int:
    """A descriptor of the existing directory `name` in `directory`."""
    path = _join(directory, name)
    _tell("open", path)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(name, flags, dir_fd=directory)
    _paths[descriptor] = path
    return descriptor


def make_directory(directory: int, name: str) -> None:
    """Create directory `name` (mode 0700) unless it exists. Durable after `sync_directory(directory)`."""
    path = _join(directory, name)
    _tell("mkdir", path)
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=directory)


def create(directory: int, name: str) -> int:
    """A descriptor for writing the new file `name` (mode 0600). FileExistsError if there is one."""
    path = _join(directory, name)
    _tell("create", path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    _paths[descriptor] = path
    return descriptor


def open_file(directory: int, name: str, *, writable: bool = False, past_cache: bool = False) -> int:
    """A descriptor of the existing file `name`. FileNotFoundError if there is none.

    `past_cache`: for `read_aligned` alone, and reads go past the page cache where the file system can.
    """
    path = _join(directory, name)
    _tell("open", path)
    flags = (os.O_RDWR if writable else os.O_RDONLY) | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(name, flags | os.O_DIRECT if past_cache else flags, dir_fd=directory)
    except OSError as exc:
        if not past_cache or exc.errno != errno.EINVAL:
            raise
        descriptor = os.open(name, flags, dir_fd=directory)
    _paths[descriptor] = path
    return descriptor


def close(descriptor: int) -> None:
    """Close; an error (EIO from a delayed write) is raised, the descriptor is gone either way."""
    _paths.pop(descriptor, None)
    os.close(descriptor)


def write(descriptor: int, offset: int, buffers: Sequence[Buffer]) -> int:
    """Write all `buffers` one after the other at `offset`; returns the bytes written. Not yet durable."""
    if _observer is not None:
        _tell("write", path_of(descriptor), offset, b"".join(bytes(b) for b in buffers))
    total = 0
    pending = list(buffers)
    while pending:
        batch = pending[:_IOV_MAX]
        wanted = sum(memoryview(b).nbytes for b in batch)
        written = os.pwritev(descriptor, batch, offset + total)
        total += written
        if written == wanted:
            del pending[: len(batch)]
            continue
        while pending and written >= memoryview(pending[0]).nbytes:  # a short write: go on where it stopped
            written -= memoryview(pending[0]).nbytes
            del pending[0]
        if written:
            pending[0] = memoryview(pending[0]).cast("B")[written:]
    return total


def create_synced(
    directory: int, name: str, buffers: Sequence[Buffer], staging: mmap.mmap | None = None
) -> None:
    """Create the file `name` (mode 0600) with `buffers` one after the other; synced, but not its name.

    Given `staging`, whole pages of memory to use meanwhile, they go past the page cache where the file
    system can do that: a fraction of the CPU, and what is read often stays cached. FileExistsError if
    there is one; any other error leaves no file, if it can.
    """
    descriptor = create(directory, name)
    try:
        try:
            if staging is None or not _write_direct(descriptor, buffers, staging):
                write(descriptor, 0, buffers)
            sync(descriptor)
        finally:
            close(descriptor)
    except BaseException:
        with suppress(OSError):
            unlink(directory, name)
        raise


def _write_direct(descriptor: int, buffers: Sequence[Buffer], staging: mmap.mmap) -> bool:
    """Write from offset 0 with O_DIRECT, by way of `staging`; False if that cannot be done here."""
    try:
        _set_direct(descriptor, True)
    except OSError:
        return False
    if _observer is not None:
        _tell("write", path_of(descriptor), 0, b"".join(bytes(b) for b in buffers))
    try:
        with memoryview(staging) as view:
            written = filled = 0
            for buffer in buffers:
                rest = memoryview(buffer).cast("B")
                while rest:
                    length = min(len(rest), len(view) - filled)
                    view[filled : filled + length] = rest[:length]
                    filled += length
                    rest = rest[length:]
                    if filled == len(view):
                        _write_whole(descriptor, view, written)
                        written += filled
                        filled = 0
            if filled:
                padded = -(-filled // ALIGNMENT) * ALIGNMENT
                view[filled:padded] = bytes(padded - filled)
                with view[:padded] as last:
                    _write_whole(descriptor, last, written)
                os.ftruncate(descriptor, sum(map(len, buffers)))
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        _set_direct(descriptor, False)
        return False
    return True


def _is_direct(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT)


def _set_direct(descriptor: int, wanted: bool) -> None:
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT)


def _write_whole(descriptor: int, view: memoryview, offset: int) -> None:
    written = 0
    while written < len(view):
        written += os.pwrite(descriptor, view[written:], offset + written)


def read(descriptor: int, offset: int, length: int) -> bytes:
    """Up to `length` bytes from `offset`; shorter only at the end of the file."""
    if _observer is not None:
        _tell("read", path_of(descriptor), offset, length)
    data = os.pread(descriptor, length, offset)
    if len(data) == length or not data:
        return data
    pieces = [data]
    got = len(data)
    while got < length:
        data = os.pread(descriptor, length - got, offset + got)
        if not data:
            break
        pieces.append(data)
        got += len(data)
    return b"".join(pieces)


def read_aligned(descriptor: int, offset: int, length: int, buffer: mmap.mmap) -> memoryview:
    """Up to `length` bytes from `offset`, as a view of `buffer`; shorter only at the end of the file.

    The way to read of a descriptor opened `past_cache`: whole pages are read, so `buffer` must be of
    `aligned_bytes(offset, length)` bytes or more.
    """
    if _observer is not None:
        _tell("read", path_of(descriptor), offset, length)
    start = offset - offset % ALIGNMENT
    wanted = aligned_bytes(offset, length)
    view = memoryview(buffer)
    got = 0
    while got < wanted:
        try:
            count = os.preadv(descriptor, [view[got:wanted]], start + got)
        except OSError as exc:
            if exc.errno != errno.EINVAL or not _is_direct(descriptor):
                raise
            _set_direct(descriptor, False)  # a file system that cannot do it and says so only now
            continue
        got += count
        if count == 0 or got % ALIGNMENT:  # the end
            break
    return view[offset - start : min(offset - start + length, got)]


def aligned_bytes(offset: int, length: int) -> int:
    """The length of the whole pages that hold `length` bytes at `offset`."""
    return -(-(offset + length) // ALIGNMENT) * ALIGNMENT - offset // ALIGNMENT * ALIGNMENT


def write_synced(descriptor: int, offset: int, buffers: Sequence[Buffer]) -> int:
    """`write` and `sync` in one call to the kernel: durable when it returns. For logs: half the system calls.

    After an error neither the bytes nor an earlier unsynced write of this descriptor may be trusted.
    """
    wanted = sum(map(len, buffers))
    if _observer is None and len(buffers) <= _IOV_MAX:
        written = os.pwritev(descriptor, buffers, offset, os.RWF_DSYNC)
        if written == wanted:
            return wanted
    write(descriptor, offset, buffers)
    sync(descriptor)
    return wanted


def sync(descriptor: int) -> None:
    """The file's bytes (and its length) are durable when this returns. Never retry it after an error."""
    if _observer is not None:
        _tell("sync", path_of(descriptor))
    os.fdatasync(descriptor)


def read_now(descriptor: int, offset: int, buffers: Sequence[bytearray | memoryview]) -> int:
    """Fill `buffers` from `offset` with what the page cache holds; the bytes got. Never waits for a drive.

    0 when nothing is cached, or where the kernel or file system cannot tell.
    """
    if _observer is not None:
        _tell("read", path_of(descriptor), offset, sum(map(len, buffers)))
    try:
        return os.preadv(descriptor, buffers, offset, os.RWF_NOWAIT)
    except OSError as exc:
        if exc.errno in (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL):
            return 0
        raise


def sync_directory(directory: int) -> None:
    """The names in `directory` are durable when this returns."""
    if _observer is not None:
        _tell("sync_directory", path_of(directory))
    os.fsync(directory)


def allocate(descriptor: int, offset: int, length: int) -> None:
    """Reserve space, so that a full drive shows up here and not in mid-write; the file grows to hold it.

    The bytes reserved read as zeros. File systems without fallocate reserve nothing.
    """
    _tell("allocate", path_of(descriptor), offset, length)
    try:
        os.posix_fallocate(descriptor, offset, length)
    except OSError as exc:
        if exc.errno not in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise


def append(directory: int, name: str, data: bytes, *, is_durable: bool = False) -> None:
    """Add `data` to the end of the file `name`, made if absent; never in part between two writers.

    For accounts that may be lost. With `is_durable` synced; the name, if new, after `sync_directory`.
    """
    path = _join(directory, name)
    _tell("append", path, data)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        if os.write(descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, "only part of it was written", path)
        if is_durable:
            _tell("sync", path)
            os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def truncate(descriptor: int, length: int) -> None:
    """Cut or extend the file to `length` bytes. Durable after `sync`."""
    _tell("truncate", path_of(descriptor), length)
    os.ftruncate(descriptor, length)


def rename(directory: int, name: str, new_name: str) -> None:
    """Give `name` the new name, replacing what had it, in one step. Durable after `sync_directory`."""
    _tell("rename", _join(directory, name), _join(directory, new_name))
    os.rename(name, new_name, src_dir_fd=directory, dst_dir_fd=directory)


def make_read_only(descriptor: int) -> None:
    """Take the right to write away from the file, for everyone who opens it later."""
    _tell("chmod", path_of(descriptor), 0o400)
    os.fchmod(descriptor, 0o400)


def forget_cached(descriptor: int, offset: int = 0, length: int = 0) -> None:
    """Drop clean pages of the file (all, or a range), so that the next read comes from the drive.

    Advice: may do nothing.
    """
    os.posix_fadvise(descriptor, offset, length, os.POSIX_FADV_DONTNEED)


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock a file or directory against other processes until the descriptor is closed; False if it is taken.

    The lock goes with the descriptor, so it ends with the process, however that ends (flock(2)).
    """
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlink(directory: int, name: str) -> None:
    """Remove the file `name`. FileNotFoundError if there is none. Durable after `sync_directory`."""
    _tell("unlink", _join(directory, name))
    os.unlink(name, dir_fd=directory)


def names(directory: int) -> list[str]:
    """The names in `directory`, in no order."""
    _tell("open", path_of(directory))
    return os.listdir(directory)


def is_in_place(descriptor: int) -> bool:
    """Whether what was opened still lies under the path it was opened under: not removed, not covered by
    a mount, not replaced. What is written to it otherwise may be durable and yet never found again."""
    path = path_of(descriptor)
    _tell("open", path)
    here = os.fstat(descriptor)
    try:
        there = os.stat(path, follow_symlinks=True)  # noqa: PTH116 - everything here is by os
    except FileNotFoundError:
        return False
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def length_of(directory: int, name: str) -> int:
    """The length of the file `name` in bytes. FileNotFoundError if there is none."""
    _tell("open", _join(directory, name))
    return os.stat(name, dir_fd=directory, follow_symlinks=False).st_size


def read_file(directory: int, name: str) -> bytes:
    """All of the file `name`. FileNotFoundError if there is none."""
    descriptor = open_file(directory, name)
    try:
        return read(descriptor, 0, os.fstat(descriptor).st_size)
    finally:
        close(descriptor)


def write_file(directory: int, name: str, data: Buffer) -> None:
    """Make `name` hold `data`, whole or not at all, even through a power cut; durable on return."""
    temporary = f"{name}.{os.urandom(8).hex()}.tmp"
    descriptor = create(directory, temporary)
    try:
        try:
            write(descriptor, 0, [data])
            sync(descriptor)
        finally:
            close(descriptor)
        rename(directory, temporary, name)
    except BaseException:
        with suppress(OSError):
            unlink(directory, temporary)
        raise
    sync_directory(directory)
