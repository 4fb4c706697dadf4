"""Sealing old data keys anew: what is passed by, what cannot be opened, what changes meanwhile."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from objstore.encryption.provider import KmsKeyMissing
from objstore.jobs.resealing import reseal
from objstore.meta.commands import AddMasterKey, ReplaceEncryption, SetMasterKeyEnabled
from objstore.meta.interface import Conflict, MasterKeyExists, MasterKeyMissing
from objstore.model import Attributes, Encryption, EncryptionMethod, Versioning
from objstore.s3.encryption import ManagedKey
from objstore.service.objects import NewObject
from tests.service.support import World


class Renewing:
    """Seals anew what is not sealed under `newest`; refuses some keys."""

    def __init__(self, newest: bytes, *refused: bytes) -> None:
        self.newest = newest
        self.refused = refused

    async def renewed(self, encryption: Encryption) -> Encryption | None:
        if encryption.wrapped_key in self.refused:
            raise KmsKeyMissing("gone")
        if encryption.wrapped_key == self.newest:
            return None
        return replace(encryption, wrapped_key=self.newest)


async def put(world: World, key: str) -> bytes:
    """An encrypted object; its sealed data key."""
    new = NewObject(Attributes(), encryption=ManagedKey(EncryptionMethod.S3))
    version = await world.put(key, b"data", new)
    assert version.attributes.encryption is not None
    return version.attributes.encryption.wrapped_key


def test_every_version_is_gone_through_however_many() -> None:
    async def main() -> None:
        world = World(Versioning.ENABLED)
        for number in range(600):
            await put(world, f"{number % 300:03}")
            if number % 100 == 0:
                await world.put(f"{number % 300:03}-plain", b"data")
        done = await reseal(world.facts, Renewing(b"new"))
        assert (done.looked_at, done.sealed, done.failed) == (600, 600, 0)
        done = await reseal(world.facts, Renewing(b"new"))
        assert (done.looked_at, done.sealed, done.failed) == (600, 0, 0)

    asyncio.run(main())


def test_what_cannot_be_opened_is_left_and_told() -> None:
    async def main() -> None:
        world = World()
        lost = await put(world, "lost")
        await put(world, "found")
        done = await reseal(world.facts, Renewing(b"new", lost))
        assert (done.sealed, done.failed) == (1, 1)
        version = await world.objects.find(world.bucket, "lost")
        assert version.attributes.encryption is not None
        assert version.attributes.encryption.wrapped_key == lost

    asyncio.run(main())


def test_what_is_replaced_meanwhile_stays_as_it_is() -> None:
    async def main() -> None:
        world = World()
        await put(world, "k")
        before = await world.objects.find(world.bucket, "k")
        encryption = before.attributes.encryption
        assert encryption is not None
        newer = await put(world, "k")
        renewed = replace(encryption, wrapped_key=b"new")
        command = ReplaceEncryption(world.bucket.id, "k", "null", encryption.wrapped_key, renewed)
        with pytest.raises(Conflict):
            await world.facts.write(command)
        after = await world.objects.find(world.bucket, "k")
        assert after.attributes.encryption is not None and after.attributes.encryption.wrapped_key == newer
        await world.put("k", b"plain")
        with pytest.raises(Conflict):
            await world.facts.write(command)

    asyncio.run(main())


def test_versions_of_master_keys_follow_one_another() -> None:
    async def main() -> None:
        facts: Any = World().facts
        await facts.write(AddMasterKey("k", 1, b"one"))
        for version in (1, 3):
            with pytest.raises(MasterKeyExists):
                await facts.write(AddMasterKey("k", version, b"again"))
        await facts.write(SetMasterKeyEnabled("k", False))
        assert (await facts.write(AddMasterKey("k", 2, b"two"))).is_enabled is False
        with pytest.raises(MasterKeyMissing):
            await facts.write(SetMasterKeyEnabled("other", True))

    asyncio.run(main())
