"""minio-py: its usual calls, among them its own signer, uploads of unknown length and configurations."""

import io
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import urlopen

import pytest

from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

pytestmark = pytest.mark.clients

minio = pytest.importorskip("minio", reason="minio-py IS NOT INSTALLED: pip install minio")
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def client(server: Server) -> Any:
    return minio.Minio(f"127.0.0.1:{server.port}", ROOT_ACCESS_KEY, ROOT_SECRET_KEY, secure=False)


@pytest.fixture
def place(client: Any, bucket_name: str) -> str:
    assert not client.bucket_exists(bucket_name)
    client.make_bucket(bucket_name)
    assert client.bucket_exists(bucket_name)
    return bucket_name


def body(client: Any, place: str, key: str, **more: Any) -> bytes:
    answer = client.get_object(place, key, **more)
    try:
        return bytes(answer.read())
    finally:
        answer.close()
        answer.release_conn()


def test_put_get_stat_list_copy_remove(client: Any, place: str) -> None:
    key = "a b/ü+ %41?#😀.txt"
    written = client.put_object(place, key, io.BytesIO(b"body"), 4, metadata={"colour": "blue"})
    assert body(client, place, key) == b"body"
    assert body(client, place, key, offset=1, length=2) == b"od"
    stat = client.stat_object(place, key)
    assert (stat.size, stat.etag, stat.metadata["x-amz-meta-colour"]) == (4, written.etag, "blue")
    assert [each.object_name for each in client.list_objects(place)] == ["a b/"]
    assert [each.object_name for each in client.list_objects(place, recursive=True)] == [key]
    client.copy_object(place, "copy", minio.commonconfig.CopySource(place, key))
    assert body(client, place, "copy") == b"body"
    client.remove_object(place, "copy")
    doomed = [minio.deleteobjects.DeleteObject(key)]
    assert list(client.remove_objects(place, doomed)) == []
    client.remove_bucket(place)


def test_uploads_in_parts(client: Any, place: str, seeded: random.Random) -> None:
    data = seeded.randbytes(11 * MIB)
    client.put_object(place, "known", io.BytesIO(data), len(data), part_size=5 * MIB)
    client.put_object(place, "unknown", io.BytesIO(data), -1, part_size=5 * MIB)
    sources = [minio.commonconfig.ComposeSource(place, key) for key in ("known", "unknown")]
    client.compose_object(place, "composed", sources)
    assert body(client, place, "known") == body(client, place, "unknown") == data
    assert body(client, place, "composed") == data * 2


def test_urls_and_forms(client: Any, place: str) -> None:
    client.put_object(place, "shared", io.BytesIO(b"shared"), 6)
    with urlopen(client.presigned_get_object(place, "shared", timedelta(minutes=1))) as answer:
        assert answer.read() == b"shared"
    policy = minio.datatypes.PostPolicy(place, datetime.now(UTC) + timedelta(minutes=1))
    policy.add_starts_with_condition("key", "form/")
    policy.add_content_length_range_condition(1, 100)
    assert {"policy", "x-amz-signature"} <= set(client.presigned_post_policy(policy))


def test_configurations_of_a_bucket(client: Any, place: str) -> None:
    enabled = minio.commonconfig.ENABLED
    client.set_bucket_versioning(place, minio.versioningconfig.VersioningConfig(enabled))
    assert client.get_bucket_versioning(place).status == enabled
    tags = minio.commonconfig.Tags.new_bucket_tags()
    tags["team"] = "a"
    client.set_bucket_tags(place, tags)
    assert client.get_bucket_tags(place) == tags
    client.delete_bucket_tags(place)
    assert client.get_bucket_tags(place) is None
    lifecycle = minio.lifecycleconfig
    rule = lifecycle.Rule(
        enabled,
        rule_filter=minio.commonconfig.Filter(prefix="logs/"),
        rule_id="old",
        expiration=lifecycle.Expiration(days=30),
    )
    client.set_bucket_lifecycle(place, lifecycle.LifecycleConfig([rule]))
    (kept,) = client.get_bucket_lifecycle(place).rules
    assert (kept.rule_id, kept.rule_filter.prefix, kept.expiration.days) == ("old", "logs/", 30)
    client.delete_bucket_lifecycle(place)
    assert client.get_bucket_lifecycle(place) is None
    with pytest.raises(minio.error.S3Error, match="NoSuchBucketPolicy"):
        client.get_bucket_policy(place)
    client.get_bucket_notification(place)


def test_versions_tags_and_locks_of_objects(client: Any, bucket_name: str) -> None:
    client.make_bucket(bucket_name, object_lock=True)
    first = client.put_object(bucket_name, "key", io.BytesIO(b"1"), 1).version_id
    client.put_object(bucket_name, "key", io.BytesIO(b"2"), 1)
    assert body(client, bucket_name, "key", version_id=first) == b"1"
    tags = minio.commonconfig.Tags.new_object_tags()
    tags["n"] = "1"
    client.set_object_tags(bucket_name, "key", tags, version_id=first)
    assert client.get_object_tags(bucket_name, "key", version_id=first) == tags
    client.enable_object_legal_hold(bucket_name, "key", version_id=first)
    assert client.is_object_legal_hold_enabled(bucket_name, "key", version_id=first)
    with pytest.raises(minio.error.S3Error, match="AccessDenied"):
        client.remove_object(bucket_name, "key", version_id=first)
    client.disable_object_legal_hold(bucket_name, "key", version_id=first)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    kept = minio.retention.Retention(minio.commonconfig.GOVERNANCE, until)
    client.set_object_retention(bucket_name, "key", kept, version_id=first)
    assert client.get_object_retention(bucket_name, "key", version_id=first).retain_until_date == until
    listed = list(client.list_objects(bucket_name, include_version=True))
    assert [each.is_latest for each in listed] == ["true", "false"]


def test_errors(client: Any, place: str) -> None:
    with pytest.raises(minio.error.S3Error) as caught:
        client.stat_object(place, "none")
    assert caught.value.code == "NoSuchKey"
    with pytest.raises(minio.error.S3Error, match="NoSuchBucket"):
        list(client.list_objects("no-such-bucket-here"))
