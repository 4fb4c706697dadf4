"""Lines on their way to somewhere slower: one process appends them to files, another takes these up.

A line goes with a head, which says where it belongs. Lines are collected in memory and appended by a
thread of their own every FLUSH_S at most, without a sync: a process that is killed loses the last FLUSH_S, a
power cut what the system had not written yet, an orderly end nothing. A file is locked (flock) while it is
written, so that whoever can lock it knows that it is complete, however its writer ended.

When files can be written nowhere, or those of a directory reach DIRECTORY_BYTES_MAX because nobody takes
them up, further lines are dropped and counted.

A file has two kinds of lines: `=<number> <head>` says once which number stands for a head in this file,
`<number> <line>` is one of its lines. A last line without its end was torn by a crash and is left out.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from objstore import clock, durable

ACCESS_LOGS: Final = "access-logs"
"""The directory of access logs, in the `system` directory of a drive."""
FLUSH_S: Final = 1.0
WAITING_BYTES_MAX: Final = 8 * 1024 * 1024
FILE_BYTES_MAX: Final = 8 * 1024 * 1024
"""A file that has this length is closed before its time, so that it can be read at once."""
DIRECTORY_BYTES_MAX: Final = 1024 * 1024 * 1024
CLOSE_S_MAX: Final = 2.0
COMPLAINT_EVERY_S: Final = 60.0
YOUNG_MS: Final = 60_000
"""An empty file younger than this may be one that its writer is about to lock."""
SUFFIX: Final = ".lines"

_log = logging.getLogger(__name__)


class Lines(Protocol):
    """Some lines that are written out later, in the spool's thread."""

    @property
    def weight(self) -> int:
        """About how many bytes they are."""
        ...

    def lines(self) -> Iterable[str]:
        """The lines, none of which contains a line feed."""
        ...


