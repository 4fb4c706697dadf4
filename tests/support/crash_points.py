"""Every point at which a machine may lose power, as a tree of files that recovery is then let loose on.

`Recorder` writes down what goes through objstore.durable, in order, under several root directories.
`Disk` replays a prefix of it and says what may be left after a power cut there: bytes not synced may
be lost or torn, names not synced with their directory may be lost, a rename happens whole or not at
all. `Loss` picks one of the outcomes the file system may choose.

What is not recorded (SQLite's own files) is not there after the cut.
"""

import copy
import enum
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from objstore import durable

SECTOR_BYTES = 512


@dataclass(frozen=True)
class Operation:
    """One file operation: name, path and details as an observer of durable.py sees them."""

    name: str
    path: str
    details: tuple[Any, ...]


@dataclass
class Recorder:
    """The operations under `roots`, and what the workload said in between."""

    roots: Sequence[Path]
    operations: list[Operation] = field(default_factory=list)
    marks: list[tuple[int, Any]] = field(default_factory=list)
    """(number of operations before, what was said)."""

    def __call__(self, name: str, path: str, details: tuple[Any, ...]) -> None:
        if name not in ("open", "read") and any(
            path.startswith(f"{root}/") or path == str(root) for root in self.roots
        ):
            self.operations.append(Operation(name, path, details))

    def mark(self, said: Any) -> None:
        """Remember that this was said (an acknowledgement, say) after the operations so far."""
        self.marks.append((len(self.operations), said))

    def said_before(self, cut: int) -> list[Any]:
        """What was said when only the first `cut` operations had been begun."""
        return [said for count, said in self.marks if count <= cut]

    @contextmanager
    def recording(self) -> Iterator["Recorder"]:
        """Record while the block runs."""
        with durable.observed(self):
            yield self


class Loss(enum.Enum):
    """What the file system makes of everything that was not synced."""

    ALL = "all unsynced bytes and names are lost"
    NONE = "nothing is lost"
    BYTES = "unsynced bytes are lost, names are kept"
    NAMES = "unsynced names are lost, bytes are kept"
    TORN_HEAD = "the last write misses its first sector"
    TORN_TAIL = "the last write misses what follows its first sector"
    RANDOM = "some of it is lost, sector by sector and name by name"


@dataclass
class _File:
    synced: bytes = b""
    pending: list[tuple[str, int, bytes]] = field(default_factory=list)

    def content(self, loss: Loss, rng: random.Random, *, is_last: bool) -> bytes:
        if loss in (Loss.ALL, Loss.BYTES):
            return self.synced
        data = bytearray(self.synced)
        for number, (kind, offset, piece) in enumerate(self.pending):
            is_last_write = is_last and number == len(self.pending) - 1
            if loss is Loss.RANDOM and kind != "write" and rng.random() < 0.5:
                continue
            if kind == "truncate":
                del data[offset:]
                data.extend(bytes(offset - len(data)))
                continue
            _extend(data, offset + len(piece))
            for start in range(0, len(piece), SECTOR_BYTES):
                if kind == "write" and not _keeps(loss, rng, start, is_last_write):
                    continue
                if kind == "allocate":
                    continue
                data[offset + start : offset + start + SECTOR_BYTES] = piece[start : start + SECTOR_BYTES]
        return bytes(data)


def _extend(data: bytearray, length: int) -> None:
    if len(data) < length:
        data.extend(bytes(length - len(data)))


def _keeps(loss: Loss, rng: random.Random, start: int, is_last_write: bool) -> bool:
    if loss is Loss.RANDOM:
        return rng.random() < 0.5
    if is_last_write and loss is Loss.TORN_HEAD:
        return start > 0
    if is_last_write and loss is Loss.TORN_TAIL:
        return start == 0
    return True


@dataclass
class _Directory:
    names: dict[str, "_File | _Directory"] = field(default_factory=dict)
    synced: dict[str, "_File | _Directory"] = field(default_factory=dict)
    pending: list[tuple[str, str, Any]] = field(default_factory=list)

    def entries(self, loss: Loss, rng: random.Random) -> Mapping[str, "_File | _Directory"]:
        if loss in (Loss.ALL, Loss.NAMES):
            return self.synced
        if loss is not Loss.RANDOM:
            return self.names
        kept = dict(self.synced)
        for change in self.pending:
            if rng.random() < 0.5:
                _change(kept, change)
        return kept


def _change(names: dict[str, Any], change: tuple[str, str, Any]) -> None:
    kind, name, what = change
    if kind == "set":
        names[name] = what
    elif kind == "remove":
        names.pop(name, None)
    else:  # a rename within one directory
        new_name, moved = what
        names.pop(name, None)
        names[new_name] = moved


