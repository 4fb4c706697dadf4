"""RestoreObject: what is refused and what is answered. How bytes go and come: tests/test_tiers.py."""

import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.operations.refusals import refused
from tests.operations.requests import send
from tests.operations.sharing import policy, statement
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server, free_port
from tests.test_tiers import wait_until

DAY_S = 0.5
BODY = b"restored" * 100
NAME = {"Bucket": "archive", "Key": "key"}
MOVED_AT_ONCE = {"Date": "2024-01-01T00:00:00Z"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that is its own tier, and what lies there: `key` (GLACIER), `deep` (DEEP_ARCHIVE)."""
    server = Server(tmp_path_factory.mktemp("archive"), workers=1)
    server.port = free_port()
    remote = {"name": "self", "url": server.endpoint}
    keys = {"access_key": ROOT_ACCESS_KEY, "secret_key": ROOT_SECRET_KEY}
    server.environment["OBJSTORE_REMOTES"] = json.dumps([remote | keys])
    server.environment["OBJSTORE_TIERS"] = "GLACIER=self/tier/g,DEEP_ARCHIVE=self/tier/d"
    server.options += ["--lifecycle-debug-day-s", str(DAY_S)]
    server.start()
    try:
        s3 = server.client()
        s3.create_bucket(Bucket="tier")
        s3.create_bucket(Bucket="archive")
        for key in ("key", "fresh", "deep", "listed"):
            s3.put_object(Bucket="archive", Key=key, Body=BODY)
        s3.put_object(Bucket="archive", Key="plain", Body=BODY)
        s3.put_object(Bucket="archive", Key="label", Body=BODY, StorageClass="GLACIER_IR")
        rules = [
            {
                "ID": key,
                "Status": "Enabled",
                "Filter": {"And": {"Prefix": key, "ObjectSizeGreaterThan": 0}},
                "Transitions": [{**MOVED_AT_ONCE, "StorageClass": storage_class}],
            }
            for key, storage_class in (
                ("key", "GLACIER"),
                ("fresh", "GLACIER"),
                ("deep", "DEEP_ARCHIVE"),
                ("listed", "GLACIER"),
            )
        ]
        s3.put_bucket_lifecycle_configuration(Bucket="archive", LifecycleConfiguration={"Rules": rules})
        for key in ("key", "fresh", "deep", "listed"):
            wait_until(lambda key=key: "StorageClass" in s3.head_object(Bucket="archive", Key=key))
        s3.delete_bucket_lifecycle(Bucket="archive")
        yield server
        assert server.stop() == 0, server.log_tail()
    finally:
        if server.process is not None:
            server.kill()


@pytest.fixture(scope="module")
def glacier(archive: Server) -> Any:
    """Root's client of that server."""
    return archive.client()


def restore(s3: Any, days: int | None = 1000, *, key: str = "key", **more: Any) -> int:
    """The status of the answer."""
    wanted = {} if days is None else {"Days": days}
    answer = s3.restore_object(Bucket="archive", Key=key, RestoreRequest={**wanted, **more})
    status: int = answer["ResponseMetadata"]["HTTPStatusCode"]
    return status


def test_first_202_then_200_and_the_headers_tell(glacier):
    assert "Restore" not in glacier.head_object(**NAME)
    assert refused(glacier.get_object, **NAME) == (403, "InvalidObjectState")
    assert restore(glacier, Tier="Bulk") == 202
    said = wait_until(lambda: "false" in (said := glacier.head_object(**NAME)["Restore"]) and said)
    got = glacier.get_object(**NAME)
    assert got["Body"].read() == BODY and got["Restore"] == said and got["StorageClass"] == "GLACIER"
    until = said.partition('expiry-date="')[2].removesuffix('"')
    assert datetime.strptime(until, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC) > datetime.now(UTC)
    assert restore(glacier, 5000) == 200
    assert glacier.head_object(**NAME)["Restore"] != said


def test_a_second_request_while_the_first_is_under_way(archive, glacier):
    """The jobs process stands still meanwhile, so that the restore does."""
    (jobs,) = archive.children()["jobs"]
    os.kill(jobs, signal.SIGSTOP)
    try:
        name = {"Bucket": "archive", "Key": "fresh"}
        assert restore(glacier, key="fresh") == 202
        assert glacier.head_object(**name)["Restore"] == 'ongoing-request="true"'
        again = {"RestoreRequest": {"Days": 1}}
        assert refused(glacier.restore_object, **name, **again) == (409, "RestoreAlreadyInProgress")
        assert refused(glacier.get_object, **name) == (403, "InvalidObjectState")
        (listed,) = glacier.list_objects_v2(
            Bucket="archive", Prefix="fresh", OptionalObjectAttributes=["RestoreStatus"]
        )["Contents"]
        assert listed["RestoreStatus"] == {"IsRestoreInProgress": True}
    finally:
        os.kill(jobs, signal.SIGCONT)


@pytest.mark.parametrize("key", ["plain", "label"])
def test_only_archived_objects_are_restored(glacier, key):
    wanted = {"Bucket": "archive", "Key": key, "RestoreRequest": {"Days": 1}}
    assert refused(glacier.restore_object, **wanted) == (403, "InvalidObjectState")
    assert glacier.get_object(Bucket="archive", Key=key)["Body"].read() == BODY


def test_where_no_tier_is_configured_the_class_is_a_label_and_restores_are_answered(s3, bucket):
    name = {"Bucket": bucket, "Key": "key"}
    s3.put_object(**name, Body=BODY, StorageClass="GLACIER")
    assert s3.get_object(**name)["Body"].read() == BODY
    first = s3.restore_object(**name, RestoreRequest={"Days": 2})
    assert first["ResponseMetadata"]["HTTPStatusCode"] == 202
    wait_until(lambda: "false" in s3.head_object(**name)["Restore"])
    again = s3.restore_object(**name, RestoreRequest={"Days": 3})
    assert again["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert s3.get_object(**name)["Body"].read() == BODY
    source = {"Bucket": bucket, "Key": "copy", "CopySource": name}
    s3.copy_object(**source)
    assert "Restore" not in s3.head_object(Bucket=bucket, Key="copy")
    s3.rename_object(Bucket=bucket, Key="renamed", RenameSource="key")
    renamed = s3.head_object(Bucket=bucket, Key="renamed")
    assert "Restore" not in renamed and renamed["StorageClass"] == "GLACIER"


def test_expedited_is_not_for_deep_archive(glacier):
    name = {"Bucket": "archive", "Key": "deep"}
    expedited = {"Days": 1, "GlacierJobParameters": {"Tier": "Expedited"}}
    assert refused(glacier.restore_object, **name, RestoreRequest=expedited) == (400, "InvalidArgument")
    assert restore(glacier, key="deep", GlacierJobParameters={"Tier": "Standard"}) == 202


def test_what_is_not_there(glacier):
    wanted = {"RestoreRequest": {"Days": 1}}
    glacier.create_bucket(Bucket="empty")
    versioned_bucket = "versioned"
    glacier.create_bucket(Bucket=versioned_bucket)
    enabled = {"Status": "Enabled"}
    glacier.put_bucket_versioning(Bucket=versioned_bucket, VersioningConfiguration=enabled)
    marker = glacier.delete_object(Bucket=versioned_bucket, Key="key")["VersionId"]
    absent = {"Bucket": "empty", "Key": "key"}
    assert refused(glacier.restore_object, **absent, **wanted) == (404, "NoSuchKey")
    assert refused(glacier.restore_object, Bucket="nowhere-at-all", Key="key", **wanted) == (
        404,
        "NoSuchBucket",
    )
    in_it = {"Bucket": versioned_bucket, "Key": "key"}
    assert refused(glacier.restore_object, **in_it, **wanted) == (404, "NoSuchKey")
    assert refused(glacier.restore_object, **in_it, VersionId=marker, **wanted) == (405, "MethodNotAllowed")
    unknown = "0" * 32
    assert refused(glacier.restore_object, **in_it, VersionId=unknown, **wanted) == (404, "NoSuchVersion")


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("<RestoreRequest/>", "MalformedXML"),
        ("<RestoreRequest><Days>x</Days></RestoreRequest>", "MalformedXML"),
        ("<RestoreRequest><Days>0</Days></RestoreRequest>", "InvalidArgument"),
        ("<RestoreRequest><Days>-1</Days></RestoreRequest>", "InvalidArgument"),
        ("<RestoreRequest><Days>1</Days><Days>2</Days></RestoreRequest>", "MalformedXML"),
        ("<RestoreRequest><Days>99999999999</Days></RestoreRequest>", "InvalidArgument"),
        ("<RestoreRequest><Days>1</Days><Tier>Fast</Tier></RestoreRequest>", "MalformedXML"),
        ("<RestoreRequest><Days>1</Days><GlacierJobParameters/></RestoreRequest>", "MalformedXML"),
        (
            "<RestoreRequest><Days>1</Days><GlacierJobParameters><Tier>Fast</Tier></GlacierJobParameters>"
            "</RestoreRequest>",
            "MalformedXML",
        ),
        ("<RestoreRequest><Days>1</Days><Hours>1</Hours></RestoreRequest>", "MalformedXML"),
        ("<RestoreRequest><Days>1</Days><Type>COPY</Type></RestoreRequest>", "MalformedXML"),
        ("<RestoreRequest><Type>SELECT</Type></RestoreRequest>", "MethodNotAllowed"),
        ("<Restore><Days>1</Days></Restore>", "MalformedXML"),
        ("<RestoreRequest><Days>1</Days>", "MalformedXML"),
        ("", "MissingRequestBodyError"),
    ],
)
def test_documents_that_are_none(s3, bucket, document, code):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    answer = send(s3, "POST", bucket, "key", query={"restore": ""}, body=document.encode())
    assert answer.code == code


