"""The command line: `objstore serve`, and what an operator does besides.

Commands that change users, keys or drives work while the server runs (they talk to its ledger) and
while it is stopped. Which drives are meant comes from --drive, --config or OBJSTORE_DRIVES, as for
`serve`. Every refusal is one line on standard error and exit status 1; a wrong call is 2.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click

from objstore import __version__
from objstore.config import SECRETS, Config, ConfigError, load

P = ParamSpec("P")
R = TypeVar("R")

_config_option = click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="Settings file (TOML)."
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


def _refusing(function: Callable[P, R]) -> Callable[P, R]:
    """Turn what can go wrong into one line for the operator; our own mistakes keep their traceback."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        from objstore.deployment import DeploymentError
        from objstore.encryption.keyring import KeyNameInvalid
        from objstore.encryption.provider import KmsError
        from objstore.iam.keys import UserInvalid
        from objstore.iam.users import RootKeyTaken
        from objstore.meta.interface import MetadataError, Refusal
        from objstore.storage.drive import DriveError

        try:
            return function(*args, **kwargs)
        except (
            ConfigError,
            DeploymentError,
            DriveError,
            UserInvalid,
            RootKeyTaken,
            KeyNameInvalid,
            KmsError,
        ) as exc:
            raise click.ClickException(str(exc)) from None
        except Refusal as exc:
            raise click.ClickException(f"{type(exc).__name__}: {exc}") from None
        except MetadataError as exc:
            raise click.ClickException(f"the metadata cannot be reached or written: {exc}") from None

    return wrapper


