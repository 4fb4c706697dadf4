"""Writes the inventories that buckets are configured with, daily or weekly.

Invariants kept here:
- A report is there when its manifest is: data files first, then symlink.txt, manifest.json, and at last
  manifest.checksum, the creation of which tells subscribers that the report is complete.
- Memory is bounded: rows are read in pages and go out as they come. A CSV file has at most CSV_ROWS_MAX
  rows; one in Parquet PARQUET_ROWS_MAX, which lie in a temporary directory while it is made.
- After each file it is written down how far the report is. A restart goes on from there; what was being
  written is begun anew.

A report lists what there was while it was made, not what there was at one moment.
"""

import hashlib
import logging
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from objstore import blocking, clock, metrics
from objstore.iam import acl
from objstore.iam.authorise import object_acl
from objstore.iam.permissions import NewObjectAccess, Permissions
from objstore.iam.principals import is_account
from objstore.iam.services import STORAGE_SERVICE, may_deliver_inventory
from objstore.jobs import inventory_files, inventory_parquet, putting, walk
from objstore.jobs.inventory_files import Column, File, Gzip, Listed
from objstore.jobs.job import JobSettings, Pace
from objstore.jobs.putting import StreamedBody, WholeBody
from objstore.meta import queries
from objstore.meta.client import Metadata
from objstore.meta.commands import SetState
from objstore.meta.rows import version_of
from objstore.model import Bucket, EncryptionMethod, ObjectVersion
from objstore.s3 import expiry, names, xml
from objstore.s3.documents.inventory import Encryption, InventoryConfiguration
from objstore.s3.documents.lifecycle import LifecycleConfiguration
from objstore.s3.encryption import ManagedKey
from objstore.service import Services
from objstore.service.failures import translate

log = logging.getLogger(__name__)

FAMILY: Final = "inventory"
LOOK_EVERY_S: Final = 30.0
CSV_ROWS_MAX: Final = 1_000_000
PARQUET_ROWS_MAX: Final = 100_000
PAGE_ROWS: Final = 1000
PIECE_BYTES: Final = 1024 * 1024
COMPLAIN_EVERY_S: Final = 3600.0
COMPLAINTS_MAX: Final = 1000
"""Reports whose refusal is remembered; past it they are complained about anew."""
DAY_MS: Final = 24 * 60 * 60 * 1000
_SUNDAY: Final = 4
"""1970 began on a Thursday: so many days later, weeks begin on Sundays."""
_STATES: Final = "inventory/"
_AFTER_STATES: Final = "inventory0"
_CONTENT_TYPES: Final = {"CSV": "application/gzip", "Parquet": "application/vnd.apache.parquet"}
_SUFFIXES: Final = {"CSV": "csv.gz", "Parquet": "parquet"}


class _Refused(Exception):
    """The destination does not take the report."""


@dataclass(frozen=True, slots=True)
class _Report:
    """A report under way."""

    bucket: Bucket
    wanted: InventoryConfiguration
    destination: Bucket
    columns: tuple[Column, ...]
    rules: LifecycleConfiguration | None
    """The bucket's lifecycle rules, where a column depends on them."""

    @property
    def base(self) -> str:
        """What all its keys begin with."""
        prefix = self.wanted.destination.s3_bucket_destination.prefix
        before = f"{prefix.rstrip('/')}/" if prefix else ""
        return f"{before}{self.bucket.name}/{self.wanted.id}"

    @property
    def form(self) -> str:
        """CSV or Parquet."""
        return self.wanted.destination.s3_bucket_destination.format


@dataclass(slots=True)
class _Position:
    """How far a report has come: after this version of this key."""

    key: str = ""
    version_id: str = ""
    is_done: bool = False