class Spool:
    """Where one process puts its lines. Thread-safe; never blocks the caller."""

    def __init__(
        self, directories: Sequence[Path], name: str, rotate_s: float, dropped: Callable[[int], None]
    ) -> None:
        """Files go to the directory `name` in the first of `directories` that takes them.

        Each is closed `rotate_s` after it was begun. `dropped` is told how many lines were lost.
        """
        self._directories = list(directories)
        self._name = name
        self._rotate_s = rotate_s
        self._flush_s = min(FLUSH_S, rotate_s / 2)
        self._dropped = dropped
        self._waiting: list[tuple[str, Lines]] = []
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._descriptor = -1
        self._size = 0
        self._began_s = 0.0
        self._complained_s = float("-inf")
        self._numbers: dict[str, int] = {}

    def put(self, head: str, lines: Lines) -> None:
        """Take lines; their head may contain no line feed."""
        size = lines.weight
        with self._lock:
            if self._waiting_bytes + size > WAITING_BYTES_MAX or self._is_closing:
                self._dropped(1)
                return
            self._waiting.append((head, lines))
            self._waiting_bytes += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Append what waits and let go of the file; waits at most CLOSE_S_MAX for a drive that hangs."""
        with self._lock:
            self._is_closing = True
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join(CLOSE_S_MAX)

    def _run(self) -> None:
        while True:
            self._wake.wait(self._flush_s)
            is_last = self._is_closing  # read before the lines are: nothing is taken after it
            with self._lock:
                waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
            if waiting:
                self._write(self._written_out(waiting))
            is_due = clock.monotonic_s() - self._began_s >= self._rotate_s
            if is_last or is_due or self._size >= FILE_BYTES_MAX:
                self._end_file()
            if is_last:
                return

    def _written_out(self, waiting: Sequence[tuple[str, Lines]]) -> list[tuple[str, str]]:
        found = []
        for head, lines in waiting:
            try:
                found += [(head, line) for line in lines.lines()]
            except Exception:  # one that cannot be written out must not stop the others
                _log.exception("a line of the %s is lost", self._name)
                self._dropped(1)
        return found

    def _write(self, lines: Sequence[tuple[str, str]]) -> None:
        for _ in range(len(self._directories) + 1):
            try:
                if self._descriptor < 0:
                    self._begin_file()
                data = self._packed(lines)
                self._size += durable.write(self._descriptor, self._size, [data])
                return
            except OSError as exc:
                self._complain(exc)
                self._end_file()
                self._directories.append(self._directories.pop(0))
        self._dropped(len(lines))

    def _complain(self, exc: OSError) -> None:
        now_s = clock.monotonic_s()
        if now_s - self._complained_s >= COMPLAINT_EVERY_S:
            self._complained_s = now_s
            _log.warning("lines of the %s cannot be written: %s", self._name, exc)

    def _packed(self, lines: Sequence[tuple[str, str]]) -> bytes:
        texts = []
        for head, line in lines:
            number = self._numbers.get(head)
            if number is None:
                number = self._numbers[head] = len(self._numbers)
                texts.append(f"={number} {head}\n")
            texts.append(f"{number} {line}\n")
        return "".join(texts).encode("utf-8", "backslashreplace")

    def _begin_file(self) -> None:
        """Open and lock a new file. Raises OSError."""
        with opened(self._directories[0], self._name, makes=True) as directory:
            sizes = 0
            for name in durable.names(directory):
                with suppress(FileNotFoundError):  # taken up meanwhile
                    sizes += durable.length_of(directory, name)
            if sizes >= DIRECTORY_BYTES_MAX:
                raise OSError(f"{sizes} bytes wait in {durable.path_of(directory)}")
            descriptor = durable.create(directory, clock.new_id().hex() + SUFFIX)
            if not durable.try_lock(descriptor):
                durable.close(descriptor)
                raise OSError("another process has locked a new file")
        self._descriptor, self._size, self._began_s = descriptor, 0, clock.monotonic_s()
        self._numbers.clear()

    def _end_file(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                durable.close(self._descriptor)
        self._descriptor, self._size = -1, 0


@contextmanager
def opened(directory: Path, name: str, *, makes: bool = False) -> Iterator[int]:
    """A descriptor of the directory `name` in an existing one. Raises OSError; FileNotFoundError without."""
    root = durable.open_root(str(directory))
    try:
        if makes:
            durable.make_directory(root, name)
        inner = durable.open_directory(root, name)
    finally:
        durable.close(root)
    try:
        yield inner
    finally:
        durable.close(inner)


def take(directory: int, name: str) -> int | None:
    """A descriptor of the file, locked, once its writer has let go of it; None before, or without a file."""
    try:
        descriptor = durable.open_file(directory, name)
    except FileNotFoundError:
        return None
    if durable.try_lock(descriptor):
        return descriptor
    durable.close(descriptor)
    return None


def complete_files(directory: int) -> list[str]:
    """The names of files, oldest first, that may be taken; the empty ones of dead writers are removed."""
    found = []
    for name in sorted(durable.names(directory)):
        if not name.endswith(SUFFIX):
            continue
        with suppress(OSError, ValueError):
            is_young = clock.id_ms(bytes.fromhex(name.removesuffix(SUFFIX))) > clock.now_ms() - YOUNG_MS
            if durable.length_of(directory, name):
                found.append(name)
            elif not is_young:
                durable.unlink(directory, name)
    return found


def lines_of(descriptor: int, size: int) -> list[tuple[str, str]]:
    """All heads and lines of a file of `size` bytes, in order. What cannot be read as either is left out."""
    heads: dict[str, str] = {}
    found = []
    *texts, _torn = durable.read(descriptor, 0, size).decode("utf-8", "replace").split("\n")
    for text in texts:
        number, _, rest = text.partition(" ")
        if number.startswith("="):
            heads[number[1:]] = rest
        elif number in heads:
            found.append((heads[number], rest))
    return found
