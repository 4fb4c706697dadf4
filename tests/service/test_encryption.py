"""Encrypted objects over fakes: what lies in the store, what comes out, what a copy shares."""

import asyncio
import hashlib
import random
from dataclasses import replace

import pytest

from objstore.model import Attributes, EncryptionMethod, ObjectVersion
from objstore.s3.conditions import parse_conditions
from objstore.s3.encryption import CustomerKey, ManagedKey, Wanted
from objstore.s3.errors import AccessDenied, InvalidRequest, S3Error
from objstore.service.copy import Source, Terms
from objstore.service.failures import translate
from objstore.service.multipart import ClaimedPart, Completion
from objstore.service.objects import NewObject
from objstore.storage.interface import BlobCorrupt
from tests.service.support import OWNER, FakeBody, World

S3 = ManagedKey(EncryptionMethod.S3)
KMS = ManagedKey(EncryptionMethod.KMS)
BUCKET_KEY = ManagedKey(EncryptionMethod.KMS, uses_bucket_key=True)
MINE = CustomerKey(b"k" * 32, "md5 of k")
THEIRS = CustomerKey(b"t" * 32, "md5 of t")
EVERY: list[Wanted | None] = [None, S3, KMS, BUCKET_KEY, MINE]
MIB = 1024 * 1024


def key_for(wanted: Wanted | None) -> CustomerKey | None:
    return wanted if isinstance(wanted, CustomerKey) else None


async def put(world: World, key: str, data: bytes, wanted: Wanted | None) -> ObjectVersion:
    return await world.put(key, data, NewObject(Attributes(), encryption=wanted))


async def read(
    world: World, version: ObjectVersion, wanted: Wanted | None, offset: int = 0, length: int | None = None
) -> bytes:
    length = version.size - offset if length is None else length
    data_key = await world.objects.unlock(version, key_for(wanted))
    now = world.objects.read_now(version, offset, length, data_key)
    stream = await world.objects.open(version, offset, length, data_key)
    streamed = b"".join([bytes(piece) async for piece in stream])
    assert now is None or bytes(now) == streamed
    return streamed


async def put_parts(world: World, key: str, parts: list[bytes], wanted: Wanted | None) -> ObjectVersion:
    new = NewObject(Attributes(), encryption=wanted)
    upload = await world.uploads.create(world.bucket, key, OWNER, new)
    claimed = []
    for number, data in enumerate(parts, 1):
        part, _ = await world.uploads.put_part(
            world.bucket, upload, number, FakeBody(data), new.integrity, key_for(wanted)
        )
        claimed.append(ClaimedPart(number, part.etag, {}))
    return await world.uploads.complete(world.bucket, key, upload.upload_id, claimed, Completion())


def source(world: World, version: ObjectVersion, wanted: Wanted | None) -> Source:
    return Source(world.bucket, version.key, None, parse_conditions({}, 0), key_for(wanted))


@pytest.mark.parametrize("wanted", EVERY[1:])
@pytest.mark.parametrize("size", [1, 4096, 65_536, 65_537, 3 * MIB + 17])
def test_what_is_encrypted_comes_out_plain(wanted: Wanted, size: int, seeded: random.Random) -> None:
    async def main() -> None:
        world = World()
        data = seeded.randbytes(size)
        version = await put(world, "k", data, wanted)
        assert version.size == size
        assert all(data[:64] not in stored for stored in world.stored if size >= 64)
        found = await world.objects.find(world.bucket, "k")
        assert found.attributes == version.attributes
        assert await read(world, found, wanted) == data
        for _ in range(10):
            offset = seeded.randrange(size)
            length = seeded.randint(1, size - offset)
            assert await read(world, found, wanted, offset, length) == data[offset : offset + length]
        is_md5 = version.etag == hashlib.md5(data).hexdigest()
        assert is_md5 == (wanted is S3)

    asyncio.run(main())


@pytest.mark.parametrize("wanted", EVERY)
def test_an_empty_object_needs_no_bytes(wanted: Wanted | None) -> None:
    async def main() -> None:
        world = World()
        version = await put(world, "k", b"", wanted)
        assert version.size == 0 and world.stored == []
        assert (version.attributes.encryption is None) == (wanted is None)

    asyncio.run(main())