class Inventories:
    """The inventory job."""

    name = "inventories"

    def __init__(
        self,
        metadata: Metadata,
        services: Services,
        permissions: Permissions,
        settings: JobSettings,
        pace: Pace,
    ) -> None:
        self._metadata = metadata
        self._services = services
        self._permissions = permissions
        self._pace = pace
        self._day_ms = round(settings.inventory_day_s * 1000) or DAY_MS
        self._every_s = min(LOOK_EVERY_S, max(0.25, settings.inventory_day_s / 4 or LOOK_EVERY_S))
        self._complained_s: dict[str, float] = {}

    async def run(self) -> float:
        """Write what is due."""
        kept: set[str] = set()
        has_written = False
        after = ("", "")
        while page := await self._metadata.read(queries.family_members, FAMILY, after):
            for bucket, configuration_id, document in page:
                kept.add(_state_name(bucket, configuration_id))
                has_written |= await self._look(bucket, document)
            after = page[-1][0].name, page[-1][1]
        if has_written:
            await self._forget_others(kept)
        return self._every_s

    async def _forget_others(self, kept: set[str]) -> None:
        """Remove the states of configurations that are gone."""
        after = _STATES
        while page := await self._metadata.read(queries.states_between, after, _AFTER_STATES):
            for name, _ in page:
                if name not in kept:
                    await self._metadata.write(SetState(name, None))
            after = page[-1][0]

    async def _look(self, bucket: Bucket, document: bytes) -> bool:
        """Write one report if it is due; whether it was."""
        wanted = xml.parse(InventoryConfiguration, document)
        if not wanted.is_enabled:
            return False
        name = _state_name(bucket, wanted.id)
        state = await walk.load(self._metadata, name)
        period = period_of(wanted.schedule.frequency, clock.now_ms(), self._day_ms)
        if state.get("done") == period:
            return False
        digest = hashlib.sha256(document).hexdigest()
        if (state.get("under_way"), state.get("digest")) != (period, digest):
            state = {"under_way": period, "digest": digest, "began_ms": clock.now_ms(), "files": []}
        try:
            report = await self._report(bucket, wanted)
            await self._write(report, name, state)
        except _Refused as exc:
            self._complain(bucket, wanted, str(exc))
            return False
        except Exception as exc:
            error = translate(exc)
            if error is None or error.status >= 500:
                raise
            self._complain(bucket, wanted, error.message)
            return False
        await walk.save(self._metadata, name, {"done": period})
        metrics.INVENTORY_REPORTS.labels("written").inc()
        log.info("inventory %s of bucket %s is written", wanted.id, bucket.name)
        return True

    def _complain(self, bucket: Bucket, wanted: InventoryConfiguration, reason: str) -> None:
        about = f"{bucket.name}/{wanted.id}"
        now_s = clock.monotonic_s()
        if len(self._complained_s) >= COMPLAINTS_MAX:
            self._complained_s.clear()
        if now_s - self._complained_s.get(about, float("-inf")) >= COMPLAIN_EVERY_S:
            self._complained_s[about] = now_s
            metrics.INVENTORY_REPORTS.labels("refused").inc()
            log.warning("inventory %s of bucket %s cannot be written: %s", wanted.id, bucket.name, reason)

    async def _report(self, bucket: Bucket, wanted: InventoryConfiguration) -> _Report:
        """What is to be written. Raises _Refused where the destination does not take it."""
        place = wanted.destination.s3_bucket_destination
        name = place.bucket.rpartition(":")[2]
        destination = self._services.buckets.find(name)
        if destination is None:
            raise _Refused(f"there is no bucket {name}")
        if place.account_id is not None and not is_account(place.account_id, destination.owner_id):
            raise _Refused(f"bucket {name} does not belong to account {place.account_id}")
        if place.format == "Parquet" and not inventory_parquet.IS_AVAILABLE:
            raise _Refused("Parquet needs the extra `select` (DuckDB)")
        columns = inventory_files.columns_of(wanted)
        rules = None
        if any(column.name == "LifecycleExpirationDate" for column in columns):
            rules = self._services.subresources.find(bucket, "lifecycle")
        report = _Report(bucket, wanted, destination, columns, rules)
        self._check(report, f"{report.base}/data/x.{_SUFFIXES[report.form]}")
        return report

    def _check(self, report: _Report, key: str) -> None:
        names.check_key(key)
        if not may_deliver_inventory(self._permissions.authoriser, report.bucket, report.destination, key):
            raise _Refused(
                f"the policy of bucket {report.destination.name} does not let {STORAGE_SERVICE} put {key}"
            )

    # One report

    async def _write(self, report: _Report, name: str, state: dict[str, Any]) -> None:
        """Write a report, or what is left of it."""
        files = [File.of(each) for each in state["files"]]
        position = _Position(*state.get("position", ("", "", False)))
        while not position.is_done:
            file, position = await self._write_file(report, position)
            if file is not None:
                files.append(file)
            state["files"] = [each.as_state() for each in files]
            state["position"] = [position.key, position.version_id, position.is_done]
            await walk.save(self._metadata, name, state)
        began_ms = int(state["began_ms"])
        at = time.gmtime(began_ms // 1000)
        folder = f"{report.base}/{time.strftime('%Y-%m-%dT%H-%MZ', at)}"
        hive = f"{report.base}/hive/dt={time.strftime('%Y-%m-%d-%H-%M', at)}/symlink.txt"
        manifest = inventory_files.manifest(report.wanted, report.bucket, report.destination, began_ms, files)
        checksum = hashlib.md5(manifest, usedforsecurity=False).hexdigest().encode()
        await self._put(report, hive, inventory_files.symlinks(report.destination, files), "text/plain")
        await self._put(report, f"{folder}/manifest.json", manifest, "application/json")
        await self._put(report, f"{folder}/manifest.checksum", checksum, "text/plain")

    async def _write_file(self, report: _Report, start: _Position) -> tuple[File | None, _Position]:
        """Write the next file; None where there is nothing more to list. Where it ends."""
        reached = replace(start)
        rows_max = CSV_ROWS_MAX if report.form == "CSV" else PARQUET_ROWS_MAX
        pages = self._pages(report, reached, rows_max)
        first = await anext(pages, None)
        if first is None:
            return None, replace(reached, is_done=True)
        if report.form == "CSV":
            file = await self._put_csv(report, first, pages)
        else:
            file = await self._put_parquet(report, first, pages)
        return file, reached

    async def _pages(
        self, report: _Report, position: _Position, rows_max: int
    ) -> AsyncIterator[Sequence[Listed]]:
        """Pages of what is to be listed, none empty; moves `position` on with each."""
        rows = 0
        while not position.is_done and rows < rows_max:
            began_s = clock.monotonic_s()
            versions = await self._read(report, position)
            page = [self._listed(report, version) for version in versions]
            rows += len(page)
            if page:
                yield page
            await self._pace.rest(clock.monotonic_s() - began_s)

    async def _read(self, report: _Report, position: _Position) -> Sequence[ObjectVersion]:
        """The next page of versions; moves `position` on."""
        prefix = "" if report.wanted.filter is None else report.wanted.filter.prefix
        id_ = report.bucket.id
        if report.wanted.included_object_versions == "Current":
            objects = await self._metadata.read(
                queries.list_objects, id_, prefix, position.key, "", PAGE_ROWS
            )
            position.key, position.is_done = objects.last or position.key, not objects.is_truncated
            return [version_of(id_, row) for row in objects.versions]
        page = await self._metadata.read(
            queries.list_versions, id_, prefix, position.key, position.version_id, "", PAGE_ROWS
        )
        position.key, position.version_id = page.last or position.key, page.last_version_id or ""
        position.is_done = not page.is_truncated
        return page.versions

    def _listed(self, report: _Report, version: ObjectVersion) -> Listed:
        has_acls = self._permissions.authoriser.access_of(report.bucket).has_acls
        owner_id = version.owner_id if has_acls else report.bucket.owner_id
        verdict = None
        if report.rules is not None and version.is_latest and not version.is_delete_marker:
            verdict = expiry.judge(report.rules.rules, version, expiry.LATEST, expiry.REAL_DAYS)
        return Listed(
            bucket=report.bucket,
            version=version,
            owner_id=owner_id,
            acl=object_acl(version) if has_acls else acl.private(owner_id),
            expires_ms=None if verdict is None else verdict.due_ms,
        )

    async def _put_csv(
        self, report: _Report, first: Sequence[Listed], pages: AsyncIterator[Sequence[Listed]]
    ) -> File:
        compressor, digest = Gzip(), hashlib.md5(usedforsecurity=False)

        def packed(page: Sequence[Listed]) -> bytes:
            return compressor.add(inventory_files.csv_rows(report.columns, page))

        async def pieces() -> AsyncIterator[bytes]:
            piece = await blocking.run(packed, first)
            if piece:
                digest.update(piece)
                yield piece
            async for page in pages:
                piece = await blocking.run(packed, page)
                if piece:
                    digest.update(piece)
                    yield piece
            piece = compressor.end()
            digest.update(piece)
            yield piece

        key = _data_key(report)
        version = await self._put_body(report, key, StreamedBody(pieces()), _CONTENT_TYPES["CSV"])
        return File(key, version.size, digest.hexdigest())

    async def _put_parquet(
        self, report: _Report, first: Sequence[Listed], pages: AsyncIterator[Sequence[Listed]]
    ) -> File:
        digest = hashlib.md5(usedforsecurity=False)
        with tempfile.TemporaryDirectory(prefix="objstore-inventory-") as directory:
            raw, made = Path(directory) / "rows.csv", Path(directory) / "rows.parquet"

            def append(page: Sequence[Listed]) -> None:
                with raw.open("ab") as file:
                    file.write(inventory_files.raw_rows(report.columns, page))

            await blocking.run(append, first)
            async for page in pages:
                await blocking.run(append, page)
            await blocking.run(inventory_parquet.write_parquet, report.columns, raw, made)

            async def pieces() -> AsyncIterator[bytes]:
                with made.open("rb") as file:
                    while piece := await blocking.run(file.read, PIECE_BYTES):
                        digest.update(piece)
                        yield piece

            key = _data_key(report)
            version = await self._put_body(report, key, StreamedBody(pieces()), _CONTENT_TYPES["Parquet"])
        return File(key, version.size, digest.hexdigest())

    async def _put(self, report: _Report, key: str, data: bytes, content_type: str) -> None:
        await self._put_body(report, key, WholeBody(data), content_type)

    async def _put_body(
        self, report: _Report, key: str, body: WholeBody | StreamedBody, content_type: str
    ) -> ObjectVersion:
        self._check(report, key)
        return await putting.put(
            self._services,
            report.destination,
            key,
            body,
            NewObjectAccess(report.destination.owner_id),
            content_type=content_type,
            service=STORAGE_SERVICE,
            encryption=_managed_key(report.wanted.destination.s3_bucket_destination.encryption),
        )


def period_of(frequency: str, now_ms: int, day_ms: int) -> int:
    """The number of the day or week (which begins on a Sunday) that a report is for."""
    day = now_ms // day_ms
    return day if frequency == "Daily" else (day + _SUNDAY) // 7


def _state_name(bucket: Bucket, configuration_id: str) -> str:
    return f"{_STATES}{bucket.id}/{configuration_id}"


def _data_key(report: _Report) -> str:
    return f"{report.base}/data/{uuid.uuid4()}.{_SUFFIXES[report.form]}"


def _managed_key(wanted: Encryption | None) -> ManagedKey | None:
    """What the report's objects are to be encrypted with; None: as their bucket has it."""
    if wanted is None:
        return None
    if wanted.sse_kms is not None:
        return ManagedKey(EncryptionMethod.KMS, wanted.sse_kms.key_id)
    return ManagedKey(EncryptionMethod.S3)
