"""Whether a start may make a new deployment: empty directories may be disks that are not mounted.

One drive without its identity is refused by the others. When all are empty at once, nobody is left on the
drives who could tell a first start from a machine that came up without its disks; and a server that
formats the empty mount points serves an empty deployment from the system's disk, hands out new
credentials, and hides the real one. So what was served here is remembered elsewhere, in the state
directory: a file for each deployment, with the directories that were named. And what /etc/fstab says is
to be mounted has to be mounted before anything is made in it.

A directory that does not exist is no mount point: where a single data directory was removed, it may be
made again.
"""

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from objstore import clock, durable
from objstore.config import Config
from objstore.deployment import DeploymentError
from objstore.meta.index import STATE_NAME
from objstore.s3.xml import write_instant

STATE_SUBDIRECTORY: Final = "objstore"
FSTAB: Final = Path("/etc/fstab")

_log = logging.getLogger("objstore.creation")


def check(config: Config) -> None:
    """Raises DeploymentError when a new deployment must not be made at the configured paths.

    To be asked only where nothing on the paths says that they are drives.
    """
    if not config.may_create:
        raise DeploymentError(
            f"no drive of a deployment at {_listed(config.drives)}, and may_create is off: are they mounted?"
        )
    for path in config.drives:
        missing = _missing_mount(path)
        if missing is not None:
            raise DeploymentError(
                f"{FSTAB} mounts a file system at {missing}, and none is mounted there: "
                f"nothing is made in {path}"
            )
    if config.index_directory is not None and (config.index_directory / STATE_NAME).exists():
        raise DeploymentError(
            f"{config.index_directory} holds the index of a deployment, and {_listed(config.drives)} hold "
            "nothing: are they mounted? To begin anew, empty the index directory"
        )
    for record, said in _records(state_directory(config)):
        known = [path for path in config.drives if str(path) in said["paths"] and path.exists()]
        if known:
            raise DeploymentError(
                f"a deployment was served from {_listed(known)} (last started {said['started']}), and "
                f"{_listed(config.drives)} hold nothing now: are they mounted? "
                f"To begin anew there, remove {record}"
            )


def remember(config: Config, deployment: str) -> None:
    """Note that this deployment is served from the configured paths. Best effort: a container may have no
    place for it."""
    directory = state_directory(config)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = durable.open_root(str(directory))
        try:
            said = {
                "deployment": deployment,
                "paths": [str(path) for path in config.drives],
                "started": write_instant(clock.now_ms()),
            }
            durable.write_file(descriptor, f"{deployment}.json", json.dumps(said, indent=1).encode() + b"\n")
        finally:
            durable.close(descriptor)
    except OSError as exc:
        _log.log(
            logging.INFO if config.state_directory is None else logging.WARNING,
            "cannot remember in %s that a deployment is served here: if all drives were missing at once, "
            "a start would take it for the first one: %s",
            directory,
            exc.strerror,
        )


def state_directory(config: Config) -> Path:
    """Where deployments are remembered: the setting, else systemd's, else the user's."""
    if config.state_directory is not None:
        return config.state_directory
    given = os.environ.get("STATE_DIRECTORY", "").split(":")[0]
    if given:
        return Path(given)
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111 - never fails
    return Path(home) / STATE_SUBDIRECTORY


def _records(directory: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted(directory.glob("*.json")):
            try:
                said = json.loads(path.read_bytes())
                yield path, {"paths": list(said["paths"]), "started": str(said["started"])}
            except (OSError, ValueError, KeyError, TypeError) as exc:
                _log.warning("%s cannot be read: %s", path, exc)


def _missing_mount(path: Path) -> Path | None:
    """The mount point at or above `path` that /etc/fstab knows and at which nothing is mounted."""
    with suppress(OSError):
        for mount in _mounts(FSTAB.read_text(errors="replace")):
            if mount in (path, *path.parents) and not mount.is_mount():
                return mount
    return None


def _mounts(fstab: str) -> Iterator[Path]:
    """The mount points in the text of an fstab(5)."""
    for line in fstab.splitlines():
        fields = line.split()
        if len(fields) >= 2 and not fields[0].startswith("#") and fields[1].startswith("/"):
            yield Path(fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths))
