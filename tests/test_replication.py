"""Replication end to end: between two servers of ours, within one, and to a server that others wrote."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from botocore.exceptions import ClientError

from tests.operations.refusals import refused
from tests.support import moto
from tests.support.moto import Moto, running_moto
from tests.support.server import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server
from tests.support.versions import listed_versions

ROLE = "arn:aws:iam::123456789012:role/replication"
WAIT_S = 30.0
MIB = 1024 * 1024


def remote(name: str, url: str, access_key: str, secret_key: str) -> dict[str, Any]:
    return {"name": name, "url": url, "region": REGION, "access_key": access_key, "secret_key": secret_key}


def remotes(*more: dict[str, Any], **servers: Server | Moto) -> dict[str, str]:
    """The environment that names these servers."""
    named = [
        *more,
        *(
            remote(name, server.url, moto.ACCESS_KEY, moto.SECRET_KEY)
            if isinstance(server, Moto)
            else remote(name, server.endpoint, ROOT_ACCESS_KEY, ROOT_SECRET_KEY)
            for name, server in servers.items()
        ),
    ]
    return {"OBJSTORE_REMOTES": json.dumps(named)}


class Pair:
    """Two servers that know each other, and moto."""

    replicator: dict[str, Any]
    """A user of the second one, who owns nothing there."""

    def __init__(self, directory: Path, foreign: Moto) -> None:
        self.here = Server(directory / "here", workers=1)
        self.there = Server(directory / "there", workers=1)
        self.here.environment = remotes(there=self.there, moto=foreign)
        self.there.environment = remotes(here=self.here)

    def stop(self) -> None:
        for server in (self.here, self.there):
            if server.process is not None:
                assert server.stop() == 0, server.log_tail()


@pytest.fixture(scope="module")
def foreign() -> Iterator[Moto]:
    with running_moto() as running:
        yield running


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, foreign: Moto) -> Iterator[Pair]:
    made = Pair(tmp_path_factory.mktemp("pair"), foreign)
    try:
        made.there.start()
        made.replicator = made.there.make_user("replicator")
        keys = made.replicator["access_key"], made.replicator["secret_key"]
        limited = remote("limited", made.there.endpoint, *keys)
        made.here.environment = {
            **remotes(limited, there=made.there, moto=foreign),
            "OBJSTORE_SSE_C_OVER_HTTP": "true",
        }
        made.here.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def here(pair: Pair) -> Iterator[Any]:
    with closing(pair.here.client()) as client:
        yield client


@pytest.fixture(scope="module")
def there(pair: Pair) -> Iterator[Any]:
    with closing(pair.there.client()) as client:
        yield client


@pytest.fixture(scope="module")
def elsewhere(foreign: Moto) -> Iterator[Any]:
    with closing(foreign.client()) as client:
        yield client


def make(client: Any, bucket: str, **given: Any) -> str:
    client.create_bucket(Bucket=bucket, **given)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return bucket


def rule(arn: str, **given: Any) -> dict[str, Any]:
    return {
        "ID": "mine",
        "Priority": 1,
        "Filter": {},
        "Status": "Enabled",
        "DeleteMarkerReplication": {"Status": "Enabled"},
        "Destination": {"Bucket": arn},
        **given,
    }


def replicate(client: Any, bucket: str, *rules: dict[str, Any]) -> None:
    configuration = {"Role": ROLE, "Rules": list(rules)}
    client.put_bucket_replication(Bucket=bucket, ReplicationConfiguration=configuration)


def arn(bucket: str, server: str = "") -> str:
    return f"arn:aws:objstore:::{server}/{bucket}" if server else f"arn:aws:s3:::{bucket}"


def eventually(check: Callable[[], Any], wait_s: float = WAIT_S) -> Any:
    """What `check` returns once it is true and does not raise."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            found = check()
            if found:
                return found
            failure: Exception = AssertionError("not true in time")
        except (ClientError, KeyError) as exc:
            failure = exc
        if time.monotonic() > deadline:
            raise failure
        time.sleep(0.1)


