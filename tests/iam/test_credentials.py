"""Access keys: looked up once, forgotten the moment anything changed, never found when disabled."""

from typing import Any

import pytest

from objstore.iam.credentials import CACHE_MAX, Credentials
from objstore.iam.sealing import SealBroken, Sealer
from objstore.meta import queries
from objstore.model import AccessKey, User


class Facts:
    """Users and keys, the epoch, and how often they were asked for."""

    def __init__(self, sealer: Sealer) -> None:
        self.sealer = sealer
        self.users: dict[str, User] = {}
        self.keys: dict[str, AccessKey] = {}
        self.epoch = 0
        self.asked = 0

    def put(self, access_key: str, secret: str, *, enabled: bool = True, user_enabled: bool = True) -> None:
        user_id = f"id-{access_key}"
        self.users[user_id] = User(user_id, "alice", "Alice", "", 0, is_enabled=user_enabled)
        sealed = self.sealer.seal(secret, access_key)
        self.keys[access_key] = AccessKey(access_key, user_id, sealed, 0, is_enabled=enabled)
        self.epoch += 1

    def read_now(self, query: Any, name: str) -> Any:
        self.asked += 1
        return {queries.access_key: self.keys, queries.user_by_id: self.users}[query].get(name)


@pytest.fixture
def facts() -> Facts:
    return Facts(Sealer.generate())


def test_an_enabled_key_of_an_enabled_user_gives_identity_and_secret(facts: Facts) -> None:
    facts.put("AK", "secret")
    found = Credentials(facts, facts.sealer, facts).find("AK")
    assert found is not None
    identity, secret = found
    assert (identity.name, identity.display_name, identity.access_key) == ("alice", "Alice", "AK")
    assert secret == "secret"
    assert not identity.is_anonymous


def test_unknown_and_disabled_keys_and_users_are_not_found(facts: Facts) -> None:
    facts.put("OFF", "secret", enabled=False)
    facts.put("USER-OFF", "secret", user_enabled=False)
    facts.put("ORPHAN", "secret")
    facts.users.clear()
    credentials = Credentials(facts, facts.sealer, facts)
    assert [credentials.find(key) for key in ("NONE", "OFF", "USER-OFF", "ORPHAN", "")] == [None] * 5


def test_a_key_is_looked_up_once_per_epoch(facts: Facts) -> None:
    facts.put("AK", "secret")
    credentials = Credentials(facts, facts.sealer, facts)
    for _ in range(10):
        credentials.find("AK")
    assert facts.asked == 2
    facts.epoch += 1
    credentials.find("AK")
    assert facts.asked == 4


def test_a_change_counts_from_the_next_request_on(facts: Facts) -> None:
    credentials = Credentials(facts, facts.sealer, facts)
    assert credentials.find("AK") is None
    facts.put("AK", "one")
    assert credentials.find("AK") is not None
    facts.put("AK", "two")
    found = credentials.find("AK")
    assert found is not None and found[1] == "two"
    facts.put("AK", "two", enabled=False)
    assert credentials.find("AK") is None


def test_memory_is_bounded_whatever_keys_are_tried(facts: Facts) -> None:
    credentials = Credentials(facts, facts.sealer, facts)
    for number in range(CACHE_MAX + 100):
        facts.keys[f"K{number}"] = AccessKey(f"K{number}", "u", facts.sealer.seal("s", f"K{number}"), 0)
    facts.users["u"] = User("u", "u", "u", "", 0)
    for number in range(CACHE_MAX + 100):
        credentials.find(f"K{number}")
        credentials.find(f"unknown-{number}")
    assert len(credentials._known) <= CACHE_MAX


def test_a_key_file_that_does_not_fit_is_an_error_and_no_wrong_secret(facts: Facts) -> None:
    facts.put("AK", "secret")
    with pytest.raises(SealBroken):
        Credentials(facts, Sealer.generate(), facts).find("AK")