def test_buckets_encrypt_by_default_where_the_server_says_so() -> None:
    async def main() -> None:
        world = World(encrypts=True)
        version = await world.put("k", b"plain words")
        assert version.attributes.encryption is not None
        assert version.attributes.encryption.method is EncryptionMethod.S3
        assert b"plain words" not in world.stored[0]
        assert await read(world, version, None) == b"plain words"

    asyncio.run(main())


@pytest.mark.parametrize("wanted", EVERY)
def test_parts_are_read_as_one(wanted: Wanted | None, seeded: random.Random) -> None:
    async def main() -> None:
        world = World()
        parts = [seeded.randbytes(5 * MIB), seeded.randbytes(5 * MIB + 1), seeded.randbytes(1000)]
        version = await put_parts(world, "k", parts, wanted)
        data = b"".join(parts)
        assert version.size == len(data)
        assert (version.attributes.encryption is None) == (wanted is None)
        assert await read(world, version, wanted) == data
        for offset in (0, 5 * MIB - 10, 10 * MIB, len(data) - 5):
            length = min(20, len(data) - offset)
            assert await read(world, version, wanted, offset, length) == data[offset : offset + length]
        assert any(parts[2] in stored for stored in world.stored) == (wanted is None)

    asyncio.run(main())


@pytest.mark.parametrize("old", EVERY)
@pytest.mark.parametrize("new", [*EVERY, THEIRS])
def test_copies_between_all_kinds(old: Wanted | None, new: Wanted | None, seeded: random.Random) -> None:
    async def main() -> None:
        world = World()
        data = seeded.randbytes(100_000)
        original = await put(world, "from", data, old)
        terms = Terms(NewObject(Attributes(), encryption=new))
        copied, _ = await world.copies.copy(source(world, original, old), world.bucket, "to", terms)
        assert await read(world, copied, new) == data
        assert await read(world, original, old) == data
        shares = (old is None) == (new is None)
        assert len(world.stored) == (1 if shares else 2)
        assert (copied.etag == hashlib.md5(data).hexdigest()) == (new is None or new is S3)
        assert copied.attributes.checksum == original.attributes.checksum
        again, _ = await world.copies.copy(source(world, copied, new), world.bucket, "back", terms)
        assert again.etag == copied.etag or not shares or old is None

    asyncio.run(main())


@pytest.mark.parametrize("old", [None, S3, MINE])
@pytest.mark.parametrize("new", [None, S3, KMS, THEIRS])
def test_copies_of_parts(old: Wanted | None, new: Wanted | None, seeded: random.Random) -> None:
    async def main() -> None:
        world = World()
        parts = [seeded.randbytes(5 * MIB), seeded.randbytes(1000)]
        original = await put_parts(world, "from", parts, old)
        terms = Terms(NewObject(Attributes(), encryption=new))
        copied, _ = await world.copies.copy(source(world, original, old), world.bucket, "to", terms)
        assert await read(world, copied, new) == b"".join(parts)
        assert (copied.etag == hashlib.md5(b"".join(parts)).hexdigest()) == (new is None or new is S3)

        upload = await world.uploads.create(
            world.bucket, "parts", OWNER, NewObject(Attributes(), encryption=new)
        )
        claimed = []
        for number, asked in ((1, f"bytes=0-{5 * MIB - 1}"), (2, None)):
            part, _ = await world.copies.copy_part(
                source(world, original, old), asked, world.bucket, upload, number, key_for(new)
            )
            claimed.append(ClaimedPart(number, part.etag, {}))
        made = await world.uploads.complete(world.bucket, "parts", upload.upload_id, claimed, Completion())
        assert await read(world, made, new) == parts[0] + b"".join(parts)

    asyncio.run(main())


def test_the_wrong_key_is_an_error() -> None:
    async def main() -> None:
        world = World()
        version = await put(world, "k", b"secret", MINE)
        with pytest.raises(AccessDenied):
            await world.objects.unlock(version, THEIRS)
        with pytest.raises(InvalidRequest, match="correct parameters must be provided"):
            await world.objects.unlock(version)
        with pytest.raises(InvalidRequest, match="correct parameters must be provided"):
            await world.objects.open(version, 0, 1)
        plain = await put(world, "plain", b"open", None)
        with pytest.raises(InvalidRequest, match="not applicable"):
            await world.objects.unlock(plain, MINE)

    asyncio.run(main())