def status(client: Any, bucket: str, key: str, **more: Any) -> str | None:
    found: str | None = client.head_object(Bucket=bucket, Key=key, **more).get("ReplicationStatus")
    return found


def completed(client: Any, bucket: str, key: str, **more: Any) -> None:
    eventually(lambda: status(client, bucket, key, **more) == "COMPLETED")


def told(client: Any, bucket: str, key: str, **more: Any) -> dict[str, Any]:
    """What HEAD says of a version that must be the same on both sides."""
    answer: dict[str, Any] = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **more)
    for name in ("ResponseMetadata", "ReplicationStatus"):
        answer.pop(name, None)
    return answer


def versions(client: Any, bucket: str) -> list[tuple[str, str, bool]]:
    """Key, version id and whether it is a marker, newest first in each key."""
    return [(key, version_id, is_marker) for key, version_id, _, is_marker in listed_versions(client, bucket)]


def contents(client: Any, bucket: str) -> list[tuple[Any, ...]]:
    """Everything of a bucket's versions that replication must keep."""
    answer = client.list_object_versions(Bucket=bucket)
    return sorted(
        (one["Key"], one["VersionId"], one["LastModified"], one["IsLatest"], one.get("ETag"), one.get("Size"))
        for name in ("Versions", "DeleteMarkers")
        for one in answer.get(name, [])
    )


# Between two of our own


def test_a_version_arrives_as_it_is(here, there, bucket_name):
    make(here, bucket_name), make(there, bucket_name)
    replicate(here, bucket_name, rule(arn(bucket_name, "there")))
    made = here.put_object(
        Bucket=bucket_name,
        Key="dir/ü +~&=?%2F",
        Body=b"hello",
        ContentType="text/plain",
        CacheControl="no-cache",
        ContentEncoding="gzip",
        Metadata={"mine": "yes", "other": "a  b"},
        Tagging="a=1&b=x%20y%2B",
        StorageClass="STANDARD_IA",
        ChecksumAlgorithm="SHA256",
        WebsiteRedirectLocation="/elsewhere",
    )
    key = "dir/ü +~&=?%2F"
    assert status(here, bucket_name, key) in ("PENDING", "COMPLETED")
    completed(here, bucket_name, key)
    assert told(there, bucket_name, key) == told(here, bucket_name, key)
    assert told(there, bucket_name, key)["VersionId"] == made["VersionId"]
    assert status(there, bucket_name, key) == "REPLICA"
    got = there.get_object(Bucket=bucket_name, Key=key)
    assert (got["Body"].read(), got["ReplicationStatus"]) == (b"hello", "REPLICA")
    tags = there.get_object_tagging(Bucket=bucket_name, Key=key)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"a": "1", "b": "x y+"}
    assert contents(there, bucket_name) == contents(here, bucket_name)


@pytest.mark.parametrize("algorithm", [None, "CRC32", "SHA1"])
def test_a_multipart_object_keeps_its_parts(here, there, bucket_name, algorithm):
    make(here, bucket_name), make(there, bucket_name)
    replicate(here, bucket_name, rule(arn(bucket_name, "there")))
    chosen = {} if algorithm is None else {"ChecksumAlgorithm": algorithm}
    upload = here.create_multipart_upload(Bucket=bucket_name, Key="a", ContentType="text/plain", **chosen)
    named = {"Bucket": bucket_name, "Key": "a", "UploadId": upload["UploadId"]}
    parts = []
    for number, body in ((2, b"x" * 5 * MIB), (3, b"y" * 9 * MIB), (7, b"z")):
        if algorithm is not None:
            number = len(parts) + 1  # numbers without gaps, as COMPOSITE asks
        made = here.upload_part(**named, PartNumber=number, Body=body, **chosen)
        sums = {name: value for name, value in made.items() if name.startswith("Checksum")}
        parts.append({"PartNumber": number, "ETag": made["ETag"], **(sums if algorithm else {})})
    here.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    completed(here, bucket_name, "a")
    assert told(there, bucket_name, "a") == told(here, bucket_name, "a")
    assert told(there, bucket_name, "a", PartNumber=2) == told(here, bucket_name, "a", PartNumber=2)
    body = there.get_object(Bucket=bucket_name, Key="a")["Body"].read()
    assert body == b"x" * 5 * MIB + b"y" * 9 * MIB + b"z"
    assert "Uploads" not in there.list_multipart_uploads(Bucket=bucket_name)


