"""Multipart uploads: the rules of Complete as a table, and several things at once."""

import asyncio
import hashlib
import zlib
from base64 import b64encode
from dataclasses import replace
from typing import Any

import pytest

from objstore.meta.interface import ConditionFailed, Conflict, Overtaken, UploadMissing
from objstore.model import Attributes, Checksum, ChecksumType, Part, Upload
from objstore.s3 import checksums
from objstore.s3.conditions import WritePreconditions
from objstore.s3.errors import (
    BadDigest,
    EntityTooLarge,
    EntityTooSmall,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    InvalidRequest,
    MalformedXML,
    NoSuchUpload,
    S3Error,
)
from objstore.s3.integrity import NO_INTEGRITY, Integrity
from objstore.service.multipart import (
    OBJECT_BYTES_MAX,
    PART_BYTES_MIN,
    ClaimedPart,
    Completion,
    check_claims,
    digest_of,
    judge,
    part_algorithm,
)
from objstore.service.objects import NewObject
from tests.service.support import OWNER, FakeBody, World

COMPOSITE, FULL_OBJECT = ChecksumType.COMPOSITE, ChecksumType.FULL_OBJECT
ETAGS = [hashlib.md5(bytes([number])).hexdigest() for number in range(1, 4)]
VALUES = [b64encode(bytes([number] * 4)).decode() for number in range(1, 4)]
SHA256_VALUE = b64encode(bytes(32)).decode()


def upload(checksum: Checksum | None = None) -> Upload:
    return Upload("a" * 32, 1, "key", 0, OWNER, Attributes(checksum=checksum))


CHOSEN = {
    "default": None,
    "composite": Checksum("CRC32", "", COMPOSITE),
    "full": Checksum("CRC32", "", FULL_OBJECT),
}


def parts(checksum: Checksum | None, *sizes: int) -> dict[int, Part]:
    """Parts 1, 2, 3 as they are stored in an upload with this checksum."""
    algorithm = "CRC64NVME" if checksum is None else checksum.algorithm
    values = [b64encode(bytes([n] * 8)).decode() for n in range(1, 4)] if checksum is None else VALUES
    return {
        number: Part(number, size, ETAGS[number - 1], 0, Checksum(algorithm, values[number - 1]))
        for number, size in enumerate(sizes, 1)
    }


def claim(number: int, etag: str = "", **values: str) -> ClaimedPart:
    return ClaimedPart(number, etag or ETAGS[number - 1], values)


FIVE = PART_BYTES_MIN
C1, C2 = {"CRC32": VALUES[0]}, {"CRC32": VALUES[1]}


