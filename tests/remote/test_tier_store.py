"""TierStore: a blob store over two places, that believes neither."""

import asyncio
import re
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from xxhash import xxh3_64_intdigest

from objstore.model import BlobRef
from objstore.remote import tier_store
from objstore.remote.tier_store import Place, Tier, TierStore, TierUnavailable, is_at_tier
from objstore.storage.interface import BlobCorrupt, BlobMissing, Exposure, Health
from objstore.storage.memory import MemoryBlobStore
from tests.storage.support import pieces, read
from tests.support.remote import FakeRemote

TIER = Tier.parse("GLACIER=vault/archive/a/b")
DATA = Random(1).randbytes(300_000)


class Scene:
    def __init__(self) -> None:
        self.remote = FakeRemote()
        self.store = TierStore(MemoryBlobStore(), {"vault": self.remote}, [TIER])

    async def send(self, data: bytes = DATA) -> BlobRef:
        here = await self.store.put(pieces(data), len(data))
        return await self.store.send(here, self.store.intend(TIER, here.size))


def run(test: Callable[[Scene], Awaitable[Any]]) -> Any:
    return asyncio.run(test(Scene()))


def test_tiers_are_named_in_one_line() -> None:
    assert Tier.parse("GLACIER=vault/archive") == Tier("GLACIER", "vault", "archive")
    assert Tier("GLACIER", "vault", "archive", "a/b") == TIER
    assert TIER.key_of(b"\x01" * 16) == "a/b/01/" + "01" * 16
    assert Tier("GLACIER", "vault", "archive").key_of(b"\x01" * 16) == "01/" + "01" * 16


def test_what_is_sent_is_read_in_whole_and_in_ranges() -> None:
    async def test(scene: Scene) -> None:
        ref = await scene.send()
        assert is_at_tier(ref) and ref.size == len(DATA)
        assert await read(scene.store, ref) == DATA
        random = Random(2)
        for _ in range(30):
            offset = random.randrange(len(DATA))
            length = random.randint(0, len(DATA) - offset)
            got = b"".join([bytes(p) async for p in scene.store.get(ref, offset, length)])
            assert got == DATA[offset : offset + length]
        assert scene.store.get_now(ref, 0, 10) is None
        assert scene.store.exposure(ref) == Exposure()
        assert (await scene.store.verify(ref, repair=True)).health is Health.HEALTHY
        assert await scene.store.delete(ref) and not scene.remote.objects
        assert await scene.store.delete(ref)
        with pytest.raises(BlobMissing):
            await read(scene.store, ref)

    run(test)


def test_what_lies_at_a_tier_is_as_it_is_written_down() -> None:
    async def test(scene: Scene) -> None:
        ref = await scene.send()
        (data,) = scene.remote.objects.values()
        seed = xxh3_64_intdigest(ref.id + struct.pack("<Q", ref.size))
        found = b""
        for block, start in enumerate(range(0, len(data), 65_544)):
            piece, checksum = data[start : start + 65_544][:-8], data[start : start + 65_544][-8:]
            assert struct.unpack("<Q", checksum)[0] == xxh3_64_intdigest(piece, (seed + block) % 2**64)
            found += piece
        assert found == DATA

    run(test)
    text = (Path(__file__).parents[2] / "docs/on_disk_format.md").read_text()
    assert re.search(r"begins with the byte 0xF7", text) and tier_store.KIND == 0xF7


def test_a_large_blob_goes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier_store, "SINGLE_BYTES_MAX", 100_000)
    monkeypatch.setattr(tier_store, "PART_BYTES_MIN", 1)

    async def test(scene: Scene) -> None:
        data = Random(3).randbytes(2_500_000)
        ref = await scene.send(data)
        assert Place.parse(ref.locator).etag is not None
        assert "-3" in str(Place.parse(ref.locator).etag)
        assert "get" not in scene.remote.asked
        assert await read(scene.store, ref) == data

    run(test)


def test_where_the_etag_is_no_digest_everything_is_read_back() -> None:
    async def test(scene: Scene) -> None:
        scene.remote.has_md5_etags = False
        ref = await scene.send()
        assert "get" in scene.remote.asked
        assert await read(scene.store, ref) == DATA
        scene.remote.spoil = lambda data: data[:-1] + bytes([data[-1] ^ 1])
        with pytest.raises(BlobCorrupt):
            await scene.send()

    run(test)


@pytest.mark.parametrize("spoil", [lambda data: data[:-1], lambda data: b"x" + data[1:]])
def test_what_arrives_otherwise_is_never_taken_for_sent(spoil: Any) -> None:
    async def test(scene: Scene) -> None:
        scene.remote.spoil = spoil
        with pytest.raises(BlobCorrupt):
            await scene.send()

    run(test)


def test_bytes_that_change_at_the_tier_are_found() -> None:
    async def test(scene: Scene) -> None:
        ref = await scene.send()
        (key,) = scene.remote.objects
        data = bytearray(scene.remote.objects[key])
        data[200_000] ^= 1
        scene.remote.objects[key] = bytes(data)
        with pytest.raises(BlobCorrupt):
            await read(scene.store, ref)
        assert b"".join([bytes(p) async for p in scene.store.get(ref, 0, 100_000)]) == DATA[:100_000]
        scene.remote.etags[key] = "of another object"
        with pytest.raises(BlobCorrupt):
            await read(scene.store, ref)

    run(test)


def test_a_tier_that_is_down_or_forgotten_never_looks_empty() -> None:
    async def test(scene: Scene) -> None:
        ref = await scene.send()
        scene.remote.is_down = True
        with pytest.raises(TierUnavailable):
            await read(scene.store, ref)
        with pytest.raises(TierUnavailable):
            await scene.store.delete(ref)
        with pytest.raises(TierUnavailable):
            await scene.send()
        asked = len(scene.remote.asked)
        with pytest.raises(TierUnavailable):
            await scene.store.delete(ref)
        assert len(scene.remote.asked) == asked, "left alone for a while"
        forgetful = TierStore(scene.store.local, {}, [])
        for attempt in (read(forgetful, ref), forgetful.delete(ref)):
            with pytest.raises(TierUnavailable):
                await attempt

    run(test)


def test_what_may_have_broken_off_in_parts_is_given_up_with_the_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tier_store, "SINGLE_BYTES_MAX", 100_000)

    async def test(scene: Scene) -> None:
        assert await scene.store.delete(scene.store.intend(TIER, 1000))
        assert "abort" not in scene.remote.asked
        assert await scene.store.delete(await scene.send())
        assert "abort" not in scene.remote.asked, "it was whole"
        assert await scene.store.delete(scene.store.intend(TIER, 200_000))
        assert scene.remote.asked[-1] == "abort"

    run(test)
