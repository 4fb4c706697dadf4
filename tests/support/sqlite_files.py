"""SQLite's own file operations, seen by the same observers as those of objstore.durable.

The ledger's SQLite writes its files itself. Here it does so through a VFS that tells an observer of each
operation before it happens, under the names durable.py uses (create, write, sync, truncate, unlink), and
turns an OSError raised by it into SQLite's own I/O error. Source: apsw's documentation of VFS and VFSFile;
sqlite.org/vfs.html.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw

from objstore.durable import Observer


class _File(apsw.VFSFile):
    def __init__(self, base: str, name: Any, flags: list[int], observer: Observer) -> None:
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._observer = observer
        super().__init__(base, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        with _as_sqlite_says(apsw.SQLITE_IOERR_WRITE):
            self._observer("write", self._path, (offset, bytes(data)))
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        with _as_sqlite_says(apsw.SQLITE_IOERR_FSYNC):
            self._observer("sync", self._path, ())
        super().xSync(flags)

    def xTruncate(self, newsize: int) -> None:
        with _as_sqlite_says(apsw.SQLITE_IOERR_TRUNCATE):
            self._observer("truncate", self._path, (newsize,))
        super().xTruncate(newsize)


class _Vfs(apsw.VFS):
    def __init__(self, base: str, observer: Observer) -> None:
        self._base = base
        self._observer = observer
        super().__init__("observed", base, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        return _File(self._base, name, flags, self._observer)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        with _as_sqlite_says(apsw.SQLITE_IOERR_DELETE):
            self._observer("unlink", filename, ())
        super().xDelete(filename, syncdir)


@contextmanager
def _as_sqlite_says(code: int) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise apsw.FullError(str(exc)) from exc
        failure = apsw.IOError(str(exc))
        failure.extendedresult = code
        raise failure from exc


@contextmanager
def observed(observer: Observer) -> Iterator[None]:
    """Let `observer` see (and fail) what SQLite does to its files, for connections opened in the block."""
    vfs = _Vfs(apsw.vfs_names()[0], observer)
    try:
        yield
    finally:
        vfs.unregister()