@pytest.mark.parametrize(
    ("chosen", "sizes", "claimed", "said", "expected"),
    [
        ("default", [FIVE, 1], [claim(1), claim(2)], Completion(), 2),
        ("default", [FIVE, 1], [claim(1, None), claim(2, None)], Completion(), 2),
        ("default", [0], [claim(1)], Completion(), 1),
        ("default", [FIVE, 1, 1], [claim(1), claim(3)], Completion(), 2),
        ("default", [1, FIVE], [claim(1), claim(2)], Completion(), EntityTooSmall),
        ("default", [FIVE - 1, 1], [claim(1), claim(2)], Completion(), EntityTooSmall),
        ("default", [1], [claim(2)], Completion(), InvalidPart),
        ("default", [1], [claim(1, "0" * 32)], Completion(), InvalidPart),
        ("default", [1], [claim(1, **C1)], Completion(), InvalidPart),
        ("default", [1], [claim(1, CRC64NVME=VALUES[0])], Completion(), InvalidPart),
        ("default", [7], [claim(1)], Completion(object_size=7), 1),
        ("default", [7], [claim(1)], Completion(object_size=8), InvalidRequest),
        ("default", [OBJECT_BYTES_MAX, 1], [claim(1), claim(2)], Completion(), EntityTooLarge),
        ("default", [1], [claim(1)], Completion(checksum_type=FULL_OBJECT), InvalidRequest),
        ("default", [1], [claim(1)], Completion(checksum_type=COMPOSITE), InvalidRequest),
        ("default", [1], [claim(1)], Completion(checksum=Checksum("CRC32", VALUES[1])), 1),
        ("default", [1], [claim(1)], Completion(checksum=Checksum("SHA512", "")), InvalidRequest),
        ("default", [1], [claim(1)], Completion(checksum=Checksum("CRC64NVME", "AAAAAAAAAAA=")), BadDigest),
        ("composite", [FIVE, 1], [claim(1, **C1), claim(2, **C2)], Completion(), 2),
        ("composite", [FIVE, 1], [claim(1, **C1), claim(2)], Completion(), InvalidRequest),
        ("composite", [FIVE, 1], [claim(1, **C1), claim(2, **C1)], Completion(), InvalidPart),
        ("composite", [1], [claim(1, SHA256=SHA256_VALUE)], Completion(), BadDigest),
        (
            "composite",
            [FIVE, 1, 1],
            [claim(1, **C1), claim(3, CRC32=VALUES[2])],
            Completion(),
            InvalidPartOrder,
        ),
        ("composite", [1], [claim(1, **C1)], Completion(checksum_type=FULL_OBJECT), InvalidRequest),
        ("composite", [1], [claim(1, **C1)], Completion(checksum=Checksum("SHA1", "")), InvalidRequest),
        ("composite", [1], [claim(1, **C1)], Completion(checksum=Checksum("CRC32", VALUES[0])), BadDigest),
        ("full", [FIVE, 1], [claim(1), claim(2)], Completion(), 2),
        ("full", [FIVE, 1], [claim(1, **C1), claim(2, **C2)], Completion(checksum_type=FULL_OBJECT), 2),
        ("full", [FIVE, 1], [claim(1, **C2), claim(2, **C2)], Completion(), InvalidPart),
        ("full", [1], [claim(1)], Completion(checksum=Checksum("CRC32", VALUES[0])), 1),
        ("full", [1], [claim(1)], Completion(checksum=Checksum("CRC32", VALUES[1])), BadDigest),
        ("full", [1], [claim(1)], Completion(checksum=Checksum("SHA1", "")), BadDigest),
    ],
)
def test_the_rules_of_complete(
    chosen: str,
    sizes: list[int],
    claimed: list[ClaimedPart],
    said: Completion,
    expected: int | type[S3Error],
) -> None:
    checksum = CHOSEN[chosen]
    if isinstance(expected, int):
        made, etag, _ = judge(upload(checksum), parts(checksum, *sizes), claimed, said)
        assert len(made) == expected
        assert etag.endswith(f"-{expected}")
    else:
        with pytest.raises(expected):
            judge(upload(checksum), parts(checksum, *sizes), claimed, said)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([1, 2, 10_000], None),
        ([], MalformedXML),
        (range(1, 10_002), MalformedXML),
        ([2, 1], InvalidPartOrder),
        ([1, 1], InvalidPartOrder),
        ([0], InvalidArgument),
        ([-1], InvalidArgument),
        ([10_001], InvalidPart),
    ],
)
def test_the_order_of_parts(numbers: list[int], expected: type[S3Error] | None) -> None:
    claimed = [ClaimedPart(number, "e", {}) for number in numbers]
    if expected is None:
        check_claims("upload", claimed)
    else:
        with pytest.raises(expected):
            check_claims("upload", claimed)


@pytest.mark.parametrize(
    ("chosen", "announced", "expected"),
    [
        ("default", None, "CRC64NVME"),
        ("default", "SHA256", "CRC64NVME"),
        ("composite", "CRC32", "CRC32"),
        ("composite", "SHA256", None),
        ("composite", None, None),
        ("full", "CRC32", "CRC32"),
        ("full", None, "CRC32"),
        ("full", "CRC32C", None),
    ],
)
def test_the_checksum_of_a_part_must_fit_its_upload(
    chosen: str, announced: str | None, expected: str | None
) -> None:
    if expected is not None:
        assert part_algorithm(upload(CHOSEN[chosen]), Integrity(algorithm=announced)) == expected
    else:
        with pytest.raises(InvalidRequest, match="expected checksum Type: crc32"):
            part_algorithm(upload(CHOSEN[chosen]), Integrity(algorithm=announced))


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"CRC32": "no base64"}, "no base64"),
        ({"CRC32": SHA256_VALUE}, SHA256_VALUE),
        ({"CRC32": VALUES[0], "SHA256": SHA256_VALUE}, f"CRC32:{VALUES[0]};SHA256:{SHA256_VALUE};"),
    ],
)
def test_a_part_has_one_checksum_that_could_be_one(values: dict[str, str], shown: str) -> None:
    check_claims("upload", [ClaimedPart(1, "e", C1)])
    with pytest.raises(InvalidArgument) as caught:
        check_claims("upload", [ClaimedPart(1, "e", values)])
    assert caught.value.elements == {"ArgumentName": "Checksum", "ArgumentValue": shown}


