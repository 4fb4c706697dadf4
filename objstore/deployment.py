"""What a server finds or makes on its drives before it starts: directories, key file, root credentials.

Small secret files lie in `system/` on every drive, readable by the server's user only, so that losing
drives does not lose them. Copies that are missing (a replaced drive) are made again from the others;
copies that differ are never chosen between: the operator decides.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from objstore import durable
from objstore.config import DEFAULT_DRIVES, Config
from objstore.iam.keys import Issued, UserInvalid, issue
from objstore.iam.sealing import Sealer
from objstore.storage.drive import DriveSet
from objstore.storage.identity import IDENTITY_FILE
from objstore.supervisor import Runtime

SYSTEM_DIRECTORY: Final = "system"
KEY_FILE: Final = "secret.key"
ROOT_CREDENTIALS_FILE: Final = "root-credentials.json"
SERVER_FILE: Final = "server.json"
"""Who serves these drives, for the command line: its runtime directory, and the directories it serves."""
_DIVIDED: Final = re.compile(r"d[1-9][0-9]*")


class DeploymentError(Exception):
    """The server cannot start on what it found; the message says what and where."""


def drive_directories(config: Config) -> list[Path]:
    """The directories that are, or become, the drives; a single data directory is divided into several.

    With an erasure of one shard in all, a single directory is a drive itself.
    """
    if len(config.drives) > 1 or config.erasure.total_shards == 1:
        return list(config.drives)
    (parent,) = config.drives
    if (parent / IDENTITY_FILE).exists():
        raise DeploymentError(
            f"{parent} is a drive itself, and one drive cannot hold {config.erasure.total_shards} shards: "
            "name all drives"
        )
    count = max(DEFAULT_DRIVES, config.erasure.total_shards)
    names = {f"d{number}" for number in range(1, count + 1)}
    with suppress(FileNotFoundError):
        names |= {entry.name for entry in parent.iterdir() if _DIVIDED.fullmatch(entry.name)}
    return [parent / name for name in sorted(names, key=lambda name: int(name[1:]))]


def make_divided_directories(config: Config, directories: Sequence[Path]) -> bool:
    """Make the drive directories under a single data directory that is new; whether any was made.

    Only when none exists yet: a missing one beside others is a lost drive, not a new one. Real drives
    are never made: a path that is not there is a disk that is not mounted.
    """
    if (
        len(config.drives) > 1
        or directories == list(config.drives)
        or any(path.exists() for path in directories)
    ):
        return False
    for path in directories:
        path.mkdir(mode=0o700, parents=True)
    for path in {directories[0].parent, directories[0].parent.parent}:
        with _opened(path) as descriptor:
            durable.sync_directory(descriptor)
    return True


def holds_facts(drives: Sequence[Path]) -> bool:
    """Whether any metadata was ever written to these drives."""
    return any(_entries(drive / name) for drive in drives for name in ("journal", "snapshots", "index"))


def holds_bytes(drives: Sequence[Path]) -> bool:
    """Whether any blob lies on these drives."""
    shards = (drive / "shards" / name for drive in drives for name in _entries(drive / "shards"))
    packs = (drive / "packs" for drive in drives)
    return any(_entries(directory) for directory in (*packs, *shards))


def _entries(directory: Path) -> list[str]:
    with suppress(FileNotFoundError, NotADirectoryError), _opened(directory) as descriptor:
        return durable.names(descriptor)
    return []


def provide_sealer(config: Config, drives: Sequence[Path], *, is_new: bool) -> Sealer:
    """The deployment's key: read from the key file or the drives; made only for a new deployment.

    Raises DeploymentError when there is none although there may be secrets sealed with it, or copies differ.
    """
    if not is_new:
        sealer = read_sealer(config, drives)
    elif config.key_file is not None and not config.key_file.exists():
        sealer = Sealer.generate()
        with _opened(config.key_file.parent) as directory:
            durable.write_file(directory, config.key_file.name, sealer.to_text().encode())
    elif config.key_file is not None or read_copies(drives, KEY_FILE) is not None:
        sealer = read_sealer(config, drives)
    else:
        sealer = Sealer.generate()
    if config.key_file is None:
        write_copies(drives, KEY_FILE, sealer.to_text().encode())
    return sealer


def read_sealer(config: Config, drives: Sequence[Path]) -> Sealer:
    """The deployment's key, which must be there. Raises DeploymentError."""
    if config.key_file is None:
        text = read_copies(drives, KEY_FILE)
        if text is None:
            raise DeploymentError(
                f"no drive has {SYSTEM_DIRECTORY}/{KEY_FILE}, and this deployment was made with one: "
                "set key_file, or put the file back on one drive"
            )
        return _parse_key(text, f"{SYSTEM_DIRECTORY}/{KEY_FILE}")
    try:
        mode = config.key_file.stat().st_mode
        text = config.key_file.read_bytes()
    except OSError as exc:
        raise DeploymentError(
            f"key_file: {config.key_file}: {exc.strerror}; secrets were sealed with it"
        ) from None
    if mode & 0o077:
        raise DeploymentError(f"key_file: others can read {config.key_file}; mode 0600 is allowed")
    return _parse_key(text, str(config.key_file))


