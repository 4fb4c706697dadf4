"""CopyObject and UploadPartCopy.

Blobs are immutable and counted by reference, so a copy is a row and moves no bytes: the new version has
the source's blob, or the parts of its upload. Bytes are read only to take a checksum the source does
not have, or the MD5 that is the ETag of a copy of a multipart object, which shows as one part; they are
rewritten only where a range of a part becomes a part.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeVar

from objstore.meta import queries
from objstore.meta.commands import PutPart, PutVersion
from objstore.meta.interface import Conflict
from objstore.model import (
    TIER,
    Attributes,
    BlobRef,
    Bucket,
    Checksum,
    ChecksumType,
    ObjectVersion,
    Part,
    Upload,
)
from objstore.remote.tier_store import is_at_tier
from objstore.s3 import checksums, tokens
from objstore.s3.conditions import Conditions
from objstore.s3.errors import InvalidRequest, MethodNotAllowed
from objstore.s3.object_headers import REDIRECT_HEADER
from objstore.s3.ranges import Range, parse_copy_range
from objstore.service.facts import Facts
from objstore.service.notifications import Notifications
from objstore.service.objects import NewObject, Objects, check_lock, write_conditions
from objstore.service.reader import Reader
from objstore.service.restores import check_readable, with_readable_bytes
from objstore.service.writer import PUT_BYTES_MAX, Digests, Writer

T = TypeVar("T")

COPY_ATTEMPTS: Final = 5
"""How often a copy is tried again when its source is replaced under it."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is copied, and what it must be like."""

    bucket: Bucket
    key: str
    version_id: str | None
    conditions: Conditions


@dataclass(frozen=True, slots=True)
class Terms:
    """How the copy differs from its source."""

    new: NewObject
    """Metadata and tags of it hold only where they replace the source's; all else holds always."""
    replaces_metadata: bool = False
    replaces_tags: bool = False
    storage_class: str | None = None
    """None: not asked for, so STANDARD."""
    algorithm: str | None = None
    """The checksum algorithm asked for; None: the source's."""
    may_copy_tags: Callable[[], Awaitable[object]] | None = None
    """Raises unless the caller may read the source's tags and give them to the copy."""