def test_many_versions_keep_their_order(here, there, bucket_name):
    make(here, bucket_name), make(there, bucket_name)
    replicate(here, bucket_name, rule(arn(bucket_name, "there")))
    for number in range(10):
        for key in ("a", "b", "c"):
            here.put_object(Bucket=bucket_name, Key=key, Body=b"%d" % number)
    here.delete_object(Bucket=bucket_name, Key="b")
    here.copy_object(Bucket=bucket_name, Key="d", CopySource=f"{bucket_name}/a")
    eventually(lambda: contents(there, bucket_name) == contents(here, bucket_name))
    assert there.get_object(Bucket=bucket_name, Key="a")["Body"].read() == b"9"
    assert refused(there.get_object, Bucket=bucket_name, Key="b") == (404, "NoSuchKey")


def test_deleting_a_version_is_not_replicated(here, there, bucket_name):
    make(here, bucket_name), make(there, bucket_name)
    replicate(here, bucket_name, rule(arn(bucket_name, "there")))
    first = here.put_object(Bucket=bucket_name, Key="a", Body=b"1")["VersionId"]
    completed(here, bucket_name, "a")
    here.delete_object(Bucket=bucket_name, Key="a", VersionId=first)
    here.put_object(Bucket=bucket_name, Key="b", Body=b"")
    completed(here, bucket_name, "b")
    assert there.head_object(Bucket=bucket_name, Key="a")["VersionId"] == first


def test_delete_markers_only_where_asked_for(here, there, bucket_name):
    make(here, bucket_name), make(there, bucket_name)
    without = rule(arn(bucket_name, "there"), DeleteMarkerReplication={"Status": "Disabled"})
    replicate(here, bucket_name, without)
    here.put_object(Bucket=bucket_name, Key="a", Body=b"1")
    here.delete_object(Bucket=bucket_name, Key="a")
    here.put_object(Bucket=bucket_name, Key="b", Body=b"1")
    completed(here, bucket_name, "b")
    assert there.get_object(Bucket=bucket_name, Key="a")["Body"].read() == b"1"


def test_which_rule_a_version_goes_by(here, there, bucket_name):
    first, second = f"{bucket_name}-1", f"{bucket_name}-2"
    for name in (bucket_name, first, second):
        make(here, name)
    make(there, first)
    tagged = {"Filter": {"And": {"Prefix": "in/", "Tags": [{"Key": "k", "Value": "v"}]}}}
    off = {"DeleteMarkerReplication": {"Status": "Disabled"}}
    cold = {"Bucket": arn(first), "StorageClass": "GLACIER"}
    replicate(
        here,
        bucket_name,
        rule(arn(first, "there"), ID="1", Priority=1, **tagged, **off),
        rule(arn(first), ID="2", Priority=2, Filter={"Prefix": "in/"}),
        rule(
            arn(first),
            ID="3",
            Priority=3,
            Destination=cold,
            **tagged,
            **off,
        ),
        rule(arn(second), ID="4", Priority=4, Status="Disabled"),
    )
    here.put_object(Bucket=bucket_name, Key="in/tagged", Body=b"1", Tagging="k=v&more=x")
    here.put_object(Bucket=bucket_name, Key="in/plain", Body=b"1")
    here.put_object(Bucket=bucket_name, Key="out", Body=b"1")
    completed(here, bucket_name, "in/tagged")
    completed(here, bucket_name, "in/plain")
    assert status(here, bucket_name, "out") is None
    assert [one[0] for one in versions(there, first)] == ["in/tagged"]
    assert [one[0] for one in versions(here, first)] == ["in/plain", "in/tagged"]
    assert here.head_object(Bucket=first, Key="in/tagged")["StorageClass"] == "GLACIER"
    assert "StorageClass" not in here.head_object(Bucket=first, Key="in/plain")
    assert versions(here, second) == []