def _drives_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--drive and --config; the command gets the Config they lead to as `config`."""

    @_config_option
    @click.option(
        "--drive", "drives", multiple=True, metavar="DIR", help="A drive of the deployment; once for each."
    )
    @wraps(function)
    @_refusing
    def wrapper(*args: Any, config_path: Path | None, drives: tuple[str, ...], **kwargs: Any) -> Any:
        config = load({"drives": drives or None}, config_path)
        return function(*args, config=config, **kwargs)

    return wrapper


def _setting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """One option for every setting but the drives, which are arguments, and the secrets, which have none."""
    for name, field in reversed(Config.model_fields.items()):
        if name == "drives" or name in SECRETS:
            continue
        flag = f"--{name.replace('_', '-')}"
        if field.annotation is bool:
            option = click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=field.description)
        else:
            option = click.option(flag, name, metavar="VALUE", help=field.description)
        function = option(function)
    return function


def _run(main: Coroutine[Any, Any, R]) -> R:
    return asyncio.run(main)


def _table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    texts = [tuple(headings), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(headings))]
    for row in texts:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@click.group(context_settings={"max_content_width": 110})
@click.version_option(__version__, prog_name="objstore")
def main() -> None:
    """A self-hosted, S3-compatible object storage server."""


@main.command()
@click.argument("drives", nargs=-1, metavar="[DIR]...")
@_config_option
@_setting_options
@_refusing
def serve(drives: tuple[str, ...], config_path: Path | None, **flags: Any) -> None:
    """Serve S3 from the drives at DIR…, or from ./data divided into six directories.

    Directories that are all empty become a new deployment. Later, an empty one among them is a disk that
    is not mounted: it is left alone until `objstore drive replace` or `drive add` takes it.
    """
    config = load({**flags, "drives": drives or None}, config_path)
    from objstore import app

    app.serve(config, click.echo)


@main.command()
@click.option(
    "--rebuild-index",
    is_flag=True,
    help="Build the index anew from snapshot and journal when these were found whole; a running server "
    "pauses meanwhile.",
)
@_drives_options
def check(rebuild_index: bool, config: Config) -> None:
    """Verify the metadata, mend the journal, and rebuild the index where it differs from it.

    Exit status 1 when something is wrong that was not mended.
    """
    from objstore.upkeep import check as check_metadata

    lines, is_well = _run(check_metadata(config, rebuild_index=rebuild_index))
    for line in lines:
        click.echo(line)
    sys.exit(0 if is_well else 1)


@main.command()
@_json_option
def operations(as_json: bool) -> None:
    """List every S3 operation, and whether it is offered."""
    from objstore.api.operations import OPERATIONS

    rows = [(row.name, row.method, row.scope, "yes" if row.handler else "no") for row in OPERATIONS]
    if as_json:
        names = ("name", "method", "scope", "offered")
        click.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
    else:
        _table(("OPERATION", "METHOD", "SCOPE", "OFFERED"), rows)


@main.command()
def settings() -> None:
    """Print a settings file with every setting, its default and what it is."""
    from objstore.config import as_toml

    click.echo(as_toml(), nl=False)


# Users and keys


@main.group()
def user() -> None:
    """Accounts that own buckets."""


@user.command("add")
@click.argument("name")
@click.option("--id", "user_id", help="Canonical id; 64 random hexadecimal digits unless given.")
@click.option("--display-name", help="Shown as owner; the name unless given.")
@click.option("--email", help="E-mail address.")
@click.option("--access-key", help="Access key; random unless given.")
@click.option("--secret-key-file", type=click.File(), help="File with the secret key; random unless given.")
@_json_option
@_drives_options
def user_add(
    name: str,
    user_id: str | None,
    display_name: str | None,
    email: str | None,
    access_key: str | None,
    secret_key_file: Any,
    as_json: bool,
    config: Config,
) -> None:
    """Add the user NAME with an access key, whose secret is shown this once."""
    from objstore.iam.keys import issue
    from objstore.upkeep import metadata_and_users

    issued = issue(access_key, secret_key_file.read().strip() if secret_key_file else None)

    async def add() -> dict[str, str]:
        async with metadata_and_users(config) as (_, users):
            made = await users.add(name, issued, user_id=user_id, display_name=display_name, email=email)
        return {
            "id": made.id,
            "name": made.name,
            "display_name": made.display_name,
            "email": made.email,
            "access_key": issued.access_key,
            "secret_key": issued.secret_key,
        }

    _show(_run(add()), as_json)


def _show(made: dict[str, str], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(made))
    else:
        _table(("", ""), [(f"{name}:", value) for name, value in made.items()])


@user.command("list")
@_json_option
@_drives_options
def user_list(as_json: bool, config: Config) -> None:
    """List all users."""

    async def listed() -> list[dict[str, Any]]:
        from objstore.upkeep import metadata_and_users

        async with metadata_and_users(config) as (_, users):
            return [
                {
                    "name": one.name,
                    "id": one.id,
                    "display_name": one.display_name,
                    "email": one.email,
                    "is_root": one.is_root,
                    "is_enabled": one.is_enabled,
                }
                for one in await users.all()
            ]

    found = _run(listed())
    if as_json:
        click.echo(json.dumps(found))
    else:
        _table(
            ("NAME", "ID", "DISPLAY NAME", "E-MAIL", "STATE"),
            [
                (
                    u["name"],
                    u["id"],
                    u["display_name"],
                    u["email"],
                    "enabled" if u["is_enabled"] else "disabled",
                )
                for u in found
            ],
        )


@user.command("remove")
@click.argument("name")
@_drives_options
def user_remove(name: str, config: Config) -> None:
    """Remove the user NAME and all keys; refused while the user owns buckets."""

    async def remove() -> None:
        from objstore.upkeep import metadata_and_users

        async with metadata_and_users(config) as (_, users):
            await users.remove(name)

    _run(remove())
    click.echo(f"Removed {name}.")


@user.group("mfa")
def user_mfa() -> None:
    """Devices whose codes let versions go where MFA delete is enabled."""


@user_mfa.command("add")
@click.argument("name")
@click.option("--device", help="Name of the device; that of the user unless given.")
@_json_option
@_drives_options
def user_mfa_add(name: str, device: str | None, as_json: bool, config: Config) -> None:
    """Give the user NAME a virtual device, whose secret is shown this once.

    An authenticator app takes the secret typed in, or the URI as a QR code.
    """
    from objstore.upkeep import users_and_devices

    async def add() -> dict[str, str]:
        async with users_and_devices(config) as (users, devices):
            made = await devices.add(await users.by_name(name), device)
        return {"serial": made.serial, "secret": made.secret, "uri": made.uri}

    _show(_run(add()), as_json)


@user_mfa.command("list")
@click.argument("name")
@_json_option
@_drives_options
def user_mfa_list(name: str, as_json: bool, config: Config) -> None:
    """List the devices of the user NAME."""
    from objstore.upkeep import users_and_devices

    async def listed() -> list[dict[str, Any]]:
        async with users_and_devices(config) as (users, devices):
            return [
                {"serial": one.serial, "created_ms": one.created_ms, "wrong_codes": one.failures}
                for one in await devices.of(await users.by_name(name))
            ]

    found = _run(listed())
    if as_json:
        click.echo(json.dumps(found))
    else:
        _table(("SERIAL", "WRONG CODES"), [(one["serial"], one["wrong_codes"]) for one in found])


@user_mfa.command("remove")
@click.argument("serial")
@_drives_options
def user_mfa_remove(serial: str, config: Config) -> None:
    """Remove the device SERIAL: its codes count no longer, from the next request on."""
    from objstore.upkeep import users_and_devices

    async def remove() -> None:
        async with users_and_devices(config) as (_, devices):
            await devices.remove(serial)

    _run(remove())
    click.echo(f"Removed {serial}.")


@main.group()
def key() -> None:
    """Access keys of users."""


@key.command("add")
@click.argument("name")
@click.option("--access-key", help="Access key; random unless given.")
@click.option("--secret-key-file", type=click.File(), help="File with the secret key; random unless given.")
@_json_option
@_drives_options
def key_add(name: str, access_key: str | None, secret_key_file: Any, as_json: bool, config: Config) -> None:
    """Give the user NAME a further access key, whose secret is shown this once."""
    from objstore.iam.keys import issue
    from objstore.upkeep import metadata_and_users

    issued = issue(access_key, secret_key_file.read().strip() if secret_key_file else None)

    async def add() -> dict[str, str]:
        async with metadata_and_users(config) as (_, users):
            await users.add_key(name, issued)
        return {"name": name, "access_key": issued.access_key, "secret_key": issued.secret_key}

    _show(_run(add()), as_json)


@key.command("list")
@click.argument("name")
@_json_option
@_drives_options
def key_list(name: str, as_json: bool, config: Config) -> None:
    """List the access keys of the user NAME; secrets are never shown again."""

    async def listed() -> list[dict[str, Any]]:
        from objstore.upkeep import metadata_and_users

        async with metadata_and_users(config) as (_, users):
            return [
                {"access_key": one.access_key, "created_ms": one.created_ms, "is_enabled": one.is_enabled}
                for one in await users.keys(name)
            ]

    found = _run(listed())
    if as_json:
        click.echo(json.dumps(found))
    else:
        _table(
            ("ACCESS KEY", "STATE"),
            [(one["access_key"], "enabled" if one["is_enabled"] else "disabled") for one in found],
        )


def _key_command(
    name: str, doc: str, change: Callable[[Any, str], Coroutine[Any, Any, None]], said: str
) -> None:
    @click.argument("access_key")
    @_drives_options
    def command(access_key: str, config: Config) -> None:
        async def run() -> None:
            from objstore.upkeep import metadata_and_users

            async with metadata_and_users(config) as (_, users):
                await change(users, access_key)

        _run(run())
        click.echo(f"{said} {access_key}.")

    key.command(name, help=doc)(command)


_key_command(
    "disable",
    "Let ACCESS_KEY work no longer, from the next request on.",
    lambda users, access_key: users.set_key_enabled(access_key, False),
    "Disabled",
)
_key_command(
    "enable",
    "Let a disabled ACCESS_KEY work again.",
    lambda users, access_key: users.set_key_enabled(access_key, True),
    "Enabled",
)
_key_command(
    "remove", "Remove ACCESS_KEY.", lambda users, access_key: users.remove_key(access_key), "Removed"
)


# Drives


@main.group()
def kms() -> None:
    """Keys that encrypt objects: the server's own keyring."""