def test_a_digest_tells_lists_apart() -> None:
    lists = [
        [ClaimedPart(1, "e", {})],
        [ClaimedPart(1, "f", {})],
        [ClaimedPart(2, "e", {})],
        [ClaimedPart(1, "e", {"CRC32": "v"})],
        [ClaimedPart(1, "e", {}), ClaimedPart(2, "e", {})],
    ]
    assert len({digest_of(claimed) for claimed in lists}) == len(lists)
    assert digest_of(lists[0]) == digest_of([ClaimedPart(1, "e", {})])


@pytest.mark.parametrize("type_", [COMPOSITE, FULL_OBJECT])
def test_the_whole_checksum_is_that_of_the_bytes_or_of_the_parts(type_: ChecksumType) -> None:
    world = World()
    data = [bytes([7]) * PART_BYTES_MIN, b"end"]

    async def scenario() -> None:
        wanted = Checksum("CRC32", "", type_)
        begun = await world.uploads.create(world.bucket, "key", OWNER, NewObject(Attributes(checksum=wanted)))
        claimed = []
        for number, piece in enumerate(data, 1):
            announced = Integrity(algorithm="CRC32")
            part, told = await world.uploads.put_part(world.bucket, begun, number, FakeBody(piece), announced)
            claimed.append(ClaimedPart(number, part.etag, {"CRC32": told.value}))
        version = await world.uploads.complete(
            world.bucket, "key", begun.upload_id, claimed, Completion(checksum_type=type_)
        )
        checksum = version.attributes.checksum
        assert checksum is not None and checksum.type is type_
        crcs = [zlib.crc32(piece).to_bytes(4, "big") for piece in data]
        if type_ is FULL_OBJECT:
            assert checksum.value == b64encode(zlib.crc32(b"".join(data)).to_bytes(4, "big")).decode()
        else:
            digest = zlib.crc32(b"".join(crcs)).to_bytes(4, "big")
            assert checksum.value == b64encode(digest).decode() + "-2"
        md5s = b"".join(hashlib.md5(piece).digest() for piece in data)
        assert version.etag == hashlib.md5(md5s).hexdigest() + "-2"

    asyncio.run(scenario())


def test_a_part_of_an_upload_without_algorithm_is_checked_by_any_and_kept_with_the_default() -> None:
    world = World()

    async def scenario() -> None:
        upload_id, _ = await world.put_parts("key", [])
        found = world.uploads.find(world.bucket, "key", upload_id)
        hasher = checksums.ALGORITHMS["SHA256"].new()
        hasher.update(b"data")
        right = Integrity(algorithm="SHA256", value=checksums.encoded(hasher.digest()))
        part, told = await world.uploads.put_part(world.bucket, found, 1, FakeBody(b"data"), right)
        assert told.algorithm == "SHA256"
        assert part.checksum is not None and part.checksum.algorithm == "CRC64NVME"
        with pytest.raises(BadDigest):
            await world.uploads.put_part(world.bucket, found, 1, FakeBody(b"date"), right)

    asyncio.run(scenario())


def complete(world: World, upload_id: str, etags: list[str], said: Completion | None = None) -> Any:
    claimed = [ClaimedPart(number, etag, {}) for number, etag in enumerate(etags, 1)]
    return world.uploads.complete(world.bucket, "key", upload_id, claimed, said or Completion())