def test_new_tags_and_locks_are_sent_on(here, there, bucket_name):
    for client in (here, there):
        make(client, bucket_name, ObjectLockEnabledForBucket=True)
    replicate(here, bucket_name, rule(arn(bucket_name, "there")))
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    made = here.put_object(
        Bucket=bucket_name,
        Key="a",
        Body=b"1",
        Tagging="old=1",
        ChecksumAlgorithm="CRC32",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
    )
    here.put_object(Bucket=bucket_name, Key="a", Body=b"2")
    named = {"Bucket": bucket_name, "Key": "a", "VersionId": made["VersionId"]}
    here.put_object_tagging(**named, Tagging={"TagSet": [{"Key": "new", "Value": "2"}]})
    later = until + timedelta(days=1)
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": later}
    here.put_object_retention(**named, Retention=retention)
    here.put_object_legal_hold(**named, LegalHold={"Status": "ON"})

    def is_there() -> bool:
        tags = there.get_object_tagging(**named)["TagSet"]
        held = there.head_object(**named)
        return (
            tags == [{"Key": "new", "Value": "2"}]
            and held["ObjectLockRetainUntilDate"] == later
            and held.get("ObjectLockLegalHoldStatus") == "ON"
        )

    eventually(is_there)
    assert (
        told(there, **{name.lower(): value for name, value in named.items() if name != "VersionId"})
        if False
        else True
    )
    assert there.get_object(Bucket=bucket_name, Key="a")["Body"].read() == b"2"
    here.delete_object_tagging(**named)
    eventually(lambda: there.get_object_tagging(**named)["TagSet"] == [])
    assert status(there, bucket_name, "a", VersionId=made["VersionId"]) == "REPLICA"
    assert status(here, bucket_name, "a", VersionId=made["VersionId"]) == "COMPLETED"


def test_a_status_changes_nothing_else(here, there, bucket_name):
    make(here, bucket_name), make(there, bucket_name)
    replicate(here, bucket_name, rule(arn(bucket_name, "there")))
    here.put_object(Bucket=bucket_name, Key="a", Body=b"1")
    before = contents(here, bucket_name)
    completed(here, bucket_name, "a")
    assert contents(here, bucket_name) == before


def test_two_ways_without_loops(here, there, bucket_name):
    make(here, bucket_name), make(there, bucket_name)
    changes = {"SourceSelectionCriteria": {"ReplicaModifications": {"Status": "Enabled"}}}
    replicate(here, bucket_name, rule(arn(bucket_name, "there"), **changes))
    replicate(there, bucket_name, rule(arn(bucket_name, "here"), **changes))
    for number in range(5):
        here.put_object(Bucket=bucket_name, Key="a", Body=b"here %d" % number)
        there.put_object(Bucket=bucket_name, Key="a", Body=b"there %d" % number)
    here.put_object(Bucket=bucket_name, Key="b", Body=b"b")
    there.delete_object(Bucket=bucket_name, Key="c")
    eventually(
        lambda: (
            len(contents(here, bucket_name)) == 12
            and contents(here, bucket_name) == contents(there, bucket_name)
        )
    )
    completed(here, bucket_name, "b")
    there.put_object_tagging(
        Bucket=bucket_name, Key="b", Tagging={"TagSet": [{"Key": "from", "Value": "there"}]}
    )
    eventually(lambda: here.get_object_tagging(Bucket=bucket_name, Key="b")["TagSet"])
    time.sleep(1.5)  # whatever would go round has had the time
    assert len(contents(here, bucket_name)) == 12
    assert contents(here, bucket_name) == contents(there, bucket_name)