@kms.group("key")
def kms_key() -> None:
    """Master keys, each with versions of which the newest encrypts."""


@kms_key.command("create")
@click.argument("name")
@_drives_options
def kms_key_create(name: str, config: Config) -> None:
    """Make the key NAME, which clients then name in x-amz-server-side-encryption-aws-kms-key-id."""
    from objstore.upkeep import keyring

    async def create() -> None:
        async with keyring(config) as keys:
            await keys.create(name)

    _run(create())
    click.echo(f"Made key {name}.")


@kms_key.command("list")
@_json_option
@_drives_options
def kms_key_list(as_json: bool, config: Config) -> None:
    """List the keys; `sse-s3` is the one that SSE-S3 encrypts with."""
    from objstore.upkeep import keyring

    async def listed() -> list[dict[str, Any]]:
        async with keyring(config) as keys:
            return [
                {
                    "name": one.name,
                    "version": one.newest_version,
                    "created_ms": one.created_ms,
                    "is_enabled": one.is_enabled,
                }
                for one in await keys.list()
            ]

    found = _run(listed())
    if as_json:
        click.echo(json.dumps(found))
    else:
        _table(
            ("NAME", "VERSION", "STATE"),
            [(k["name"], k["version"], "enabled" if k["is_enabled"] else "disabled") for k in found],
        )


