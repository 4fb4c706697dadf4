"""GetObjectTorrent: no object has a torrent any more."""

from typing import Any

from tests.operations.refusals import refused


def test_there_is_none(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    for key in ("key", "absent"):
        assert refused(s3.get_object_torrent, Bucket=bucket, Key=key) == (404, "NoSuchKey")


def test_who_may_ask(s3: Any, other: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    assert refused(other.get_object_torrent, Bucket=bucket, Key="key") == (403, "AccessDenied")
