"""Spool files: delivered, merged, kept while nothing can be put, passed by while a drive hangs."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from objstore import clock, durable, spool
from objstore.iam.permissions import Permissions
from objstore.jobs import access_logs
from objstore.jobs.access_logs import AccessLogs
from objstore.jobs.job import JobSettings
from objstore.meta import queries
from objstore.meta.commands import CreateBucket, SetSubresource
from objstore.meta.interface import Unavailable
from objstore.model import Bucket
from objstore.s3 import xml
from objstore.s3.access_log import Record
from objstore.s3.documents.logging import (
    BucketLoggingStatus,
    LoggingEnabled,
    PartitionedPrefix,
    TargetObjectKeyFormat,
)
from objstore.service import build_services
from objstore.service.buckets import BucketRules
from objstore.service.encryption import EncryptionRules
from objstore.service.watches import LogHead
from objstore.spool import ACCESS_LOGS, Spool
from tests.service.support import DictStore, LocalFacts
from tests.support.keys import envelopes_over
from tests.support.shared import AlwaysMoved

OWNER = "a" * 64
DAY_MS = 24 * 60 * 60 * 1000
POLICY = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::target/*",
    },
}


class Scene:
    """Two drives with spools, a bucket that logs go to, and the job that brings them there."""

    def __init__(self, directory: Path) -> None:
        self.facts, self.store = LocalFacts(), DictStore()
        shared: Any = AlwaysMoved()
        services = build_services(
            self.facts,
            self.store,
            shared,
            0,
            BucketRules(("us-east-1",)),
            envelopes_over(self.facts),
            EncryptionRules(),
        )
        self.drives = (directory / "1", directory / "2")
        for drive in self.drives:
            drive.mkdir()
        settings = JobSettings(spool_directories=self.drives)
        self.job = AccessLogs(services, Permissions(self.facts, shared), settings)
        self.target: Bucket = asyncio.run(self.facts.write(CreateBucket("target", OWNER, "us-east-1")))
        self.allow()

    def allow(self, policy: Any = POLICY) -> None:
        document = None if policy is None else json.dumps(policy).encode()
        asyncio.run(self.facts.write(SetSubresource(self.target.id, "policy", document)))

    def leave(self, *records: Record, drive: int = 0, by_day: bool = False, bucket: str = "source") -> None:
        """Have a process leave lines and end."""
        form = TargetObjectKeyFormat(partitioned_prefix=PartitionedPrefix(partition_date_source="EventTime"))
        enabled = LoggingEnabled(
            target_bucket="target", target_prefix="", target_object_key_format=form if by_day else None
        )
        document = xml.dumps(BucketLoggingStatus(logging_enabled=enabled)).decode()
        head = LogHead(bucket, 7, OWNER, "us-east-1", document).pack()
        lines = Spool([self.drives[drive]], ACCESS_LOGS, 3600.0, lambda count: None)
        for record in records:
            lines.put(head, record)
        lines.close()

    def run(self) -> float:
        return asyncio.run(self.job.run())

    def delivered(self) -> dict[str, list[str]]:
        """The request ids in each object."""
        found = {}
        page = self.facts.db.read(queries.list_objects, self.target.id)
        for listed in page.versions:
            version = self.facts.db.read(queries.current, self.target.id, listed.key)
            assert version is not None and version.blob is not None
            lines = self.store.blobs[version.blob.locator].decode().splitlines()
            found[listed.key] = [line.split()[6] for line in lines]
        return found

    def waiting(self) -> int:
        return sum(len(list(drive.glob(f"{ACCESS_LOGS}/*"))) for drive in self.drives)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def record(request_id: str, time_ms: int = DAY_MS) -> Record:
    return Record(
        owner_id=OWNER, bucket="source", time_ms=time_ms, operation="REST.GET.OBJECT", request_id=request_id
    )


def test_files_of_several_processes_become_one_object(scene):
    scene.leave(record("1"), record("2"))
    scene.leave(record("3"))
    scene.run()
    assert list(scene.delivered().values()) == [["1", "2", "3"]]
    assert scene.waiting() == 0
    scene.run()
    assert len(scene.delivered()) == 1


def test_days_are_apart_where_the_key_names_the_day(scene):
    scene.leave(record("1", DAY_MS), record("2", 2 * DAY_MS), record("3", DAY_MS + 1), by_day=True)
    scene.run()
    days = {key.split("/")[3:6][-1]: ids for key, ids in scene.delivered().items()}
    assert days == {"02": ["1", "3"], "03": ["2"]}


def test_buckets_are_apart(scene):
    scene.leave(record("1"), bucket="one")
    scene.leave(record("2"), bucket="two")
    scene.run()
    assert sorted(scene.delivered().values()) == [["1"], ["2"]]


def test_lines_wait_while_nothing_can_be_committed(scene):
    scene.leave(record("1"))

    def fail(command: Any) -> None:
        raise Unavailable("no ledger")

    scene.facts.fail = fail
    with pytest.raises(Unavailable):
        scene.run()
    assert scene.waiting() == 1
    scene.facts.fail = lambda command: None
    scene.run()
    assert list(scene.delivered().values()) == [["1"]] and scene.waiting() == 0


@pytest.mark.parametrize("why", ["no policy", "no bucket", "other owner"])
def test_what_the_target_does_not_take_is_dropped_once(scene, why, monkeypatch, caplog):
    if why == "no policy":
        scene.allow(None)
    elif why == "no bucket":
        monkeypatch.setattr(scene.job._services.buckets, "find", lambda name: None)
    else:
        monkeypatch.setattr("tests.jobs.test_access_logs.OWNER", "b" * 64)
    scene.leave(record("1"))
    scene.leave(record("2"), drive=1)
    scene.run()
    assert scene.delivered() == {} and scene.waiting() == 0
    assert caplog.text.count("the access log of bucket source cannot be delivered") == 1


def test_damaged_files_are_no_obstacle(scene):
    scene.leave(record("1"))
    with spool.opened(scene.drives[0], ACCESS_LOGS) as directory:
        durable.write_file(
            directory, clock.new_id().hex() + spool.SUFFIX, b"=0 no-json\n0 12 x\n\xff\x00\n0 y\n"
        )
    scene.run()
    assert list(scene.delivered().values()) == [["1"]] and scene.waiting() == 0


def test_a_drive_that_hangs_hangs_alone(scene, monkeypatch):
    monkeypatch.setattr(access_logs, "DRIVE_S_MAX", 0.1)
    scene.leave(record("1"), drive=0)
    scene.leave(record("2"), drive=1)
    goes_on = threading.Event()
    opened = spool.opened

    def hanging(directory: Path, name: str) -> Any:
        if directory == scene.drives[0]:
            goes_on.wait(10)
        return opened(directory, name)

    monkeypatch.setattr(access_logs.spool, "opened", hanging)
    try:
        for _ in range(2):
            scene.run()
        assert list(scene.delivered().values()) == [["2"]]
    finally:
        goes_on.set()


def test_much_is_delivered_in_several_objects(scene, monkeypatch):
    monkeypatch.setattr(access_logs, "BATCH_BYTES_MAX", 1)
    scene.leave(record("1"))
    scene.leave(record("2"))
    scene.run()
    assert sorted(scene.delivered().values()) == [["1"], ["2"]]