@kms_key.command("rotate")
@click.argument("name")
@_drives_options
def kms_key_rotate(name: str, config: Config) -> None:
    """Give the key NAME a new version, which encrypts from now on; older ones still decrypt."""
    from objstore.upkeep import keyring

    async def rotate() -> int:
        async with keyring(config) as keys:
            return (await keys.rotate(name)).newest_version

    click.echo(
        f"Key {name} has version {_run(rotate())} now; `objstore kms reseal` seals older data keys anew."
    )


@kms_key.command("disable")
@click.argument("name")
@_drives_options
def kms_key_disable(name: str, config: Config) -> None:
    """Let nothing be encrypted or decrypted with the key NAME until it is enabled again."""
    _set_kms_key_enabled(name, config, is_enabled=False)


@kms_key.command("enable")
@click.argument("name")
@_drives_options
def kms_key_enable(name: str, config: Config) -> None:
    """Let the key NAME be used again."""
    _set_kms_key_enabled(name, config, is_enabled=True)


def _set_kms_key_enabled(name: str, config: Config, *, is_enabled: bool) -> None:
    from objstore.upkeep import keyring

    async def change() -> None:
        async with keyring(config) as keys:
            await keys.set_enabled(name, is_enabled)

    _run(change())
    click.echo(f"Key {name} is {'enabled' if is_enabled else 'disabled'}.")


@kms.command("reseal")
@_drives_options
def kms_reseal(config: Config) -> None:
    """Seal the data key of every object under the newest version of its key; no bytes are touched.

    Exit status 1 when some could not be opened.
    """
    from objstore.upkeep import reseal_data_keys

    done = _run(reseal_data_keys(config))
    click.echo(
        f"{done.sealed} data keys sealed anew, of {done.looked_at} looked at; {done.failed} not opened."
    )
    sys.exit(1 if done.failed else 0)


@main.group()
def drive() -> None:
    """The drives of the deployment."""


@drive.command("list")
@_json_option
@_drives_options
def drive_list(as_json: bool, config: Config) -> None:
    """Show every drive: number, state, free space, path and, if something is wrong, what."""
    from dataclasses import asdict

    from objstore.upkeep import drive_statuses

    found = [asdict(status) for status in drive_statuses(config)]
    if as_json:
        click.echo(json.dumps(found))
        return
    _table(
        ("NUMBER", "STATE", "FREE", "SIZE", "PATH", "REASON"),
        [
            (
                one["number"] if one["number"] >= 0 else "-",
                one["state"],
                _gib(one["free_bytes"]),
                _gib(one["total_bytes"]),
                one["path"] or "-",
                one["reason"],
            )
            for one in found
        ],
    )


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / 2**30:.1f} GiB"


