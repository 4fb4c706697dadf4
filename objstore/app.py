"""`objstore serve`: from settings to running processes, and to an orderly stop. Children: children.py."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from objstore import creation, deployment, log, supervisor
from objstore.config import Config, ConfigError
from objstore.deployment import DeploymentError, RootCredentials
from objstore.events.kinds import TargetsError, make_targets
from objstore.iam.sealing import Sealer
from objstore.iam.users import Users
from objstore.meta.client import Metadata
from objstore.meta.interface import MetadataError
from objstore.shared_state import SharedState
from objstore.storage.drive import DriveSet, are_unformed, open_drives
from objstore.storage.interface import DriveState
from objstore.supervisor import Runtime, RuntimeDirectory, Supervisor
from objstore.tls import tls_context

RETRY_S: Final = 0.25
"""Between two attempts of the supervisor to give root its row while the ledger cannot commit."""

_log = logging.getLogger("objstore.app")


# The supervisor


def serve(config: Config, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `say` shows the operator a line.

    Raises ConfigError, DeploymentError, DriveError before anything runs.
    """
    tls_context(config)
    _check_targets(config)
    log.start(level=config.log_level, format=config.log_format, access=False)
    directories = deployment.drive_directories(config)
    if are_unformed(directories):
        creation.check(config)
    if deployment.make_divided_directories(config, directories):
        say(f"Made {len(directories)} drive directories under {directories[0].parent}.")
    drives = open_locked(config, directories)
    try:
        creation.remember(config, drives.membership.deployment)
        for line in _about_drives(config, drives):
            say(line)
        usable = usable_directories(drives)
        sealer = deployment.provide_sealer(config, usable, is_new=not deployment.holds_facts(usable))
        root = deployment.provide_root_credentials(config, usable)
        sockets = _listen(config)
        with RuntimeDirectory() as owner:
            port = sockets[0].getsockname()[1]
            deployment.write_server_file(drives, owner.runtime.path)
            document = order_document(config, directories, sealer)
            server = Supervisor(owner.runtime, document=document, sockets=sockets, drain_s=config.drain_s)

            async def prepare() -> None:
                await _provide_root(owner.runtime, sealer, root)

            def announce() -> None:
                say(greeting(config, port, root))

            asyncio.run(server.run(prepare, announce))
    finally:
        drives.close()


def _check_targets(config: Config) -> None:
    try:
        make_targets(target.get_secret_value() for target in config.targets)
    except TargetsError as exc:
        raise ConfigError(f"targets: {exc}") from None


def open_locked(config: Config, directories: Sequence[Path]) -> DriveSet:
    """The drives, locked against another server; blank ones become a new deployment together.

    Raises DeploymentError when more shards are asked for than the deployment has drives.
    """
    erasure = config.erasure
    drives = open_drives(
        directories,
        create=(erasure.data_shards, erasure.parity_shards),
        lock=True,
        reserve_bytes=config.reserve_bytes,
    )
    members = len(drives.membership.drives)
    if erasure.total_shards > members:
        drives.close()
        raise DeploymentError(
            f"erasure {erasure} needs {erasure.total_shards} drives and the deployment has {members}: "
            "allowed is what fits them, or `objstore drive add` first"
        )
    return drives


def usable_directories(drives: DriveSet) -> list[Path]:
    """Those of the drives that can be read and written now, in order of their numbers."""
    online = [drive for drive in drives if drive.state is DriveState.ONLINE]
    return [Path(drive.path) for drive in sorted(online, key=lambda drive: drive.number)]


def _about_drives(config: Config, drives: DriveSet) -> list[str]:
    lines = [
        f"Drive {status.path or status.number} is {status.state.value}: {status.reason}"
        for status in drives.status()
        if status.state is not DriveState.ONLINE
    ]
    for paths in drives.shared_devices():
        if config.erasure.parity_shards:
            lines.append(
                f"{len(paths)} drives share one disk ({paths[0]} … {paths[-1]}): they are lost together."
            )
    return lines


def _listen(config: Config) -> list[socket.socket]:
    count = config.workers or len(os.sched_getaffinity(0))
    try:
        return supervisor.listen(config.address, config.port, count)
    except OSError as exc:
        raise DeploymentError(
            f"cannot listen on {config.address} port {config.port}: {exc.strerror}"
        ) from None


async def _provide_root(runtime: Runtime, sealer: Sealer, root: RootCredentials) -> None:
    """Give root its row and key, as soon as the ledger can commit."""
    metadata = await Metadata.connect(str(runtime.ledger_socket), SharedState(runtime.state))
    try:
        while True:
            try:
                await Users(metadata, sealer).provide_root(root.issued.access_key, root.issued.secret_key)
                return
            except MetadataError as exc:
                _log.warning("root's key cannot be stored yet: %s", exc)
                await asyncio.sleep(RETRY_S)
    finally:
        await metadata.close()


def endpoint(config: Config, port: int) -> str:
    """The URL clients on this machine use."""
    scheme = "https" if config.tls_certificate else "http"
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(config.address, config.address)  # noqa: S104
    return f"{scheme}://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{port}"


def greeting(config: Config, port: int, root: RootCredentials) -> str:
    """What to paste to use the server. The secret is in it only on the day it was generated."""
    url = endpoint(config, port)
    key = root.issued.access_key
    secret = root.issued.secret_key if root.is_new else "…"
    if root.is_new:
        about = f"Root's credentials, generated now and shown this once; kept in {root.path}."
    elif root.path:
        about = f"Root's secret key is in {root.path}."
    else:
        about = "Root's credentials are the ones from the settings."
    return f"""
objstore serves S3 at {url}
{about}

  export AWS_ACCESS_KEY_ID={key} AWS_SECRET_ACCESS_KEY={secret}
  export AWS_DEFAULT_REGION={config.region} AWS_ENDPOINT_URL={url}
  aws s3 mb s3://photos
  aws s3 cp README.md s3://photos/
  aws s3 ls s3://photos

  import boto3
  s3 = boto3.client("s3", endpoint_url="{url}", region_name="{config.region}",
                    aws_access_key_id="{key}", aws_secret_access_key="{secret}")
"""


def order_document(config: Config, directories: Sequence[Path], sealer: Sealer) -> dict[str, Any]:
    """The part of a child's order (`children.Order`) that is the same for all children."""
    return {
        "config": config.for_children(),
        "directories": [str(path) for path in directories],
        "key": sealer.to_text(),
    }
