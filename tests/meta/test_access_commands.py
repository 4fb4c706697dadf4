"""The commands that keep who may do what: extra attributes of a version, an account's access block."""

import pytest

from objstore.meta import commands, queries
from objstore.meta.interface import BucketMissing, IsDeleteMarker, KeyMissing, VersionMissing
from objstore.model import Attributes, Bucket, ObjectVersion, Versioning
from tests.meta.support.sqlite_database import SqliteDatabase

NOW = 1_700_000_000_000
ATTRIBUTES = Attributes(headers={"content-type": "text/plain"}, extra={"room": "for more"})


class Facts:
    """A database with one bucket that keeps versions."""

    def __init__(self) -> None:
        self.db = SqliteDatabase()
        self.bucket: Bucket = self.db.write(commands.CreateBucket("bucket", "owner", "here"), NOW)
        self.db.write(commands.SetVersioning(self.bucket.id, Versioning.ENABLED), NOW)

    def put(self, version_id: str) -> ObjectVersion:
        command = commands.PutVersion(
            self.bucket.id, "key", 0, "etag", "owner", ATTRIBUTES, version_id=version_id
        )
        return self.db.write(command, NOW)

    def set(self, version_id: str | None, value: str | None, key: str = "key") -> ObjectVersion:
        command = commands.SetExtraAttribute(self.bucket.id, key, version_id, "acl", value)
        return self.db.write(command, NOW + 5)

    def extra(self, version_id: str) -> dict[str, str]:
        version = self.db.read(queries.version, self.bucket.id, "key", version_id)
        assert version is not None
        return dict(version.attributes.extra)


def test_the_current_version_or_the_one_named_gets_it_and_nothing_else_changes() -> None:
    facts = Facts()
    first, second = facts.put("v1"), facts.put("v2")
    facts.set(None, "current")
    facts.set("v1", "noncurrent")
    assert facts.extra("v1") == {"room": "for more", "acl": "noncurrent"}
    assert facts.extra("v2") == {"room": "for more", "acl": "current"}
    for before in (first, second):
        now = facts.db.read(queries.version, facts.bucket.id, "key", before.version_id)
        assert now is not None
        assert (now.sequence, now.modified_ms, now.attributes.headers) == (
            before.sequence,
            before.modified_ms,
            before.attributes.headers,
        )


def test_it_can_be_taken_away_again() -> None:
    facts = Facts()
    facts.put("v1")
    assert facts.set("v1", "a").attributes.extra == {"room": "for more", "acl": "a"}
    assert facts.set("v1", None).attributes.extra == {"room": "for more"}
    assert facts.set("v1", None).attributes.extra == {"room": "for more"}


def test_what_is_not_there_gets_none() -> None:
    facts = Facts()
    with pytest.raises(KeyMissing):
        facts.set(None, "a")
    facts.put("v1")
    with pytest.raises(VersionMissing):
        facts.set("v2", "a")
    with pytest.raises(BucketMissing):
        facts.db.write(commands.SetExtraAttribute(facts.bucket.id + 99, "key", None, "acl", "a"), NOW)
    facts.db.write(commands.DeleteVersion(facts.bucket.id, "key", "owner", new_version_id="marker"), NOW)
    with pytest.raises(IsDeleteMarker):
        facts.set("marker", "a")
    with pytest.raises(KeyMissing):
        facts.set(None, "a")


def test_an_account_has_one_block_of_its_own() -> None:
    facts = Facts()
    assert facts.db.read(queries.account_public_access_block, "ann") is None
    facts.db.write(commands.SetAccountPublicAccessBlock("ann", b"<a/>"), NOW)
    facts.db.write(commands.SetAccountPublicAccessBlock("bob", b"<b/>"), NOW)
    assert facts.db.read(queries.account_public_access_block, "ann") == b"<a/>"
    facts.db.write(commands.SetAccountPublicAccessBlock("ann", None), NOW)
    assert facts.db.read(queries.account_public_access_block, "ann") is None
    assert facts.db.read(queries.account_public_access_block, "bob") == b"<b/>"


def test_a_bucket_has_its_configuration_from_the_first_moment() -> None:
    facts = Facts()
    command = commands.CreateBucket("other", "owner", "here", subresources={"acl": b"a", "policy": b"p"})
    made = facts.db.write(command, NOW)
    assert facts.db.read(queries.subresources, made.id) == {"acl": b"a", "policy": b"p"}