def _parse_key(text: bytes, where: str) -> Sealer:
    try:
        return Sealer.from_text(text.decode())
    except ValueError as exc:
        raise DeploymentError(f"{where}: {exc}") from None


@dataclass(frozen=True, slots=True)
class RootCredentials:
    """Root's access key and secret; `is_new` when they were generated just now and must be shown."""

    issued: Issued
    is_new: bool
    path: Path | None


def provide_root_credentials(config: Config, drives: Sequence[Path]) -> RootCredentials:
    """From the settings, else from the drives, else generated and kept on every drive."""
    if config.root_access_key is not None and config.root_secret_key is not None:
        issued = Issued(config.root_access_key, config.root_secret_key.get_secret_value())
        return RootCredentials(issued, is_new=False, path=None)
    text = read_copies(drives, ROOT_CREDENTIALS_FILE)
    is_new = text is None
    if text is None:
        issued = issue()
        text = json.dumps({"access_key": issued.access_key, "secret_key": issued.secret_key}).encode() + b"\n"
    try:
        found = json.loads(text)
        issued = issue(found["access_key"], found["secret_key"])
    except (ValueError, TypeError, KeyError, UserInvalid):
        raise DeploymentError(f"{SYSTEM_DIRECTORY}/{ROOT_CREDENTIALS_FILE} is damaged") from None
    write_copies(drives, ROOT_CREDENTIALS_FILE, text)
    return RootCredentials(issued, is_new, drives[0] / SYSTEM_DIRECTORY / ROOT_CREDENTIALS_FILE)


def read_copies(drives: Sequence[Path], name: str) -> bytes | None:
    """What the copies of a system file hold, None without any. Raises DeploymentError when they differ."""
    found: dict[bytes, Path] = {}
    for drive in drives:
        with suppress(OSError), _system_directory(drive) as directory:
            found.setdefault(durable.read_file(directory, name), drive)
    if len(found) > 1:
        paths = " and ".join(str(path / SYSTEM_DIRECTORY / name) for path in found.values())
        raise DeploymentError(f"{paths} differ: remove the wrong one")
    return next(iter(found), None)


def write_copies(drives: Sequence[Path], name: str, data: bytes) -> None:
    """See to it that every drive that takes writes has this content under `name`; at least one must."""
    failures = []
    for drive in drives:
        try:
            with _system_directory(drive) as directory:
                with suppress(FileNotFoundError):
                    if durable.read_file(directory, name) == data:
                        continue
                durable.write_file(directory, name, data)
        except OSError as exc:
            failures.append(exc)
    if len(failures) == len(drives):
        raise DeploymentError(
            f"no drive takes {SYSTEM_DIRECTORY}/{name}: {failures[0] if failures else 'none is usable'}"
        )


def remove_copies(drives: Sequence[Path], name: str) -> None:
    """Remove a system file from every drive that can be reached."""
    for drive in drives:
        with suppress(OSError), _system_directory(drive) as directory:
            durable.unlink(directory, name)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = durable.open_root(str(path))
    try:
        yield descriptor
    finally:
        durable.close(descriptor)


@contextmanager
def _system_directory(drive: Path) -> Iterator[int]:
    with _opened(drive) as root:
        directory = durable.open_directory(root, SYSTEM_DIRECTORY)
        try:
            yield directory
        finally:
            durable.close(directory)


# Finding the server that runs


def write_server_file(drives: DriveSet, runtime: Path) -> None:
    """Leave a note on every drive, for commands: where the server lives, and which directories it serves."""
    opened = [(drive, session) for drive in drives if (session := drive.session) is not None]
    places = [{"device": session.device, "inode": session.inode} for _, session in opened]
    write_copies([Path(drive.path) for drive, _ in opened], SERVER_FILE, server_note(runtime, places))


def server_note(runtime: Path, places: Sequence[Mapping[str, int]]) -> bytes:
    """The note's bytes."""
    return json.dumps({"runtime": str(runtime), "drives": places}).encode() + b"\n"


def find_server(directories: Sequence[Path]) -> Runtime | None:
    """The runtime directory of the server that serves these very directories now; None if none does.

    A note on a copy of a drive is not believed: it names the device and inode of the original.
    """
    for directory, note in _server_notes(directories):
        runtime = Runtime(Path(note["runtime"]))
        stat = directory.stat()
        places = {(place["device"], place["inode"]) for place in note["drives"]}
        if (stat.st_dev, stat.st_ino) in places and runtime.is_alive:
            return runtime
    return None


def _server_notes(directories: Sequence[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for directory in directories:
        with suppress(OSError, ValueError), _system_directory(directory) as system:
            yield directory, json.loads(durable.read_file(system, SERVER_FILE))