@drive.command("add")
@click.argument("directory", metavar="DIR")
@_drives_options
def drive_add(directory: str, config: Config) -> None:
    """Take the empty directory DIR as a further drive. Name it in the settings, too, for the next start."""
    from objstore.upkeep import take_drive

    click.echo(take_drive(config, Path(directory)))


@drive.command("replace")
@click.argument("directory", metavar="DIR")
@click.option(
    "--number",
    type=int,
    help="The drive it replaces; unless given, the one that was at DIR, or the only one gone.",
)
@_drives_options
def drive_replace(directory: str, number: int | None, config: Config) -> None:
    """Take the empty directory DIR in place of a lost drive, whose bytes are then rebuilt on it."""
    from objstore.upkeep import take_replacement

    click.echo(take_replacement(config, Path(directory), number))


@main.group()
def heal() -> None:
    """Repair of what lost shards."""


@heal.command("status")
@_json_option
@_drives_options
def heal_status(as_json: bool, config: Config) -> None:
    """Say how much is left to repair, or that it is complete."""
    from objstore.upkeep import heal_status

    found = _run(heal_status(config))
    click.echo(json.dumps(found.as_dict()) if as_json else str(found))
    sys.exit(0 if found.is_complete else 3)


@main.group()
def orphans() -> None:
    """Bytes on the drives that the metadata does not know."""


@orphans.command("allow")
@click.argument("count", type=click.IntRange(min=1))
@_drives_options
def orphans_allow(count: int, config: Config) -> None:
    """Let the next scan delete up to COUNT of them, once: after you made sure that no metadata was lost."""
    from objstore.upkeep import allow_orphans

    _run(allow_orphans(config, count))
    click.echo(f"The next scan may delete up to {count} orphans.")


@main.group()
def lifecycle() -> None:
    """What the buckets' lifecycle rules do."""


@lifecycle.command("plan")
@click.argument("bucket", required=False)
@_json_option
@_drives_options
def lifecycle_plan(bucket: str | None, as_json: bool, config: Config) -> None:
    """List what the rules of BUCKET, or of all buckets, would do now; nothing is changed."""
    from objstore.upkeep import lifecycle_plan

    async def show() -> None:
        async for due in lifecycle_plan(config, bucket):
            if as_json:
                click.echo(json.dumps(due))
            else:
                due["action"] = " ".join(filter(None, (due["action"], due["storage_class"])))
                click.echo("  ".join(str(due[name]) for name in ("bucket", "action", "due", "id", "key")))

    _run(show())


@lifecycle.command("trust-clock")
@_drives_options
def lifecycle_trust_clock(config: Config) -> None:
    """Say that the clock is right, after rules were held up because it seemed to have leapt ahead."""
    from objstore.upkeep import trust_clock

    _run(trust_clock(config))
    click.echo("Lifecycle rules go by the clock again.")


@main.group()
def replication() -> None:
    """Copies of buckets at other places."""


@replication.command("resync")
@click.argument("bucket")
@click.option("--rule", "rule_id", help="Id of the only rule to go by; unless given, all that are enabled.")
@_drives_options
def replication_resync(bucket: str, rule_id: str | None, config: Config) -> None:
    """Queue what the rules of BUCKET are for and is not yet where it belongs: what was there before a rule,
    and what failed."""
    from objstore.upkeep import replication_resync

    _run(replication_resync(config, bucket, rule_id))
    click.echo(
        f"What is missing of {bucket} will be sent; `objstore replication status` shows how much waits."
    )


@replication.command("status")
@_json_option
@_drives_options
def replication_status(as_json: bool, config: Config) -> None:
    """Say how much waits to be replicated, by destination."""
    from objstore.upkeep import replication_status

    found = _run(replication_status(config))
    if as_json:
        click.echo(json.dumps(found))
        return
    _table(
        ("DESTINATION", "WAITING", "BYTES", "OLDEST"),
        [(one["target"], one["waiting"], one["bytes"], one["oldest"]) for one in found],
    )


# Children of the supervisor


def _child_command(role: str) -> None:
    @main.command(f"_{role}", hidden=True)
    def command() -> None:
        from objstore import children

        children.run(role)


for _role in ("ledger", "worker", "jobs"):
    _child_command(_role)
