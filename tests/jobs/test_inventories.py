"""Inventories of many files, of odd values, and after interruptions; over stores in memory."""

import asyncio
import csv
import gzip
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from objstore import clock
from objstore.iam.permissions import Permissions
from objstore.jobs import inventories, inventory_files, inventory_parquet
from objstore.jobs.inventories import Inventories, period_of
from objstore.jobs.job import JobSettings, Pace
from objstore.meta import queries
from objstore.meta.commands import CreateBucket, PutVersion, SetNotification, SetSubresource
from objstore.model import Attributes, Bucket
from objstore.s3 import xml
from objstore.s3.documents.inventory import (
    Destination,
    Filter,
    InventoryConfiguration,
    S3BucketDestination,
    Schedule,
)
from objstore.service import build_services
from objstore.service.buckets import BucketRules
from objstore.service.encryption import EncryptionRules
from tests.service.support import DictStore, LocalFacts
from tests.support.keys import envelopes_over
from tests.support.shared import AlwaysMoved

OWNER = "a" * 64
POLICY = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::reports/*",
    },
}
DAY_MS = inventories.DAY_MS


class Scene:
    """A bucket with an inventory, and the job that writes it."""

    def __init__(self, **changes: Any) -> None:
        self.facts, self.store = LocalFacts(), DictStore()
        shared: Any = AlwaysMoved()
        self.services = build_services(
            self.facts,
            self.store,
            shared,
            0,
            BucketRules(("us-east-1",)),
            envelopes_over(self.facts),
            EncryptionRules(),
        )
        self.permissions = Permissions(self.facts, shared)
        metadata: Any = self.facts
        self.job = Inventories(
            metadata, self.services, self.permissions, JobSettings(), Pace(1.0, lambda: False)
        )
        self.source = self.make_bucket("source")
        self.reports = self.make_bucket("reports")
        self.run_command(SetSubresource(self.reports.id, "policy", json.dumps(POLICY).encode()))
        self.configure(**changes)

    def run_command(self, command: Any) -> Any:
        return asyncio.run(self.facts.write(command))

    def make_bucket(self, name: str) -> Bucket:
        made: Bucket = self.run_command(CreateBucket(name, OWNER, "us-east-1"))
        return made

    def configure(self, *, form: Any = "CSV", versions: Any = "Current", prefix: str | None = None) -> None:
        wanted = InventoryConfiguration(
            id="i",
            is_enabled=True,
            included_object_versions=versions,
            schedule=Schedule(frequency="Daily"),
            filter=None if prefix is None else Filter(prefix=prefix),
            optional_fields=("Size",),
            destination=Destination(
                s3_bucket_destination=S3BucketDestination(bucket="arn:aws:s3:::reports", format=form)
            ),
        )
        self.run_command(SetSubresource(self.source.id, "inventory/i", xml.dumps(wanted)))

    def put(self, key: str) -> None:
        self.run_command(
            PutVersion(
                self.source.id,
                key,
                0,
                "d41d8cd98f00b204e9800998ecf8427e",
                OWNER,
                Attributes(),
                version_id="null",
            )
        )

    def keys(self, ending: str) -> list[str]:
        page = self.facts.db.read(queries.list_objects, self.reports.id)
        return [listed.key for listed in page.versions if listed.key.endswith(ending)]

    def read(self, key: str) -> bytes:
        version = self.facts.db.read(queries.current, self.reports.id, key)
        assert version is not None
        return b"" if version.blob is None else self.store.blobs[version.blob.locator]

    def listed(self) -> list[str]:
        """The keys in the files that the one manifest names, in order."""
        (manifest,) = self.keys("manifest.json")
        found = []
        for file in json.loads(self.read(manifest))["files"]:
            rows = csv.reader(io.StringIO(gzip.decompress(self.read(file["key"])).decode()))
            found += [row[1] for row in rows]
        return found

    def run(self) -> float:
        return asyncio.run(self.job.run())


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventories, "PAGE_ROWS", 3)
    monkeypatch.setattr(inventories, "CSV_ROWS_MAX", 6)
    monkeypatch.setattr(inventories, "PARQUET_ROWS_MAX", 6)


@pytest.mark.parametrize("versions", ["Current", "All"])
@pytest.mark.parametrize("count", [0, 1, 3, 6, 7, 12, 20])
def test_every_key_is_in_one_file(count, versions):
    scene = Scene(versions=versions)
    wanted = [f"k{number:03}" for number in range(count)]
    for key in wanted:
        scene.put(key)
    scene.run()
    assert scene.listed() == wanted
    assert len(scene.keys(".csv.gz")) == -(-count // 6)


def test_only_keys_under_the_prefix():
    scene = Scene(prefix="b")
    for key in ("a1", "b1", "b2", "c1"):
        scene.put(key)
    scene.run()
    assert scene.listed() == ["b1", "b2"]


def test_once_a_day():
    scene = Scene()
    with clock.held(10 * DAY_MS) as advance:
        scene.run()
        scene.run()
        assert len(scene.keys("manifest.checksum")) == 1
        advance(DAY_MS)
        scene.run()
        assert len(scene.keys("manifest.checksum")) == 2


def test_weeks_begin_on_sundays():
    sunday = 1_704_585_600_000  # 2024-01-07
    week = period_of("Weekly", sunday, DAY_MS)
    assert period_of("Weekly", sunday - 1, DAY_MS) == week - 1
    assert period_of("Weekly", sunday + 7 * DAY_MS - 1, DAY_MS) == week
    assert period_of("Daily", sunday, DAY_MS) - period_of("Daily", sunday - 1, DAY_MS) == 1


@pytest.mark.parametrize("calls", range(1, 12))
def test_an_interrupted_report_goes_on_and_is_seen_when_it_is_whole(calls):
    """Fails at each command in turn, as a crash would, and runs again."""
    scene = Scene()
    wanted = [f"k{number:03}" for number in range(14)]
    for key in wanted:
        scene.put(key)
    left = calls

    def fail(command: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError("power cut")

    scene.facts.fail = fail
    try:
        scene.run()
    except OSError:
        assert not scene.keys("manifest.checksum") or calls > 9
    scene.facts.fail = lambda command: None
    scene.run()
    assert scene.listed() == wanted
    assert len(scene.keys("manifest.checksum")) == 1
    assert len(scene.keys(".csv.gz")) <= 4  # at most one was written and not yet written down


def test_states_of_configurations_that_are_gone_are_forgotten():
    scene = Scene()
    scene.run()
    assert [name for name, _ in scene.facts.db.read(queries.states_between, "inventory/", "inventory0")]
    other = scene.make_bucket("other")
    document = scene.facts.db.read(queries.subresource, scene.source.id, "inventory/i")
    scene.run_command(SetSubresource(scene.source.id, "inventory/i", None))
    scene.run_command(SetSubresource(other.id, "inventory/i", document))
    scene.run()
    states = scene.facts.db.read(queries.states_between, "inventory/", "inventory0")
    assert [name for name, _ in states] == [f"inventory/{other.id}/i"]


def test_parquet_of_several_files_and_odd_keys(tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="Parquet inventories are not tested: no duckdb")
    assert inventory_parquet.IS_AVAILABLE
    scene = Scene(form="Parquet")
    wanted = sorted(
        ['a,"b"', "c\nd", "e%2Ff", "g+h i", "ü/\u20ac", "NULL", "'", "\\", "\x01"], key=str.encode
    )
    for key in wanted:
        scene.put(key)
    scene.run()
    (manifest,) = scene.keys("manifest.json")
    found = []
    for number, file in enumerate(json.loads(scene.read(manifest))["files"]):
        path = tmp_path / f"{number}.parquet"
        path.write_bytes(scene.read(file["key"]))
        found += [row[0] for row in duckdb.sql(f"SELECT key FROM '{path}'").fetchall()]
    assert found == wanted


def test_every_optional_field_has_a_column():
    from objstore.s3.documents.inventory import OPTIONAL_FIELDS

    assert {column.name for column in inventory_files.OPTIONAL} == OPTIONAL_FIELDS
    names = [column.parquet_name for column in (*inventory_files.ALWAYS, *inventory_files.OF_VERSIONS)]
    assert names == ["bucket", "key", "version_id", "is_latest", "is_delete_marker"]
    assert replace(inventory_files.OPTIONAL[0], name="x").type == "BIGINT"


def test_reports_are_told_of_as_new_objects():
    scene = Scene()
    document = (
        b"<NotificationConfiguration><QueueConfiguration><Id>q</Id><Queue>arn:aws:sqs:us-east-1:0:audit</Queue>"
        b"<Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>"
    )
    scene.run_command(SetNotification(scene.reports.id, document, ()))
    scene.run()
    events = scene.facts.db.read(queries.events_for, "audit")
    assert [(event.event, event.key.rpartition("/")[2]) for event in events] == [
        ("s3:ObjectCreated:Put", "symlink.txt"),
        ("s3:ObjectCreated:Put", "manifest.json"),
        ("s3:ObjectCreated:Put", "manifest.checksum"),
    ]