@pytest.mark.parametrize("wanted", [S3, MINE])
@pytest.mark.parametrize("size", [1000, 300_000])
def test_tampered_bytes_are_an_error(wanted: Wanted, size: int, seeded: random.Random) -> None:
    async def main() -> None:
        world = World()
        version = await put(world, "k", seeded.randbytes(size), wanted)
        assert version.blob is not None
        stored = bytearray(world.store.blobs[version.blob.locator])
        stored[seeded.randrange(len(stored))] ^= 1
        world.store.blobs[version.blob.locator] = bytes(stored)
        data_key = await world.objects.unlock(version, key_for(wanted))
        assert world.objects.read_now(version, 0, min(size, 1000), data_key) is None or size > 65_536
        with pytest.raises(BlobCorrupt):
            async for _ in await world.objects.open(version, 0, size, data_key):
                pass
        assert version.blob is not None
        short = replace(version, blob=replace(version.blob, size=version.blob.size - 1))
        with pytest.raises(BlobCorrupt):
            await world.objects.open(short, 0, 1, data_key)

    asyncio.run(main())


def test_swapped_blobs_are_an_error(seeded: random.Random) -> None:
    async def main() -> None:
        world = World()
        one = await put(world, "one", seeded.randbytes(1000), S3)
        two = await put(world, "two", seeded.randbytes(1000), S3)
        with pytest.raises(BlobCorrupt):
            await world.objects.open(replace(one, blob=two.blob), 0, 1000)

        parts = [seeded.randbytes(5 * MIB), seeded.randbytes(5 * MIB)]
        version = await put_parts(world, "parts", parts, S3)
        locators = [place for place, stored in world.store.blobs.items() if len(stored) > 5 * MIB]
        first, second = (world.store.blobs[place] for place in locators)
        world.store.blobs[locators[0]], world.store.blobs[locators[1]] = second, first
        with pytest.raises(BlobCorrupt):
            await world.objects.open(version, 0, version.size)

    asyncio.run(main())


def test_every_part_needs_the_uploads_key() -> None:
    async def main() -> None:
        world = World()
        new = NewObject(Attributes(), encryption=MINE)
        upload = await world.uploads.create(world.bucket, "k", OWNER, new)
        for key, complaint in ((None, "requested encryption"), (THEIRS, "did not match the ones used")):
            with pytest.raises(InvalidRequest, match=complaint):
                await world.uploads.put_part(world.bucket, upload, 1, FakeBody(b"x"), new.integrity, key)
        other = await world.uploads.create(world.bucket, "k", OWNER, NewObject(Attributes(), encryption=S3))
        with pytest.raises(InvalidRequest, match="requested encryption"):
            await world.uploads.put_part(world.bucket, other, 1, FakeBody(b"x"), new.integrity, MINE)
        assert world.stored == []

    asyncio.run(main())


def test_a_kms_key_that_is_not_there() -> None:
    async def main() -> None:
        world = World()
        for name in ("absent", "sse-s3", "alias/absent", "arn:aws:kms:us-east-1:000000000000:key/absent"):
            with pytest.raises(Exception) as caught:
                await put(world, "k", b"x", ManagedKey(EncryptionMethod.KMS, name))
            answer = translate(caught.value)
            assert isinstance(answer, S3Error) and answer.code == "KMS.NotFoundException", name
        assert world.stored == []

    asyncio.run(main())


def test_one_bucket_key_serves_many_objects() -> None:
    async def main() -> None:
        world = World()
        versions = [await put(world, f"{number}", b"data", BUCKET_KEY) for number in range(3)]
        sealed = {version.attributes.encryption.wrapped_bucket_key for version in versions}  # type: ignore[union-attr]
        assert len(sealed) == 1 and sealed != {b""}
        keys = {version.attributes.encryption.wrapped_key for version in versions}  # type: ignore[union-attr]
        assert len(keys) == 3

    asyncio.run(main())
