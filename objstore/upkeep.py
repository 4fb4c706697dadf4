"""What an operator's commands do: reach the metadata, look at drives, take in new ones, ask about healing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from objstore import clock, deployment, supervisor
from objstore.app import order_document, usable_directories
from objstore.config import Config
from objstore.deployment import DeploymentError
from objstore.encryption.keyring import KEYS_LISTED_MAX, Keyring, seal_owner
from objstore.iam.mfa import MfaDevices
from objstore.iam.sealing import SealBroken, Sealer
from objstore.iam.users import Users
from objstore.jobs import lifecycle, orphans, walk
from objstore.jobs.heal import Heal
from objstore.jobs.resealing import Resealed, reseal
from objstore.keepers import envelopes_of, keyring_of
from objstore.meta import invariants, queries
from objstore.meta.client import Metadata
from objstore.meta.commands import SetState
from objstore.meta.commands.buckets import REPLICATION
from objstore.meta.commands.replication import resync_of, resync_state
from objstore.meta.interface import Database, OutcomeUnknown
from objstore.model import MasterKey
from objstore.s3 import xml
from objstore.s3.documents.replication import ReplicationConfiguration
from objstore.s3.expiry import Calendar
from objstore.s3.xml import write_instant
from objstore.service.encryption import EncryptionRules, Encryptions
from objstore.service.subresources import Subresources
from objstore.shared_state import SharedState
from objstore.storage.drive import add_drive, open_drives, replace_drive
from objstore.storage.interface import DriveState, DriveStatus
from objstore.supervisor import Child, Runtime, RuntimeDirectory

TEMPORARY_LEDGER_S: Final = 600.0
"""How long a command waits for a ledger it started itself; a rebuild of the index takes its time."""
REBUILD_POLL_S: Final = 0.05


@asynccontextmanager
async def metadata_and_users(
    config: Config, *, rebuild_index: bool = False
) -> AsyncIterator[tuple[Metadata, Users]]:
    """The metadata, and the users in it. Raises as `facts_of` does."""
    async with facts_of(config, rebuild_index=rebuild_index) as facts:
        yield facts.metadata, Users(facts.metadata, facts.sealer)


@asynccontextmanager
async def users_and_devices(config: Config) -> AsyncIterator[tuple[Users, MfaDevices]]:
    """The users, and the devices that show their codes. Raises as `facts_of` does."""
    async with facts_of(config) as facts:
        yield Users(facts.metadata, facts.sealer), MfaDevices(facts.metadata, facts.sealer)


@dataclass(frozen=True, slots=True)
class FactsOf:
    """A deployment's metadata, what seals its secrets, and what its processes share."""

    metadata: Metadata
    sealer: Sealer
    shared: SharedState


@asynccontextmanager
async def facts_of(config: Config, *, rebuild_index: bool = False) -> AsyncIterator[FactsOf]:
    """The metadata through the running server's ledger, or through one of our own while it is stopped.

    `rebuild_index`: have it build the index anew first. Raises DeploymentError, DriveError, Unavailable.
    """
    directories = deployment.drive_directories(config)
    runtime = deployment.find_server(directories)
    if runtime is not None:
        drives = open_drives(directories)
        try:
            sealer = deployment.read_sealer(config, usable_directories(drives))
        finally:
            drives.close()
        shared = SharedState(runtime.state)
        metadata = await Metadata.connect(str(runtime.ledger_socket), shared)
        try:
            if rebuild_index:
                await _rebuild_index(metadata, shared)
            yield FactsOf(metadata, sealer, shared)
        finally:
            await metadata.close()
        return
    drives = open_drives(directories, lock=True)
    try:
        sealer = deployment.read_sealer(config, usable_directories(drives))
        with RuntimeDirectory() as owner:
            quiet = config.model_copy(update={"log_level": "warning", "log_format": "text"})
            document = order_document(quiet, directories, sealer) | {"rebuild_index": rebuild_index}
            async with _temporary_ledger(owner.runtime, document):
                shared = SharedState(owner.runtime.state)
                metadata = await Metadata.connect(str(owner.runtime.ledger_socket), shared)
                try:
                    yield FactsOf(metadata, sealer, shared)
                finally:
                    await metadata.close()
    finally:
        drives.close()


async def _rebuild_index(metadata: Metadata, shared: SharedState) -> None:
    """Have the running ledger replaced by one that builds the index anew, and wait until it has."""
    before = shared.index_generation
    with suppress(OutcomeUnknown):  # it may be gone before it has answered
        await metadata.rebuild_index()
    async with asyncio.timeout(TEMPORARY_LEDGER_S):
        while shared.index_generation == before:  # noqa: ASYNC110 - a number in shared memory
            await asyncio.sleep(REBUILD_POLL_S)