def test_queries_over_archives_are_no_longer_made(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    query = {
        "Type": "SELECT",
        "SelectParameters": {
            "InputSerialization": {"CSV": {"FileHeaderInfo": "USE"}},
            "ExpressionType": "SQL",
            "Expression": "SELECT * FROM S3Object",
            "OutputSerialization": {"CSV": {}},
        },
        "OutputLocation": {
            "S3": {
                "BucketName": bucket,
                "Prefix": "out/",
                "UserMetadata": [{"Name": "a", "Value": "b"}],
                "Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]},
                "AccessControlList": [
                    {"Grantee": {"Type": "CanonicalUser", "ID": "x"}, "Permission": "READ"}
                ],
                "StorageClass": "STANDARD",
            }
        },
    }
    name = {"Bucket": bucket, "Key": "key"}
    assert refused(s3.restore_object, **name, RestoreRequest=query) == (405, "MethodNotAllowed")
    query.pop("Type")
    query["Days"] = 1
    assert refused(s3.restore_object, **name, RestoreRequest=query) == (400, "MalformedXML")


def test_whoever_may_restore_may_and_nobody_else(s3, bucket, other, other_id, anonymous):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    wanted = {"Bucket": bucket, "Key": "key", "RestoreRequest": {"Days": 1}}
    denied, allowed = (403, "AccessDenied"), (403, "InvalidObjectState")
    assert refused(other.restore_object, **wanted) == denied
    assert refused(anonymous.restore_object, **wanted) == denied
    allow = statement(bucket, "s3:RestoreObject", principal={"CanonicalUser": other_id})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(allow))
    assert refused(other.restore_object, **wanted) == allowed
    assert refused(other.get_object, Bucket=bucket, Key="key") == denied