def _read(path: Path, into: _Directory) -> None:
    for entry in path.iterdir():
        if entry.is_dir():
            directory = into.names[entry.name] = _Directory()
            _read(entry, directory)
        else:
            into.names[entry.name] = _File(entry.read_bytes())
    into.synced = dict(into.names)


class Disk:
    """The state of the recorded trees after a prefix of the operations."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = {str(root): _Directory() for root in roots}
        self._opened: dict[str, _File] = {}
        self._last_written: _File | None = None

    @classmethod
    def of(cls, roots: Sequence[Path]) -> "Disk":
        """The trees as they are now, all of it durable."""
        disk = cls(roots)
        for root in roots:
            _read(root, disk._roots[str(root)])
        return disk

    def copy(self) -> "Disk":
        """A disk of its own in the same state."""
        return copy.deepcopy(self)

    def apply(self, operation: Operation) -> None:
        """Let one operation happen."""
        name, path, details = operation.name, operation.path, operation.details
        if name == "sync_directory":
            directory = self._find(path)
            assert isinstance(directory, _Directory)
            directory.synced = dict(directory.names)
            directory.pending.clear()
            return
        parent_path, _, leaf = path.rpartition("/")
        if name in ("mkdir", "create", "rename", "unlink", "rmdir", "append"):
            parent = self._find(parent_path)
            if isinstance(parent, _Directory):
                self._change_names(parent, name, path, leaf, details)
            return
        file = self._opened.get(path) or self._find(path)
        if not isinstance(file, _File):
            return  # an operation that was made to fail before it was begun
        if name == "sync":
            file.synced = file.content(Loss.NONE, random.Random(0), is_last=False)
            file.pending.clear()
        elif name == "write":
            file.pending.append(("write", details[0], details[1]))
            self._last_written = file
        elif name == "allocate":
            file.pending.append(("allocate", details[0], bytes(details[1])))
        elif name == "truncate":
            file.pending.append(("truncate", details[0], b""))
        else:
            raise AssertionError(f"unknown operation {name}")

    def _change_names(
        self, parent: _Directory, name: str, path: str, leaf: str, details: tuple[Any, ...]
    ) -> None:
        if name == "mkdir":
            if leaf in parent.names:
                return
            change: tuple[str, str, Any] = ("set", leaf, _Directory())
        elif name == "create":
            if leaf in parent.names:
                return
            self._opened[path] = _File()
            change = ("set", leaf, self._opened[path])
        elif name == "append":
            file = parent.names.get(leaf)
            if not isinstance(file, _File):
                file = self._opened[path] = _File()
                self._apply_name(parent, ("set", leaf, file))
            length = len(file.content(Loss.NONE, random.Random(0), is_last=False))
            file.pending.append(("write", length, details[0]))
            self._last_written = file
            return
        elif name == "rename":
            new_leaf = details[0].rpartition("/")[2]
            moved = parent.names.get(leaf)
            if moved is None:
                return
            if isinstance(moved, _File):
                self._opened[details[0]] = moved
            change = ("rename", leaf, (new_leaf, moved))
        else:
            change = ("remove", leaf, None)
        self._apply_name(parent, change)

    @staticmethod
    def _apply_name(parent: _Directory, change: tuple[str, str, Any]) -> None:
        _change(parent.names, change)
        parent.pending.append(change)

    def _find(self, path: str) -> "_File | _Directory | None":
        for root, directory in self._roots.items():
            if path == root:
                return directory
            if path.startswith(f"{root}/"):
                found: _File | _Directory | None = directory
                for name in path[len(root) + 1 :].split("/"):
                    found = found.names.get(name) if isinstance(found, _Directory) else None
                return found
        return None

    def leave(self, loss: Loss, seed: int, moved: Mapping[Path, Path]) -> None:
        """Write what is left after a power cut now; `moved` says where each root is to be rebuilt."""
        rng = random.Random(seed)
        for root, target in moved.items():
            self._write(self._roots[str(root)], target, loss, rng)

    def _write(self, directory: _Directory, target: Path, loss: Loss, rng: random.Random) -> None:
        target.mkdir(parents=True, exist_ok=True)
        for name, entry in directory.entries(loss, rng).items():
            if isinstance(entry, _Directory):
                self._write(entry, target / name, loss, rng)
                continue
            data = entry.content(loss, rng, is_last=entry is self._last_written)
            with open(target / name, "wb") as file:
                file.write(data.rstrip(b"\0"))
                file.truncate(len(data))
