"""Tiers end to end: bytes go to another server and come back, and nothing is lost on the way."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

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
        environment={"OBJSTORE_REMOTES": json.dumps(remotes), "OBJSTORE_TIERS": TIERS},
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
