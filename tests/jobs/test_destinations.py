"""Where replicas go: what is sent, and what counts as being there already."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from objstore.jobs.destinations import RemoteBucket
from objstore.model import NULL_VERSION, Attributes, ObjectVersion
from objstore.remote.client import BUFFER_BYTES, RemoteObject
from objstore.s3.documents.replication import Destination, ReplicationRule
from objstore.s3.replication import PROBE_HEADER

RULE = ReplicationRule(status="Enabled", destination=Destination(bucket="arn:aws:objstore:::far/bucket"))


class Ours:
    """Another server of ours, which has a version of every id."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def head(self, bucket: str, key: str, version_id: str | None = None, **_: Any) -> RemoteObject:
        return RemoteObject("etag of another", version_id, headers={PROBE_HEADER: "1"})

    async def put(self, bucket: str, key: str, *_: Any, **about: Any) -> RemoteObject:
        self.sent.append(key)
        return RemoteObject("etag")


@pytest.mark.parametrize(("version_id", "sent"), [("v1", []), (NULL_VERSION, ["key"])])
def test_a_large_version_is_not_sent_twice_unless_its_id_may_be_anothers(
    version_id: str, sent: list[str]
) -> None:
    there = Ours()
    place = RemoteBucket(cast(Any, SimpleNamespace()), cast(Any, there), "bucket")
    version = ObjectVersion(1, "key", version_id, 1, 0, "owner", BUFFER_BYTES + 1, "etag", Attributes())
    asyncio.run(place.put(version, RULE))
    assert there.sent == sent