class Copies:
    """Copies of objects, whole or as parts."""

    def __init__(
        self,
        facts: Facts,
        writer: Writer,
        reader: Reader,
        objects: Objects,
        notifications: Notifications,
    ) -> None:
        self._notifications = notifications
        self._facts = facts
        self._writer = writer
        self._reader = reader
        self._objects = objects

    async def find(self, source: Source) -> ObjectVersion:
        """The version to copy, with the bytes to read.

        Raises NoSuchKey, NoSuchVersion, InvalidRequest, PreconditionFailed, InvalidObjectState.
        """
        try:
            version = await self._objects.find(source.bucket, source.key, source.version_id)
        except MethodNotAllowed:
            raise InvalidRequest(
                "The source of a copy request may not specifically refer to a delete marker by version id."
            ) from None
        source.conditions.require(version.etag, version.modified_ms)
        check_readable(version, "Operation is not valid for the source object's storage class")
        return await with_readable_bytes(self._facts, version)

    async def copy(
        self, source: Source, bucket: Bucket, key: str, terms: Terms
    ) -> tuple[ObjectVersion, ObjectVersion]:
        """Copy an object of up to 5 GiB; the new version, and the one that it is a copy of.

        Raises what `find` raises; InvalidRequest (too large, onto itself unchanged, a lock where the bucket
        has none); Refusal, MetadataError, StorageError.
        """
        check_lock(bucket, terms.new.lock)

        async def once() -> tuple[ObjectVersion, ObjectVersion]:
            version = await self.find(source)
            if terms.may_copy_tags is not None and version.tags and not terms.replaces_tags:
                await terms.may_copy_tags()
            if version.size > PUT_BYTES_MAX:
                raise _too_large()
            if (source.bucket.id, source.key) == (bucket.id, key) and version.is_latest:
                _check_changes(version, terms)
            etag, checksum = await self._digests(version, terms.algorithm)
            here = await self._here(version)
            command = PutVersion(
                bucket.id,
                key,
                version.size,
                etag,
                terms.new.owner_id or bucket.owner_id,
                _attributes(version, terms, checksum),
                tags=terms.new.tags if terms.replaces_tags else version.tags,
                lock=terms.new.lock,
                blob=here or version.blob,
                shares_blob=here is None,
                conditions=write_conditions(terms.new.conditions),
                version_id=tokens.new_version_id(),
                upload_id=None if here is not None else version.upload_id,
            )
            announced = self._notifications.announced(command, bucket, key, terms.new.origin)
            made = await self._writer.commit(announced, here)
            return made, version

        return await _until_settled(once)

    async def _here(self, version: ObjectVersion) -> BlobRef | None:
        """A new blob here with the bytes of a version that lie at a tier; None where they lie here.

        What is written to this server lies here until a rule moves it, copies like all else.
        """
        attributes = version.attributes  # of an archived one the restored copy is read, which lies here
        if not version.size or TIER not in attributes.extra or attributes.is_archived:
            return None
        stream = await self._reader.open(version, 0, version.size)
        async with aclosing(stream):
            written = await self._writer.copy(stream, version.size, checksums.DEFAULT.name)
        return written.blob

    async def copy_part(
        self, source: Source, range_header: str | None, bucket: Bucket, upload: Upload, number: int
    ) -> tuple[Part, ObjectVersion]:
        """Make a source, or a range of it, a part of up to 5 GiB; the part, and what it is a copy of.

        Raises what `find` raises; InvalidArgument (no such range), InvalidRequest (too large); Refusal,
        MetadataError, StorageError.
        """
        wanted = upload.attributes.checksum
        algorithm = checksums.DEFAULT.name if wanted is None else wanted.algorithm

        async def once() -> tuple[Part, ObjectVersion]:
            version = await self.find(source)
            part_range = Range(0, version.size)
            if range_header is not None:
                part_range = parse_copy_range(range_header, version.size)
            if part_range.length > PUT_BYTES_MAX:
                raise _too_large()
            part = await self._put_part(version, part_range, algorithm, bucket, upload, number)
            return part, version

        return await _until_settled(once)

    async def _put_part(
        self,
        version: ObjectVersion,
        part_range: Range,
        algorithm: str,
        bucket: Bucket,
        upload: Upload,
        number: int,
    ) -> Part:
        whole = await self._whole_blob(version, part_range)
        if whole is not None:
            blob, etag, checksum = whole
            if checksum is None or checksum.algorithm != algorithm:
                checksum = (await self._read(version, part_range, algorithm)).checksum(algorithm)
            part = Part(number, blob.size, etag, 0, checksum, blob)
            command = PutPart(bucket.id, upload.key, upload.upload_id, part, shares_blob=True)
            return await self._writer.commit(command, None)
        if part_range.length == 0:
            digests = Digests({algorithm})
            part = Part(number, 0, digests.md5.hex(), 0, digests.checksum(algorithm), None)
            return await self._writer.commit(PutPart(bucket.id, upload.key, upload.upload_id, part), None)
        stream = await self._reader.open(version, part_range.offset, part_range.length)
        async with aclosing(stream):
            written = await self._writer.copy(stream, part_range.length, algorithm)
        part = Part(number, written.size, written.etag, 0, written.checksums[algorithm], written.blob)
        return await self._writer.commit(PutPart(bucket.id, upload.key, upload.upload_id, part), written.blob)

    async def _whole_blob(
        self, version: ObjectVersion, wanted: Range
    ) -> tuple[BlobRef, str, Checksum | None] | None:
        """The blob that is exactly `wanted`, with its MD5 and its checksum; None when there is none.

        Clients copy large objects part by part along the parts they were made of, so this is common.
        """
        if version.upload_id is None:
            if version.blob is None or wanted.length != version.size or is_at_tier(version.blob):
                return None
            return version.blob, version.etag, version.attributes.checksum
        layout = await self._reader.layout(version.upload_id)
        pieces = list(islice(layout.pieces(wanted.offset, wanted.length), 2))
        if len(pieces) != 1 or pieces[0].offset:
            return None
        number = pieces[0].part_number
        parts = await self._facts.read(queries.parts_between, version.upload_id, number, number)
        if not parts or parts[0].blob is None or parts[0].size != wanted.length:
            return None
        if is_at_tier(parts[0].blob):
            return None
        return parts[0].blob, parts[0].etag, parts[0].checksum

    async def _digests(self, version: ObjectVersion, algorithm: str | None) -> tuple[str, Checksum | None]:
        """ETag and checksum of a copy of `version`, as of an object put in one piece."""
        has = version.attributes.checksum
        if algorithm is None:
            algorithm = has.algorithm if has is not None else checksums.DEFAULT.name
        if version.upload_id is None and (has is None or _has(has, algorithm)):
            return version.etag, has
        digests = await self._read(version, Range(0, version.size), algorithm)
        etag = version.etag if version.upload_id is None else digests.md5.hex()
        return etag, digests.checksum(algorithm)

    async def _read(self, version: ObjectVersion, wanted: Range, algorithm: str) -> Digests:
        if wanted.length == 0:
            return Digests({algorithm})
        stream = await self._reader.open(version, wanted.offset, wanted.length)
        async with aclosing(stream):
            return await self._writer.digest(stream, algorithm)


async def _until_settled(once: Callable[[], Awaitable[T]]) -> T:
    """The outcome of `once`, tried again while its source is replaced or deleted under it."""
    for _ in range(COPY_ATTEMPTS - 1):
        try:
            return await once()
        except Conflict:
            continue
    return await once()


def _attributes(version: ObjectVersion, terms: Terms, checksum: Checksum | None) -> Attributes:
    given = terms.new.attributes
    if terms.replaces_metadata:
        return replace(given, checksum=checksum)
    headers = {name: value for name, value in version.attributes.headers.items() if name != REDIRECT_HEADER}
    if REDIRECT_HEADER in given.headers:
        headers[REDIRECT_HEADER] = given.headers[REDIRECT_HEADER]
    return replace(
        version.attributes,
        headers=headers,
        storage_class=given.storage_class,
        checksum=checksum,
        extra=given.extra,  # what a version has besides (its ACL) is never copied
    )


def _check_changes(version: ObjectVersion, terms: Terms) -> None:
    """Copying an object onto itself must change something. Raises InvalidRequest."""
    if (
        terms.replaces_metadata
        or terms.replaces_tags
        or REDIRECT_HEADER in terms.new.attributes.headers
        or terms.storage_class not in (None, version.attributes.storage_class)
        or (terms.algorithm is not None and not _has(version.attributes.checksum, terms.algorithm))
    ):
        return
    raise InvalidRequest(
        "This copy request is illegal because it is trying to copy an object to itself without changing the"
        " object's metadata, storage class, website redirect location or encryption attributes."
    )


def _has(checksum: Checksum | None, algorithm: str) -> bool:
    return (
        checksum is not None and checksum.algorithm == algorithm and checksum.type is ChecksumType.FULL_OBJECT
    )


def _too_large() -> InvalidRequest:
    return InvalidRequest(
        "The specified copy source is larger than the maximum allowable size for a copy source: "
        f"{PUT_BYTES_MAX}"
    )