def test_listings_tell_of_restores_where_they_are_asked(glacier):
    listed = [
        glacier.list_objects(Bucket="archive", Prefix="listed")["Contents"],
        glacier.list_object_versions(Bucket="archive", Prefix="listed")["Versions"],
    ]
    asked = {"OptionalObjectAttributes": ["RestoreStatus"]}
    assert all("RestoreStatus" not in entry for entries in listed for entry in entries)
    restore(glacier, key="listed")
    name = {"Bucket": "archive", "Key": "listed"}
    wait_until(lambda: "false" in glacier.head_object(**name)["Restore"])
    for entries in (
        glacier.list_objects(Bucket="archive", Prefix="listed", **asked)["Contents"],
        glacier.list_objects_v2(Bucket="archive", Prefix="listed", **asked)["Contents"],
        glacier.list_object_versions(Bucket="archive", Prefix="listed", **asked)["Versions"],
    ):
        (entry,) = entries
        assert entry["RestoreStatus"]["IsRestoreInProgress"] is False
        assert entry["RestoreStatus"]["RestoreExpiryDate"] > datetime.now(UTC)
        assert entry["StorageClass"] == "GLACIER"
    for entries in (
        glacier.list_objects_v2(Bucket="archive", Prefix="plain", **asked)["Contents"],
        glacier.list_objects_v2(Bucket="archive", Prefix="listed")["Contents"],
    ):
        assert "RestoreStatus" not in entries[0]
