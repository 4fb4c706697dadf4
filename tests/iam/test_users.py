"""Users and keys on the real tables: root, rules, and nothing half done."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from objstore.iam.keys import Issued, UserInvalid, issue
from objstore.iam.sealing import Sealer
from objstore.iam.users import RootKeyTaken, Users
from objstore.meta import queries
from objstore.meta.interface import KeyExists, UserExists, UserMissing
from tests.meta.support.sqlite_database import SqliteDatabase


class Metadata:
    """The client of the metadata, without a ledger; counts writes."""

    def __init__(self) -> None:
        self.database = SqliteDatabase()
        self.writes = 0

    async def write(self, command: Any) -> Any:
        self.writes += 1
        return self.database.write(command, now_ms=1)

    async def read(self, query: Callable[..., Any], *args: Any) -> Any:
        return self.database.read(query, *args)


@pytest.fixture
def metadata() -> Metadata:
    return Metadata()


@pytest.fixture
def users(metadata: Metadata) -> Users:
    return Users(metadata, Sealer.generate())


def secret_of(users: Users, metadata: Metadata, access_key: str) -> str:
    row = metadata.database.read(queries.access_key, access_key)
    assert row is not None and row.is_enabled
    return users._sealer.open(row.secret_sealed, access_key)


def test_root_is_made_once_and_a_second_start_writes_nothing(users: Users, metadata: Metadata) -> None:
    asyncio.run(users.provide_root("ROOT", "root-secret"))
    root = asyncio.run(users.by_name("root"))
    assert root.is_root and re.fullmatch("[0-9a-f]{64}", root.id)
    assert secret_of(users, metadata, "ROOT") == "root-secret"
    writes = metadata.writes
    asyncio.run(users.provide_root("ROOT", "root-secret"))
    assert metadata.writes == writes


def test_a_new_secret_for_root_takes_the_place_of_the_old(users: Users, metadata: Metadata) -> None:
    asyncio.run(users.provide_root("ROOT", "root-secret"))
    asyncio.run(users.provide_root("ROOT", "other-secret"))
    assert secret_of(users, metadata, "ROOT") == "other-secret"


def test_a_new_key_for_root_removes_the_servers_old_one_and_no_other(
    users: Users, metadata: Metadata
) -> None:
    asyncio.run(users.provide_root("ROOT", "root-secret"))
    asyncio.run(users.add_key("root", Issued("EXTRA", "extra-secret")))
    asyncio.run(users.provide_root("ROOT2", "root-secret-2"))
    keys = asyncio.run(users.keys("root"))
    assert sorted(key.access_key for key in keys) == ["EXTRA", "ROOT2"]
    asyncio.run(users.provide_root("ROOT", "root-secret"))
    assert sorted(key.access_key for key in asyncio.run(users.keys("root"))) == ["EXTRA", "ROOT"]


def test_roots_key_is_enabled_again_and_sealed_anew_by_a_start(users: Users, metadata: Metadata) -> None:
    asyncio.run(users.provide_root("ROOT", "root-secret"))
    asyncio.run(users.set_key_enabled("ROOT", False))
    asyncio.run(users.provide_root("ROOT", "root-secret"))
    assert secret_of(users, metadata, "ROOT") == "root-secret"
    with_other_key_file = Users(metadata, Sealer.generate())
    asyncio.run(with_other_key_file.provide_root("ROOT", "root-secret"))
    assert secret_of(with_other_key_file, metadata, "ROOT") == "root-secret"


def test_root_does_not_take_the_key_of_another(users: Users, metadata: Metadata) -> None:
    asyncio.run(users.add("alice", Issued("TAKEN", "alices-secret")))
    with pytest.raises(RootKeyTaken, match="TAKEN"):
        asyncio.run(users.provide_root("TAKEN", "root-secret"))
    assert secret_of(users, metadata, "TAKEN") == "alices-secret"


def test_a_user_whose_key_is_taken_is_not_left_behind(users: Users) -> None:
    asyncio.run(users.add("alice", Issued("TAKEN", "alices-secret")))
    with pytest.raises(KeyExists):
        asyncio.run(users.add("bob", Issued("TAKEN", "bobs-secret")))
    with pytest.raises(UserMissing):
        asyncio.run(users.by_name("bob"))


def test_names_ids_and_addresses_are_nobody_elses(users: Users, metadata: Metadata) -> None:
    asyncio.run(users.add("alice", issue(), user_id="a1", email="a@example.org"))
    with pytest.raises(UserExists):
        asyncio.run(users.add("alice", issue()))
    with pytest.raises(UserExists):
        asyncio.run(users.add("bob", issue(), email="a@example.org"))
    with pytest.raises(UserInvalid, match="canonical id"):
        asyncio.run(users.add("bob", issue(), user_id="a1"))
    assert [user.name for user in asyncio.run(users.all())] == ["alice"]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "a" * 65, "a\n"])
def test_a_name_that_is_not_allowed_is_refused(users: Users, metadata: Metadata, name: str) -> None:
    with pytest.raises(UserInvalid, match="name"):
        asyncio.run(users.add(name, issue()))
    assert metadata.writes == 0


@pytest.mark.parametrize(
    ("access_key", "secret_key"),
    [("ab", None), ("a" * 129, None), ("a b", None), ("a/b", None), (None, "short"), (None, "s" * 129)],
)
def test_a_key_that_is_not_allowed_is_refused(access_key: str | None, secret_key: str | None) -> None:
    with pytest.raises(UserInvalid) as caught:
        issue(access_key, secret_key)
    assert secret_key is None or secret_key not in str(caught.value)


def test_generated_keys_never_repeat() -> None:
    keys = {issue().access_key for _ in range(1000)} | {issue().secret_key for _ in range(1000)}
    assert len(keys) == 2000
