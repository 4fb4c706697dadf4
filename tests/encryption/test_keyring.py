"""The server's own keyring."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from objstore.encryption.keyring import KeyNameInvalid, Keyring
from objstore.encryption.provider import KmsKeyDisabled, KmsKeyExists, KmsKeyMissing
from objstore.iam.sealing import SealBroken, Sealer
from objstore.meta import queries
from tests.encryption.providers import KEY, KeyProviderConformance
from tests.service.support import LocalFacts


class Moves:
    """An epoch that whoever holds it moves."""

    epoch = 0


class TestKeyring(KeyProviderConformance):
    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Any]:
        yield Keyring(LocalFacts(), Sealer(bytes(32)), Moves())

    async def make_key(self, provider: Any, name: str) -> None:
        await provider.create(name)

    async def rotate(self, provider: Any, name: str) -> None:
        await provider.rotate(name)


def test_processes_see_what_another_did_when_the_epoch_moves() -> None:
    async def main() -> None:
        facts, moves, sealer = LocalFacts(), Moves(), Sealer(bytes(32))
        mine, theirs = Keyring(facts, sealer, moves), Keyring(facts, sealer, moves)
        await mine.create("k")
        wrapped = mine.wrap_now("k", KEY, b"")
        assert theirs.unwrap_now("k", wrapped, b"") == KEY
        await mine.set_enabled("k", False)
        await mine.rotate("k")
        moves.epoch += 1
        for call in (lambda: theirs.wrap_now("k", KEY, b""), lambda: theirs.unwrap_now("k", wrapped, b"")):
            with pytest.raises(KmsKeyDisabled):
                call()
        await theirs.set_enabled("k", True)
        moves.epoch += 1
        assert mine.version_of(theirs.wrap_now("k", KEY, b"")) == 2
        assert theirs.unwrap_now("k", wrapped, b"") == KEY
        (status,) = await mine.list()
        assert (status.name, status.newest_version, status.is_enabled) == ("k", 2, True)

    asyncio.run(main())


def test_names_and_doubles() -> None:
    async def main() -> None:
        keyring = Keyring(LocalFacts(), Sealer(bytes(32)), Moves())
        for name in ("", "a/b", "a b", "x" * 129, "ü"):
            with pytest.raises(KeyNameInvalid):
                await keyring.create(name)
        await keyring.create("k")
        with pytest.raises(KmsKeyExists):
            await keyring.create("k")
        await keyring.provide("k")
        await keyring.provide("other")
        assert [one.name for one in await keyring.list()] == ["k", "other"]
        with pytest.raises(KmsKeyMissing):
            await keyring.rotate("absent")
        with pytest.raises(KmsKeyMissing):
            await keyring.set_enabled("absent", True)

    asyncio.run(main())


def test_secrets_lie_sealed_and_show_nowhere() -> None:
    async def main() -> None:
        facts = LocalFacts()
        keyring = Keyring(facts, Sealer(bytes(32)), Moves())
        await keyring.create("k")
        (row,) = await facts.read(queries.master_key, "k")
        secret = Sealer(bytes(32)).open(row.secret_sealed, "master key k 1")
        assert bytes.fromhex(secret) not in row.secret_sealed and secret.encode() not in row.secret_sealed
        keyring.wrap_now("k", KEY, b"")
        assert secret not in repr(keyring._known)
        other = Keyring(facts, Sealer(b"x" * 32), Moves())
        with pytest.raises(SealBroken):
            other.wrap_now("k", KEY, b"")

    asyncio.run(main())