def test_the_same_complete_again_gets_the_same_answer_while_the_object_stands() -> None:
    world = World()

    async def scenario() -> None:
        upload_id, etags = await world.put_parts("key", [b"data"])
        first = await complete(world, upload_id, etags)
        again = await complete(world, upload_id, etags)
        assert replace(again, blob=None) == replace(first, blob=None)
        with pytest.raises(UploadMissing):
            await world.uploads.complete(
                world.bucket, "key", upload_id, [ClaimedPart(1, None, {})], Completion()
            )
        await world.put("key", b"another object")
        with pytest.raises(UploadMissing):
            await complete(world, upload_id, etags)

    asyncio.run(scenario())


def test_an_unknown_upload_is_refused_everywhere() -> None:
    world = World()

    async def scenario() -> None:
        for upload_id in ["0" * 32, "no id", ""]:
            for attempt in (
                complete(world, upload_id, ["x"]),
                world.uploads.abort(world.bucket, "k", upload_id),
            ):
                with pytest.raises((NoSuchUpload, UploadMissing)):
                    await attempt
            with pytest.raises(NoSuchUpload):
                world.uploads.find(world.bucket, "key", upload_id)

    asyncio.run(scenario())


def test_an_upload_belongs_to_its_key() -> None:
    world = World()

    async def scenario() -> None:
        upload_id, etags = await world.put_parts("other key", [b"data"])
        with pytest.raises(UploadMissing):
            await complete(world, upload_id, etags)

    asyncio.run(scenario())


def test_a_part_put_while_its_upload_is_aborted_leaves_no_blob() -> None:
    world = World()

    async def scenario() -> None:
        upload_id, _ = await world.put_parts("key", [])
        begun = world.uploads.find(world.bucket, "key", upload_id)
        await world.uploads.abort(world.bucket, "key", upload_id)
        with pytest.raises(UploadMissing):
            await world.uploads.put_part(world.bucket, begun, 1, FakeBody(b"data"), NO_INTEGRITY)
        assert not world.stored

    asyncio.run(scenario())


def test_a_part_replaced_between_look_and_commit_is_looked_at_again() -> None:
    world = World()

    async def scenario() -> None:
        upload_id, etags = await world.put_parts("key", [b"data"])
        begun = world.uploads.find(world.bucket, "key", upload_id)
        write = world.facts.write
        replaced: list[bool] = []

        async def meanwhile(command: Any) -> Any:
            if type(command).__name__ == "CompleteUpload" and not replaced:
                replaced.append(True)
                world.facts.write = write  # type: ignore[method-assign]
                await world.uploads.put_part(world.bucket, begun, 1, FakeBody(b"data"), NO_INTEGRITY)
                world.facts.write = meanwhile  # type: ignore[method-assign]
            return await write(command)

        world.facts.write = meanwhile  # type: ignore[method-assign]
        version = await complete(world, upload_id, etags)
        assert replaced and await world.read(version) == b"data"

    asyncio.run(scenario())


def test_a_complete_that_never_settles_gives_up() -> None:
    world = World()

    def fail(command: Any) -> None:
        if type(command).__name__ == "CompleteUpload":
            raise Conflict

    async def scenario() -> None:
        upload_id, etags = await world.put_parts("key", [b"data"])
        world.facts.fail = fail
        with pytest.raises(Conflict):
            await complete(world, upload_id, etags)

    asyncio.run(scenario())


def test_a_conditional_complete_is_decided_by_the_ledger() -> None:
    world = World()
    only_new = Completion(conditions=WritePreconditions(if_none_match="*"))

    async def scenario() -> None:
        upload_id, etags = await world.put_parts("key", [b"data"])
        await world.put("key", b"was first")
        with pytest.raises(ConditionFailed):
            await complete(world, upload_id, etags, only_new)
        await world.objects.delete(world.bucket, "key", owner_id=OWNER)
        with pytest.raises(Overtaken):  # an upload that began before the object was put and deleted
            await complete(world, upload_id, etags, only_new)
        upload_id, etags = await world.put_parts("key", [b"data"])
        version = await complete(world, upload_id, etags, only_new)
        assert await complete(world, upload_id, etags, only_new) == version

    asyncio.run(scenario())
