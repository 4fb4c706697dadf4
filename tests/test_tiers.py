"""Tiers end to end: bytes go to another server and come back, and nothing is lost on the way."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.moto import ACCESS_KEY as MOTO_ACCESS_KEY
from tests.support.moto import SECRET_KEY as MOTO_SECRET_KEY
from tests.support.moto import running_moto
from tests.support.receiver import Receiver
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

DAY_S = 1.0
KIB = 1024
MIB = 1024 * KIB
ANY_SIZE = {"ObjectSizeGreaterThan": 0}
TIERS = "GLACIER=vault/tier/deep,STANDARD_IA=vault/tier/warm"


def serving(directory: Path, vault_url: str, day_s: float = DAY_S) -> Server:
    """A server whose tiers are at another one."""
    remotes = [
        {"name": "vault", "url": vault_url, "access_key": ROOT_ACCESS_KEY, "secret_key": ROOT_SECRET_KEY}
    ]
    return Server(
        directory,
        workers=1,
        options=("--lifecycle-debug-day-s", str(day_s), "--garbage-grace-s", "1"),
        environment={
            "OBJSTORE_REMOTES": json.dumps(remotes),
            "OBJSTORE_TIERS": TIERS,
            "OBJSTORE_SSE_C_OVER_HTTP": "true",
        },
    )


@dataclass
class Pair:
    """A server and the one that its tiers are at."""

    server: Server
    vault: Server
    s3: Any
    far: Any

    def stored(self) -> dict[str, int]:
        """Keys and sizes of what lies at the tiers."""
        listed = self.far.list_objects_v2(Bucket="tier")
        return {entry["Key"]: entry["Size"] for entry in listed.get("Contents", [])}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    vault = Server(tmp_path_factory.mktemp("vault"), workers=1).start()
    server = None
    try:
        far = vault.client()
        far.create_bucket(Bucket="tier")
        server = serving(tmp_path_factory.mktemp("server"), vault.endpoint).start()
        yield Pair(server, vault, server.client(), far)
        assert server.stop() == 0, server.log_tail()
        server = None
        assert vault.stop() == 0, vault.log_tail()
    finally:
        if server is not None:
            server.kill()
        if vault.process is not None:
            vault.kill()


def put_rule(s3: Any, bucket: str, **rule: Any) -> None:
    made = {"ID": "r", "Status": "Enabled", "Filter": ANY_SIZE, **rule}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [made]})


def wait_until(condition: Callable[[], Any], within_s: float = 20.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def has_class(s3: Any, bucket: str, key: str, storage_class: str) -> Callable[[], bool]:
    return lambda: s3.head_object(Bucket=bucket, Key=key).get("StorageClass") == storage_class


def refused(call: Callable[..., Any], **given: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as refusal:
        call(**given)
    return refusal.value.response


def archived(pair: Pair, bucket: str, key: str, body: bytes) -> None:
    """An object whose bytes lie at the archive tier."""
    pair.s3.create_bucket(Bucket=bucket)
    pair.s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata={"a": "b"})
    put_rule(pair.s3, bucket, Transitions=[{"Days": 1, "StorageClass": "GLACIER"}])
    wait_until(has_class(pair.s3, bucket, key, "GLACIER"))
    pair.s3.delete_bucket_lifecycle(Bucket=bucket)


def test_an_archived_object_is_read_only_after_it_was_restored(pair):
    s3, body = pair.s3, bytes(range(256)) * 1024
    before = pair.stored()
    archived(pair, "archive", "photos/é", body)
    (place,) = pair.stored().keys() - before.keys()
    assert place.startswith("deep/") and "photos" not in place
    name = {"Bucket": "archive", "Key": "photos/é"}
    head = s3.head_object(**name)
    assert head["ContentLength"] == len(body) and head["Metadata"] == {"a": "b"} and "Restore" not in head
    refusal = refused(s3.get_object, **name)
    assert refusal["Error"]["Code"] == "InvalidObjectState" and refusal["Error"]["StorageClass"] == "GLACIER"
    assert refusal["ResponseMetadata"]["HTTPStatusCode"] == 403
    source = {"CopySource": name, "Bucket": "archive", "Key": "copy"}
    assert refused(s3.copy_object, **source)["Error"]["Code"] == "InvalidObjectState"

    asked = s3.restore_object(**name, RestoreRequest={"Days": 60})
    assert asked["ResponseMetadata"]["HTTPStatusCode"] == 202
    said = wait_until(lambda: "false" in (said := s3.head_object(**name)["Restore"]) and said)
    assert said.startswith('ongoing-request="false", expiry-date="')
    assert s3.get_object(**name)["Body"].read() == body
    assert s3.get_object(**name, Range="bytes=70000-70009")["Body"].read() == body[70000:70010]
    assert s3.head_object(**name)["StorageClass"] == "GLACIER"
    s3.copy_object(**source)
    assert s3.get_object(Bucket="archive", Key="copy")["Body"].read() == body
    (listed, _) = sorted(
        s3.list_objects_v2(Bucket="archive", OptionalObjectAttributes=["RestoreStatus"])["Contents"],
        key=lambda entry: entry["Key"] == "copy",
    )
    assert listed["RestoreStatus"]["IsRestoreInProgress"] is False
    # Asked again, it stays as long from now on: here one interval.
    again = s3.restore_object(**name, RestoreRequest={"Days": 1})
    assert again["ResponseMetadata"]["HTTPStatusCode"] == 200
    wait_until(lambda: "Restore" not in s3.head_object(**name))
    assert refused(s3.get_object, **name)["Error"]["Code"] == "InvalidObjectState"
    assert place in pair.stored()
    assert s3.get_object(Bucket="archive", Key="copy")["Body"].read() == body


def test_instant_classes_are_read_through(pair):
    s3, body = pair.s3, bytes(range(251)) * 5000
    s3.create_bucket(Bucket="warm")
    s3.put_object(Bucket="warm", Key="a", Body=body)
    put_rule(s3, "warm", Transitions=[{"Days": 30, "StorageClass": "STANDARD_IA"}])
    assert s3.head_object(Bucket="warm", Key="a").get("StorageClass") is None
    before = pair.stored()
    name = {"Bucket": "warm", "Key": "a"}
    put_rule(s3, "warm", Transitions=[{"Date": "2024-01-01T00:00:00Z", "StorageClass": "STANDARD_IA"}])
    wait_until(has_class(s3, "warm", "a", "STANDARD_IA"))
    ((place, size),) = pair.stored().items() - before.items()
    assert place.startswith("warm/") and len(body) < size < len(body) * 1.001
    s3.delete_bucket_lifecycle(Bucket="warm")
    got = s3.get_object(**name)
    assert got["Body"].read() == body and got["StorageClass"] == "STANDARD_IA"
    for start, end in ((0, 0), (65535, 65536), (131072, 196607), (1_000_000, len(body) - 1), (3, 1_100_000)):
        ranged = s3.get_object(**name, Range=f"bytes={start}-{end}")
        assert ranged["Body"].read() == body[start : end + 1]
    refusal = refused(s3.restore_object, **name, RestoreRequest={"Days": 1})
    assert refusal["Error"]["Code"] == "InvalidObjectState"

    # Copies are written here, whole and in parts.
    s3.copy_object(CopySource=name, Bucket="warm", Key="copy")
    upload = {"Bucket": "warm", "Key": "parts"}
    upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
    part = s3.upload_part_copy(**upload, PartNumber=1, CopySource=name)["CopyPartResult"]
    s3.complete_multipart_upload(
        **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    s3.rename_object(Bucket="warm", Key="renamed", RenameSource="a")
    name["Key"] = "renamed"
    assert s3.get_object(**name)["Body"].read() == body
    stored = pair.stored()
    s3.delete_object(**name)
    wait_until(lambda: pair.stored().keys() == stored.keys() - {place})
    for key in ("copy", "parts"):
        assert s3.get_object(Bucket="warm", Key=key)["Body"].read() == body


def test_an_object_of_parts_goes_and_comes_back_in_parts(pair):
    s3, before = pair.s3, pair.stored()
    s3.create_bucket(Bucket="parts")
    name = {"Bucket": "parts", "Key": "a"}
    bodies = [bytes([number]) * (5 * MIB + number) for number in range(3)]
    upload = {**name, "UploadId": s3.create_multipart_upload(**name)["UploadId"]}
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate(bodies, 2)
    ]
    etag = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})["ETag"]
    s3.copy_object(Bucket="parts", Key="copy", CopySource=name)
    put_rule(s3, "parts", Filter={"Prefix": "a"}, Transitions=[{"Days": 1, "StorageClass": "GLACIER"}])
    wait_until(has_class(s3, "parts", "a", "GLACIER"))
    s3.delete_bucket_lifecycle(Bucket="parts")
    places = pair.stored().keys() - before.keys()
    assert len(places) == 3
    head = s3.head_object(**name, PartNumber=2)
    assert head["ETag"] == etag and head["PartsCount"] == 3 and head["ContentLength"] == 5 * MIB + 1
    # The copy shared its parts, and still has them.
    assert s3.get_object(Bucket="parts", Key="copy", Range="bytes=0-9")["Body"].read() == bytes(10)
    s3.restore_object(**name, RestoreRequest={"Days": 60})
    wait_until(lambda: "false" in s3.head_object(**name)["Restore"])
    assert s3.get_object(**name)["Body"].read() == b"".join(bodies)
    ranged = s3.get_object(**name, Range=f"bytes={5 * MIB - 2}-{5 * MIB + 3}")["Body"].read()
    assert ranged == b"".join(bodies)[5 * MIB - 2 : 5 * MIB + 4]
    s3.copy_object(Bucket="parts", Key="restored", CopySource=name)
    s3.delete_object(**name)
    wait_until(lambda: not (pair.stored().keys() & places))
    assert s3.get_object(Bucket="parts", Key="restored")["Body"].read() == b"".join(bodies)


def test_noncurrent_versions_go_and_small_objects_stay(pair):
    s3 = pair.s3
    s3.create_bucket(Bucket="past")
    s3.put_bucket_versioning(Bucket="past", VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket="past", Key="a", Body=b"1" * 200_000)["VersionId"]
    small = s3.put_object(Bucket="past", Key="a", Body=b"2" * 100)["VersionId"]
    new = s3.put_object(Bucket="past", Key="a", Body=b"3" * 200_000)["VersionId"]
    moves = [{"NoncurrentDays": 1, "StorageClass": "DEEP_ARCHIVE"}]  # a class without a tier: a label
    put_rule(s3, "past", Filter={"Prefix": ""}, NoncurrentVersionTransitions=moves)

    def classes() -> dict[str, str]:
        versions = s3.list_object_versions(Bucket="past")["Versions"]
        return {version["VersionId"]: version["StorageClass"] for version in versions}

    wait_until(lambda: classes()[old] == "DEEP_ARCHIVE")
    assert classes() == {old: "DEEP_ARCHIVE", small: "STANDARD", new: "STANDARD"}
    assert s3.get_object(Bucket="past", Key="a", VersionId=old)["Body"].read() == b"1" * 200_000


def test_the_plan_lists_transitions(pair):
    """Of a server that is stopped: what its rules would do after some more days."""
    s3 = pair.s3
    s3.create_bucket(Bucket="planned")
    s3.put_object(Bucket="planned", Key="a", Body=b"x" * 10)
    put_rule(s3, "planned", Transitions=[{"Days": 3000, "StorageClass": "GLACIER"}])
    drives = [f"--drive={drive}" for drive in pair.server.drives]
    before = dict(pair.server.environment)
    pair.server.environment["OBJSTORE_LIFECYCLE_DEBUG_DAY_S"] = "0.0001"
    try:
        time.sleep(0.5)
        (line,) = pair.server.run("lifecycle", "plan", "planned", "--json", *drives).splitlines()
        shown = pair.server.run("lifecycle", "plan", "planned", *drives)
    finally:
        pair.server.environment.clear()
        pair.server.environment.update(before)
    due = json.loads(line)
    assert (due["action"], due["storage_class"], due["size"]) == ("transition", "GLACIER", 10)
    assert "planned  transition GLACIER" in shown
    s3.delete_bucket_lifecycle(Bucket="planned")


def test_while_the_tier_is_down_reads_are_told_and_moves_wait(pair):
    s3, body = pair.s3, b"y" * 300_000
    s3.create_bucket(Bucket="down")
    put_rule(s3, "down", Transitions=[{"Date": "2024-01-01T00:00:00Z", "StorageClass": "STANDARD_IA"}])
    s3.put_object(Bucket="down", Key="a", Body=body)
    wait_until(has_class(s3, "down", "a", "STANDARD_IA"))
    stored = pair.stored()
    assert pair.vault.stop() == 0
    try:
        refusal = refused(s3.get_object, Bucket="down", Key="a")
        assert refusal["ResponseMetadata"]["HTTPStatusCode"] == 503
        assert refusal["Error"]["Code"] == "ServiceUnavailable"
        assert s3.head_object(Bucket="down", Key="a")["ContentLength"] == len(body)
        s3.put_object(Bucket="down", Key="b", Body=body)
        s3.delete_object(Bucket="down", Key="a")
        time.sleep(3 * DAY_S)
        assert has_class(s3, "down", "b", "STANDARD")() or "StorageClass" not in s3.head_object(
            Bucket="down", Key="b"
        )
        assert s3.get_object(Bucket="down", Key="b")["Body"].read() == body
    finally:
        pair.vault.start()
    wait_until(has_class(s3, "down", "b", "STANDARD_IA"), within_s=40)
    assert s3.get_object(Bucket="down", Key="b")["Body"].read() == body
    assert len(pair.stored().keys() - stored.keys()) == 1


AT_ONCE = [{"Date": "2024-01-01T00:00:00Z", "StorageClass": "STANDARD_IA"}]


def test_encrypted_objects_are_moved_as_they_lie(pair):
    s3, body = pair.s3, b"secret " * 30_000
    s3.create_bucket(Bucket="sealed")
    keys = {"sse": {"ServerSideEncryption": "AES256"}, "kms": {"ServerSideEncryption": "aws:kms"}}
    for key, how in keys.items():
        s3.put_object(Bucket="sealed", Key=key, Body=body, **how)
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
    s3.put_object(Bucket="sealed", Key="customer", Body=body, **customer)
    upload = {"Bucket": "sealed", "Key": "parts"}
    upload["UploadId"] = s3.create_multipart_upload(**upload, ServerSideEncryption="AES256")["UploadId"]
    parts = [
        {"PartNumber": number, "ETag": s3.upload_part(**upload, PartNumber=number, Body=part)["ETag"]}
        for number, part in ((1, b"1" * (5 * MIB + 1)), (2, body))
    ]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    before = pair.stored()
    put_rule(s3, "sealed", Transitions=AT_ONCE)
    for key in (*keys, "parts"):
        wait_until(has_class(s3, "sealed", key, "STANDARD_IA"))
    wait_until(lambda: len(pair.stored().keys() - before.keys()) == 5)
    wait_until(
        lambda: (
            {e["StorageClass"] for e in s3.list_objects_v2(Bucket="sealed")["Contents"]} == {"STANDARD_IA"}
        )
    )
    s3.delete_bucket_lifecycle(Bucket="sealed")
    places = pair.stored().keys() - before.keys()
    assert len(places) == 5
    got = s3.get_object(Bucket="sealed", Key="customer", Range="bytes=70000-", **customer)
    assert got["Body"].read() == body[70000:] and got["StorageClass"] == "STANDARD_IA"
    refusal = refused(s3.get_object, Bucket="sealed", Key="customer")
    assert refusal["ResponseMetadata"]["HTTPStatusCode"] == 400
    for place in places:
        assert b"secret" not in pair.far.get_object(Bucket="tier", Key=place)["Body"].read()
    for key in keys:
        assert s3.get_object(Bucket="sealed", Key=key)["Body"].read() == body
        ranged = s3.get_object(Bucket="sealed", Key=key, Range="bytes=65530-140000")["Body"].read()
        assert ranged == body[65530:140001]
        s3.copy_object(Bucket="sealed", Key="copy", CopySource={"Bucket": "sealed", "Key": key})
        assert s3.get_object(Bucket="sealed", Key="copy")["Body"].read() == body
    got = s3.get_object(Bucket="sealed", Key="parts", Range=f"bytes={5 * MIB - 1}-{5 * MIB + 10}")
    assert got["Body"].read() == b"11" + body[:10]
    assert got["ServerSideEncryption"] == "AES256"


def test_killed_in_the_middle_of_moves_nothing_is_lost(pair, tmp_path, seeded):
    """The server dies again and again while it moves; then every object is where it says, byte for byte."""
    server = serving(tmp_path, pair.vault.endpoint).start()
    try:
        s3, before = server.client(), pair.stored()
        s3.create_bucket(Bucket="killed")
        bodies = {f"k{number:02}": seeded.randbytes(300_000) for number in range(12)}
        bodies["parts"] = seeded.randbytes(15 * MIB)
        for key, body in bodies.items():
            if key != "parts":
                s3.put_object(Bucket="killed", Key=key, Body=body)
        upload = {"Bucket": "killed", "Key": "parts"}
        upload["UploadId"] = s3.create_multipart_upload(**upload)["UploadId"]
        parts = []
        for number in range(3):
            piece = bodies["parts"][number * 5 * MIB : (number + 1) * 5 * MIB]
            made = s3.upload_part(**upload, PartNumber=number + 1, Body=piece)
            parts.append({"PartNumber": number + 1, "ETag": made["ETag"]})
        s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
        put_rule(s3, "killed", Transitions=AT_ONCE)
        for _ in range(3):
            time.sleep(seeded.uniform(0.1, 1.2))
            server.kill()
            server.start()
        wait_until(lambda: all(has_class(s3, "killed", key, "STANDARD_IA")() for key in bodies), within_s=60)
        for key, body in bodies.items():
            assert s3.get_object(Bucket="killed", Key=key)["Body"].read() == body
        # At most what was under way at each death is left at the tier.
        assert 15 <= len(pair.stored().keys() - before.keys()) <= 15 + 3 * 16
        assert server.stop() == 0
        drives = [f"--drive={drive}" for drive in server.drives]
        assert "all is well" in server.run("check", *drives)
    finally:
        if server.process is not None:
            server.kill()


def test_transitions_and_restores_are_told(pair, tmp_path):
    receiver = Receiver()
    server = serving(tmp_path, pair.vault.endpoint, day_s=0.5)
    server.environment["OBJSTORE_TARGETS"] = f"hook={receiver.url}"
    server.start()
    try:
        s3 = server.client()
        s3.create_bucket(Bucket="told")
        arn = "arn:aws:sqs:us-east-1:000000000000:hook"
        events = ["s3:LifecycleTransition", "s3:ObjectRestore:*"]
        queue = {"Id": "mine", "QueueArn": arn, "Events": events}
        s3.put_bucket_notification_configuration(
            Bucket="told", NotificationConfiguration={"QueueConfigurations": [queue]}
        )
        s3.put_object(Bucket="told", Key="a", Body=b"x" * 1000)
        put_rule(s3, "told", Transitions=[{**AT_ONCE[0], "StorageClass": "GLACIER"}])
        wait_until(has_class(s3, "told", "a", "GLACIER"))
        s3.restore_object(Bucket="told", Key="a", RestoreRequest={"Days": 2})

        def records() -> list[dict[str, Any]]:
            return [record for document in receiver.documents for record in document.get("Records", ())]

        wait_until(lambda: len(records()) == 4)
        transition, post, completed, deleted = records()
        names = [record["eventName"] for record in records()]
        assert names == [
            "LifecycleTransition",
            "ObjectRestore:Post",
            "ObjectRestore:Completed",
            "ObjectRestore:Delete",
        ]
        assert transition["lifecycleEventData"] == {
            "transitionEventData": {"destinationStorageClass": "GLACIER"}
        }
        data = completed["glacierEventData"]["restoreEventData"]
        assert data["lifecycleRestoreStorageClass"] == "GLACIER"
        assert data["lifecycleRestorationExpiryTime"].endswith("Z")
        assert completed["s3"]["object"]["size"] == 1000 and completed["eventVersion"] == "2.1"
        owner = post["s3"]["bucket"]["ownerIdentity"]["principalId"]
        assert post["userIdentity"]["principalId"] == owner
        assert completed["userIdentity"]["principalId"] == f"AmazonCustomer:{owner}"
        assert deleted["userIdentity"]["principalId"] == "s3.amazonaws.com"
        assert deleted["eventVersion"] == transition["eventVersion"] == "2.3"
        assert server.stop() == 0
    finally:
        receiver.close()
        if server.process is not None:
            server.kill()


def test_a_server_by_others_as_tier(tmp_path):
    with running_moto() as moto:
        moto.client().create_bucket(Bucket="tier")
        enabled = {"Status": "Enabled"}  # so that deletes must name versions, or nothing is ever deleted
        moto.client().put_bucket_versioning(Bucket="tier", VersioningConfiguration=enabled)
        server = serving(tmp_path, moto.url)
        remote = json.loads(server.environment["OBJSTORE_REMOTES"])[0]
        remote |= {"access_key": MOTO_ACCESS_KEY, "secret_key": MOTO_SECRET_KEY}
        server.environment["OBJSTORE_REMOTES"] = json.dumps([remote])
        server.start()
        try:
            s3, body = server.client(), bytes(range(256)) * 2000
            s3.create_bucket(Bucket="foreign")
            s3.put_object(Bucket="foreign", Key="warm", Body=body)
            s3.put_object(Bucket="foreign", Key="deep", Body=body)
            for key, storage_class in (("warm", "STANDARD_IA"), ("deep", "GLACIER")):
                move = [{**AT_ONCE[0], "StorageClass": storage_class}]
                put_rule(s3, "foreign", Filter={"Prefix": key}, Transitions=move)
                wait_until(has_class(s3, "foreign", key, storage_class))
            assert s3.get_object(Bucket="foreign", Key="warm")["Body"].read() == body
            ranged = s3.get_object(Bucket="foreign", Key="warm", Range="bytes=65000-200000")
            assert ranged["Body"].read() == body[65000:200001]
            s3.restore_object(Bucket="foreign", Key="deep", RestoreRequest={"Days": 60})
            wait_until(lambda: "false" in s3.head_object(Bucket="foreign", Key="deep")["Restore"])
            assert s3.get_object(Bucket="foreign", Key="deep")["Body"].read() == body
            for key in ("warm", "deep"):
                s3.delete_object(Bucket="foreign", Key=key)
            wait_until(lambda: "Versions" not in moto.client().list_object_versions(Bucket="tier"))
            assert "DeleteMarkers" not in moto.client().list_object_versions(Bucket="tier")
            assert server.stop() == 0
        finally:
            if server.process is not None:
                server.kill()


def test_a_noncurrent_version_is_restored_by_its_id(pair):
    s3, old_body = pair.s3, b"old" * 1000
    s3.create_bucket(Bucket="older")
    s3.put_bucket_versioning(Bucket="older", VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket="older", Key="a", Body=old_body)["VersionId"]
    s3.put_object(Bucket="older", Key="a", Body=b"new")
    put_rule(s3, "older", NoncurrentVersionTransitions=[{"NoncurrentDays": 0, "StorageClass": "GLACIER"}])
    name = {"Bucket": "older", "Key": "a", "VersionId": old}
    wait_until(lambda: s3.head_object(**name).get("StorageClass") == "GLACIER")
    assert s3.get_object(Bucket="older", Key="a")["Body"].read() == b"new"
    current = {"Bucket": "older", "Key": "a", "RestoreRequest": {"Days": 60}}
    assert refused(s3.restore_object, **current)["Error"]["Code"] == "InvalidObjectState"
    assert refused(s3.get_object, **name)["Error"]["Code"] == "InvalidObjectState"
    s3.restore_object(**current, VersionId=old)
    wait_until(lambda: "false" in s3.head_object(**name)["Restore"])
    assert s3.get_object(**name)["Body"].read() == old_body
    asked = {"OptionalObjectAttributes": ["RestoreStatus"]}
    newest, oldest = s3.list_object_versions(Bucket="older", **asked)["Versions"]
    assert "RestoreStatus" not in newest and not oldest["RestoreStatus"]["IsRestoreInProgress"]
    places = pair.stored().keys()
    s3.delete_object(**name)
    wait_until(lambda: len(places - pair.stored().keys()) == 1)
    assert s3.get_object(Bucket="older", Key="a")["Body"].read() == b"new"