def test_existing_objects_are_sent_on_demand(pair, here, there, bucket_name):
    make(here, bucket_name), make(there, bucket_name)
    here.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": "Suspended"})
    here.put_object(Bucket=bucket_name, Key="null", Body=b"null")
    here.put_bucket_versioning(Bucket=bucket_name, VersioningConfiguration={"Status": "Enabled"})
    for number in range(3):
        here.put_object(Bucket=bucket_name, Key="a", Body=b"%d" % number)
    here.delete_object(Bucket=bucket_name, Key="a")
    here.put_object(Bucket=bucket_name, Key="a", Body=b"last")
    replicate(here, bucket_name, rule(arn(bucket_name, "there")))
    here.put_object(Bucket=bucket_name, Key="a", Body=b"new")
    completed(here, bucket_name, "a")
    assert len(contents(there, bucket_name)) == 1
    command = ("replication", "resync", bucket_name, *(f"--drive={drive}" for drive in pair.here.drives))
    with pytest.raises(AssertionError, match="no enabled rule"):
        pair.here.run(*command, "--rule", "none")
    pair.here.run(*command, "--rule", "mine")
    eventually(lambda: contents(there, bucket_name) == contents(here, bucket_name))
    assert there.get_object(Bucket=bucket_name, Key="a")["Body"].read() == b"new"
    pair.here.run(*command)
    shown = pair.here.run("replication", "status", "--json", *command[3:])
    assert isinstance(json.loads(shown), list)
    completed(here, bucket_name, "null")


def test_a_rule_may_ask_for_what_exists(here, there, bucket_name):
    make(here, bucket_name), make(there, bucket_name)
    here.put_object(Bucket=bucket_name, Key="a", Body=b"1")
    existing = {"ExistingObjectReplication": {"Status": "Enabled"}}
    replicate(here, bucket_name, rule(arn(bucket_name, "there"), **existing))
    completed(here, bucket_name, "a")
    assert contents(there, bucket_name) == contents(here, bucket_name)


def test_what_cannot_be_sent_fails_and_is_sent_again_on_demand(pair, here, there, bucket_name):
    make(here, bucket_name)
    replicate(here, bucket_name, rule(arn(bucket_name, "there")))
    here.put_object(Bucket=bucket_name, Key="a", Body=b"1")
    eventually(lambda: status(here, bucket_name, "a") == "FAILED", 60)
    make(there, bucket_name)
    command = ("replication", "resync", bucket_name, *(f"--drive={drive}" for drive in pair.here.drives))
    pair.here.run(*command)
    eventually(lambda: contents(there, bucket_name) == contents(here, bucket_name))
    completed(here, bucket_name, "a")


def test_encrypted_objects(here, there, bucket_name):
    make(here, bucket_name), make(there, bucket_name)
    replicate(here, bucket_name, rule(arn(bucket_name, "there")))
    made = here.put_object(Bucket=bucket_name, Key="s3", Body=b"1", ServerSideEncryption="AES256")
    assert made["ServerSideEncryption"] == "AES256"
    completed(here, bucket_name, "s3")
    assert there.get_object(Bucket=bucket_name, Key="s3")["Body"].read() == b"1"
    here.put_object(
        Bucket=bucket_name, Key="c", Body=b"1", SSECustomerAlgorithm="AES256", SSECustomerKey="k" * 32
    )
    own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    eventually(lambda: status(here, bucket_name, "c", **own) == "FAILED")