@asynccontextmanager
async def _temporary_ledger(runtime: Runtime, document: dict[str, Any]) -> AsyncIterator[None]:
    child = Child("ledger", "_ledger", document)
    process = await supervisor.spawn(child, runtime)
    try:
        ready = asyncio.ensure_future(child.ready.wait())
        ended = asyncio.ensure_future(process.wait())
        await asyncio.wait([ready, ended], timeout=TEMPORARY_LEDGER_S, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        ended.cancel()
        if not child.ready.is_set():
            raise DeploymentError("the ledger did not start; its messages are above")
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def check(config: Config, *, rebuild_index: bool = False) -> tuple[list[str], bool]:
    """What there is to say about the metadata, and whether all is well.

    The ledger reads every byte of journals and snapshots and mends what can be mended, and compares the
    index with them, building it anew where it differs; here the index's own structure and the invariants
    between its rows are looked at, too. `rebuild_index`: when snapshots and journal were found whole, the
    index is built anew from them, whether it differs or not.

    Raises DeploymentError, DriveError, MetadataError.
    """
    async with facts_of(config) as facts:
        metadata = facts.metadata
        status = await metadata.ledger_status()
        findings = await metadata.verify_journal(is_deep=True) if status["is_writable"] else []
        damaged = await metadata.read(_quick_check)
        broken = [] if damaged else await metadata.read(invariants.violations)
        counts = await metadata.read(queries.counts)
        unopened = _unopened(await metadata.read(queries.master_keys, "", KEYS_LISTED_MAX), facts.sealer)
    lines = [
        f"index:    {status['index_path']}",
        f"journal:  {status['sequence']} commits, on drives {', '.join(map(str, status['members']))}",
        f"facts:    {counts.buckets} buckets, {counts.users} users, {counts.uploads} uploads under way, "
        f"{counts.repairs} repairs waiting",
        *(f"not written: {reason}" for reason in [status["reason"]] if reason),
        *(f"drive {number} has left the journal: {why}" for number, why in status["failed_drives"].items()),
        *findings,
        *damaged,
        *broken,
        *unopened,
    ]
    is_mended = all(finding.endswith("mended") for finding in findings)
    is_well = status["is_writable"] and is_mended and not damaged and not broken and not unopened
    if rebuild_index and status["is_writable"] and is_mended:
        async with metadata_and_users(config, rebuild_index=True) as (metadata, _):
            again = await metadata.ledger_status()
            damaged = await metadata.read(_quick_check) or await metadata.read(invariants.violations)
        lines += [f"index rebuilt: {again['index_path']}", *damaged]
        is_well = again["is_writable"] and not damaged and not unopened
    elif rebuild_index:
        lines.append("index not rebuilt: what it would be built from is not whole")
    return [*lines, "all is well" if is_well else "NOT well"], is_well


def _quick_check(db: Database) -> list[str]:
    found = [str(row[0]) for row in db.rows("PRAGMA quick_check(10)")]
    return [] if found == ["ok"] else [f"index damaged: {line}" for line in found]


def _unopened(keys: Sequence[MasterKey], sealer: Sealer) -> list[str]:
    """Which versions of master keys the key file does not open: what they encrypted cannot be read."""
    found = []
    for key in keys:
        try:
            sealer.open(key.secret_sealed, seal_owner(key.name, key.version))
        except SealBroken as exc:
            found.append(f"master key {key.name}, version {key.version}, does not open: {exc}")
    return found


# Drives


def drive_statuses(config: Config) -> Sequence[DriveStatus]:
    """Every path and every member of the deployment, looked at now, with or without a server running."""
    drives = open_drives(deployment.drive_directories(config))
    try:
        return drives.status()
    finally:
        drives.close()


def take_drive(config: Config, directory: Path) -> str:
    """Make the empty `directory` a further drive; what to tell the operator. Raises DriveError."""
    directories = deployment.drive_directories(config)
    made = add_drive(directories, directory)
    return f"Drive {made.number} is at {directory}."


def take_replacement(config: Config, directory: Path, number: int | None) -> str:
    """Make the empty `directory` a drive in place of drive `number`, or else of the one that was there, or of
    the only one that is gone; what to tell the operator. Raises DriveError."""
    made = replace_drive(deployment.drive_directories(config), directory, number)
    return f"Drive {made.number} is at {directory}; what the lost one held is being rebuilt."


@dataclass(frozen=True, slots=True)
class HealStatus:
    """Whether every blob is whole, as far as a complete walk and the repair queue know."""

    is_complete: bool
    repairs_waiting: int
    at_risk: int
    drives_not_online: int
    drives_to_heal: int

    def __str__(self) -> str:
        if self.is_complete:
            return "complete: every blob has all its shards"
        return (
            f"not healed: {self.drives_to_heal} drives to heal, {self.drives_not_online} drives not online, "
            f"{self.repairs_waiting} repairs waiting, {self.at_risk} blobs at risk after the last walk"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


async def heal_status(config: Config) -> HealStatus:
    """How far healing is. Raises DeploymentError, DriveError, MetadataError."""
    members = [status for status in drive_statuses(config) if status.number >= 0]
    async with metadata_and_users(config) as (metadata, _):
        state = await walk.load(metadata, Heal.STATE)
        counts = await metadata.read(queries.counts)
        is_empty = not await metadata.read(queries.blobs_after, b"", 1)
    online = {status.uuid for status in members if status.state is DriveState.ONLINE}
    to_heal = 0 if is_empty else len(online - set(state.get("healed", ())))
    at_risk = int(state.get("at_risk", 0))
    away = len({status.number for status in members}) - len(online)
    return HealStatus(
        is_complete=not (to_heal or away or counts.repairs or at_risk),
        repairs_waiting=counts.repairs,
        at_risk=at_risk,
        drives_not_online=away,
        drives_to_heal=to_heal,
    )


async def allow_orphans(config: Config, count: int) -> None:
    """Let the next scan for orphans delete up to `count`, once. Raises as `metadata_and_users`."""
    async with metadata_and_users(config) as (metadata, _):
        await metadata.write(SetState(orphans.ALLOW_STATE, str(count).encode()))


# Replication


async def replication_resync(config: Config, bucket_name: str, rule_id: str | None) -> None:
    """Have what is there of a bucket, and what failed, be replicated by its rules, or by one of them.

    Raises DeploymentError where there is no such bucket or enabled rule; else as `metadata_and_users`.
    """
    async with metadata_and_users(config) as (metadata, _):
        bucket = await metadata.read(queries.bucket_by_name, bucket_name)
        if bucket is None:
            raise DeploymentError(f"there is no bucket {bucket_name}")
        document = await metadata.read(queries.subresource, bucket.id, REPLICATION)
        rules = () if document is None else xml.parse(ReplicationConfiguration, document).rules
        if not any(rule.status == "Enabled" and rule_id in (None, rule.id) for rule in rules):
            what = "no enabled rule" if rule_id is None else f"no enabled rule {rule_id}"
            raise DeploymentError(f"{bucket_name} has {what}")
        await metadata.write(SetState(resync_state(bucket.id), resync_of(rule_id, is_asked_for=True)))


async def replication_status(config: Config) -> list[dict[str, Any]]:
    """What waits to be replicated, by destination. Raises as `metadata_and_users`."""
    async with metadata_and_users(config) as (metadata, _):
        found = await metadata.read(queries.replications_by_target)
    return [
        {"target": target, "waiting": count, "bytes": size, "oldest": write_instant(since_ms)}
        for target, count, size, since_ms in found
    ]


# Lifecycle


async def lifecycle_plan(config: Config, bucket: str | None) -> AsyncIterator[dict[str, Any]]:
    """What lifecycle rules would do now, in one bucket or in all. Raises as `metadata_and_users`."""
    calendar = Calendar.of(config.lifecycle_debug_day_s)
    tiers = [tier.partition("=")[0] for tier in config.tiers]
    async with metadata_and_users(config) as (metadata, _):
        async for due in lifecycle.plan(metadata, bucket, calendar, tiers):
            yield {
                "bucket": due.bucket.name,
                "action": due.verdict.action.value,
                "key": due.key,
                "id": due.id,
                "rule": due.verdict.rule_id,
                "due": write_instant(due.verdict.due_ms),
                "size": 0 if due.version is None else due.version.size,
                "storage_class": due.verdict.storage_class or None,
            }


async def trust_clock(config: Config) -> None:
    """Let lifecycle rules go by the clock as it stands now. Raises as `metadata_and_users`."""
    async with metadata_and_users(config) as (metadata, _):
        await metadata.write(SetState(lifecycle.TRUSTED_STATE, str(clock.now_ms()).encode()))


# Keys


@asynccontextmanager
async def keyring(config: Config) -> AsyncIterator[Keyring]:
    """The server's own master keys. Raises as `facts_of` does."""
    async with facts_of(config) as facts:
        yield keyring_of(facts.metadata, facts.sealer, facts.shared)


async def reseal_data_keys(config: Config) -> Resealed:
    """Seal data keys anew that older versions of their keys seal: see `jobs.resealing`."""
    async with facts_of(config) as facts:
        envelopes = envelopes_of(config, keyring_of(facts.metadata, facts.sealer, facts.shared))
        subresources = Subresources(facts.metadata, facts.shared)
        encryptions = Encryptions(envelopes, subresources, EncryptionRules())
        try:
            return await reseal(facts.metadata, encryptions)
        finally:
            await encryptions.close()