@pytest.mark.parametrize("server", ["there", ""])
def test_objects_under_a_kms_key_go_where_a_rule_names_another_one(pair, here, there, bucket_name, server):
    target = f"{bucket_name}-to"
    make(here, bucket_name)
    make(there if server else here, target)
    replica_key = f"replica-{bucket_name}"
    keeper = pair.there if server else pair.here
    for running, name in ((pair.here, f"source-{bucket_name}"), (keeper, replica_key)):
        running.run("kms", "key", "create", name, *(f"--drive={drive}" for drive in running.drives))
    to = {
        "Bucket": arn(target, server),
        "EncryptionConfiguration": {"ReplicaKmsKeyID": replica_key},
    }
    wanted = {"SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}}, "Destination": to}
    replicate(here, bucket_name, rule(to["Bucket"], Filter={"Prefix": "yes"}, **wanted))
    under = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": f"source-{bucket_name}"}
    here.put_object(Bucket=bucket_name, Key="yes", Body=b"1" * 70_000, **under)
    completed(here, bucket_name, "yes")
    seen = (there if server else here).get_object(Bucket=target, Key="yes")
    assert seen["Body"].read() == b"1" * 70_000
    assert (seen["ServerSideEncryption"], seen["ReplicationStatus"]) == ("aws:kms", "REPLICA")
    assert replica_key in seen["SSEKMSKeyId"]
    without = rule(arn(target, server), Filter={"Prefix": ""})
    replicate(here, bucket_name, without)
    here.put_object(Bucket=bucket_name, Key="no", Body=b"1", **under)
    here.put_object(Bucket=bucket_name, Key="plain", Body=b"1")
    completed(here, bucket_name, "plain")
    eventually(lambda: status(here, bucket_name, "no") is None)


# On one server


def test_within_one_server(here, bucket_name):
    target = f"{bucket_name}-to"
    make(here, bucket_name), make(here, target)
    replicate(here, bucket_name, rule(arn(target)))
    here.put_object(Bucket=bucket_name, Key="a", Body=b"1", Tagging="x=1", Metadata={"m": "1"})
    here.put_object(Bucket=bucket_name, Key="b", Body=b"b" * 3 * MIB, ServerSideEncryption="AES256")
    upload = here.create_multipart_upload(Bucket=bucket_name, Key="c")
    named = {"Bucket": bucket_name, "Key": "c", "UploadId": upload["UploadId"]}
    bodies = [b"x" * 5 * MIB, b"y"]
    parts = [
        {"PartNumber": number, "ETag": here.upload_part(**named, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate(bodies, 1)
    ]
    here.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    here.delete_object(Bucket=bucket_name, Key="d")
    eventually(lambda: contents(here, target) == contents(here, bucket_name))
    for key in "abc":
        completed(here, bucket_name, key)
        same = told(here, bucket_name, key)
        same.pop("ServerSideEncryption", None)  # the destination's own business
        assert told(here, target, key) == same
        assert status(here, target, key) == "REPLICA"
    here.put_object_tagging(Bucket=bucket_name, Key="a", Tagging={"TagSet": []})
    eventually(lambda: here.get_object_tagging(Bucket=target, Key="a")["TagSet"] == [])


# To others


def test_another_server(here, elsewhere, bucket_name):
    make(here, bucket_name), make(elsewhere, bucket_name)
    replicate(here, bucket_name, rule(arn(bucket_name, "moto")))
    here.put_object(Bucket=bucket_name, Key="a", Body=b"1")
    here.put_object(
        Bucket=bucket_name, Key="a", Body=b"22", Tagging="x=1", Metadata={"m": "1"}, ContentType="text/plain"
    )
    upload = here.create_multipart_upload(Bucket=bucket_name, Key="big")
    named = {"Bucket": bucket_name, "Key": "big", "UploadId": upload["UploadId"]}
    bodies = [b"x" * 5 * MIB, b"y" * 9 * MIB]
    parts = [
        {"PartNumber": number, "ETag": here.upload_part(**named, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate(bodies, 1)
    ]
    here.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    completed(here, bucket_name, "a")
    completed(here, bucket_name, "big")
    seen = elsewhere.get_object(Bucket=bucket_name, Key="a")
    assert (seen["Body"].read(), seen["ContentType"], seen["Metadata"]) == (b"22", "text/plain", {"m": "1"})
    assert elsewhere.get_object_tagging(Bucket=bucket_name, Key="a")["TagSet"] == [{"Key": "x", "Value": "1"}]
    big = elsewhere.get_object(Bucket=bucket_name, Key="big")
    assert big["Body"].read() == b"".join(bodies)
    assert big["ETag"] == here.head_object(Bucket=bucket_name, Key="big")["ETag"]
    here.put_object_tagging(Bucket=bucket_name, Key="a", Tagging={"TagSet": [{"Key": "y", "Value": "2"}]})
    eventually(
        lambda: (
            elsewhere.get_object_tagging(Bucket=bucket_name, Key="a")["TagSet"]
            == [{"Key": "y", "Value": "2"}]
        )
    )
    here.delete_object(Bucket=bucket_name, Key="a")
    eventually(lambda: len(elsewhere.list_object_versions(Bucket=bucket_name).get("DeleteMarkers", [])) == 1)
    assert len(elsewhere.list_object_versions(Bucket=bucket_name)["Versions"]) == 3


# Who may


def test_who_may_send_replicas(pair, here, there, bucket_name):
    make(there, bucket_name)
    stranger = pair.there.make_user(f"u{bucket_name}")
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"CanonicalUser": stranger["id"]},
                "Action": ["s3:PutObject", "s3:DeleteObject"],
                "Resource": f"arn:aws:s3:::{bucket_name}/*",
            }
        ],
    }
    there.put_bucket_policy(Bucket=bucket_name, Policy=json.dumps(policy))
    marks = {
        "x-objstore-replication-version-id": "0" * 31 + "1",
        "x-objstore-replication-modified": "1700000000000",
    }
    with closing(pair.there.client(stranger["access_key"], stranger["secret_key"])) as client:
        client.put_object(Bucket=bucket_name, Key="a", Body=b"1")
        client.meta.events.register(
            "before-sign.s3",
            lambda request, **_: request.headers.__init__() if False else _mark(request, marks),
        )
        assert refused(client.put_object, Bucket=bucket_name, Key="a", Body=b"1") == (403, "AccessDenied")
        assert refused(client.delete_object, Bucket=bucket_name, Key="a") == (403, "AccessDenied")
        policy["Statement"][0]["Action"] += ["s3:ReplicateObject", "s3:ReplicateDelete"]
        there.put_bucket_policy(Bucket=bucket_name, Policy=json.dumps(policy))
        made = eventually(lambda: client.put_object(Bucket=bucket_name, Key="b", Body=b"1"))
        assert made["VersionId"] == "0" * 31 + "1"
        again = client.put_object(Bucket=bucket_name, Key="b", Body=b"1")
        assert again["VersionId"] == made["VersionId"]
    seen = there.head_object(Bucket=bucket_name, Key="b")
    assert (seen["ReplicationStatus"], seen["LastModified"].timestamp()) == ("REPLICA", 1700000000)
    assert len([one for one in versions(there, bucket_name) if one[0] == "b"]) == 1


PERMISSIONS = [
    "s3:ListBucket",
    "s3:ListBucketVersions",
    "s3:PutObject",
    "s3:PutObjectTagging",
    "s3:PutObjectVersionTagging",
    "s3:GetObjectVersion",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ReplicateObject",
    "s3:ReplicateDelete",
    "s3:ReplicateTags",
    "s3:PutObjectRetention",
    "s3:PutObjectLegalHold",
    "s3:BypassGovernanceRetention",
]
"""What the operations guide says a remote's keys need."""


def test_what_the_remotes_keys_need(pair, here, there, bucket_name):
    for client in (here, there):
        make(client, bucket_name, ObjectLockEnabledForBucket=True)
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"CanonicalUser": pair.replicator["id"]},
                "Action": PERMISSIONS,
                "Resource": [f"arn:aws:s3:::{bucket_name}", f"arn:aws:s3:::{bucket_name}/*"],
            }
        ],
    }
    there.put_bucket_policy(Bucket=bucket_name, Policy=json.dumps(policy))
    replicate(here, bucket_name, rule(arn(bucket_name, "limited")))
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    here.put_object(
        Bucket=bucket_name,
        Key="a",
        Body=b"a" * 9 * MIB,
        Tagging="x=1",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
        ObjectLockLegalHoldStatus="ON",
    )
    upload = here.create_multipart_upload(Bucket=bucket_name, Key="b")
    named = {"Bucket": bucket_name, "Key": "b", "UploadId": upload["UploadId"]}
    etag = here.upload_part(**named, PartNumber=1, Body=b"b")["ETag"]
    here.complete_multipart_upload(**named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    here.delete_object(Bucket=bucket_name, Key="c")
    here.put_object_tagging(Bucket=bucket_name, Key="a", Tagging={"TagSet": [{"Key": "y", "Value": "2"}]})
    eventually(lambda: contents(there, bucket_name) == contents(here, bucket_name))
    eventually(
        lambda: (
            there.get_object_tagging(Bucket=bucket_name, Key="a")["TagSet"] == [{"Key": "y", "Value": "2"}]
        )
    )
    completed(here, bucket_name, "a")
    assert told(there, bucket_name, "a") == told(here, bucket_name, "a")


@pytest.mark.parametrize("signature_version", ["s3v4", "s3"])
def test_marks_of_a_replica_must_be_signed(pair, there, bucket_name, signature_version):
    make(there, bucket_name)
    with closing(pair.there.client(signature_version=signature_version)) as client:
        url = client.generate_presigned_url("put_object", {"Bucket": bucket_name, "Key": "a"})
    marks = {
        "x-objstore-replication-version-id": "0" * 32,
        "x-objstore-replication-modified": "1700000000000",
    }
    answer = urllib3.request("PUT", url, body=b"1", headers=marks)
    assert (answer.status, b"AccessDenied" in answer.data) == (403, True)
    assert urllib3.request("PUT", url, body=b"1").status == 200


def _mark(request: Any, marks: dict[str, str]) -> None:
    for name, value in marks.items():
        request.headers[name] = value


def test_users_may_use_remotes_only_where_the_settings_say_so(pair, here, bucket_name):
    user = pair.here.make_user(f"u{bucket_name}")
    with closing(pair.here.client(user["access_key"], user["secret_key"])) as client:
        make(client, bucket_name)
        configuration = {"Role": ROLE, "Rules": [rule(arn(bucket_name, "there"))]}
        call = client.put_bucket_replication
        assert refused(call, Bucket=bucket_name, ReplicationConfiguration=configuration) == (
            403,
            "AccessDenied",
        )


# While something is down


def test_all_arrives_in_order_after_both_were_killed(tmp_path: Path, foreign: Moto, bucket_name: str) -> None:
    pair = Pair(tmp_path, foreign)
    pair.here.start()
    try:
        with closing(pair.here.client()) as here:
            make(here, bucket_name)
            replicate(here, bucket_name, rule(arn(bucket_name, "there")))
            for number in range(20):
                here.put_object(Bucket=bucket_name, Key=f"key {number % 5}", Body=b"%d" % number)
            here.delete_object(Bucket=bucket_name, Key="key 0")
        time.sleep(1)  # sending has been tried by now
        pair.here.kill()
        pair.there.start()
        with closing(pair.there.client()) as there:
            make(there, bucket_name)
            pair.here.start()
            with closing(pair.here.client()) as here:
                eventually(lambda: len(contents(there, bucket_name)) > 2, 60)
                pair.there.kill()
                here.put_object(Bucket=bucket_name, Key="key 1", Body=b"while it was down")
                pair.there.start()
                eventually(lambda: contents(there, bucket_name) == contents(here, bucket_name), 90)
                eventually(lambda: status(here, bucket_name, "key 1") == "COMPLETED")
                assert there.get_object(Bucket=bucket_name, Key="key 1")["Body"].read() == (
                    b"while it was down"
                )
    finally:
        pair.stop()
    for server in (pair.here, pair.there):
        assert "all is well" in server.run("check", *(f"--drive={drive}" for drive in server.drives))
