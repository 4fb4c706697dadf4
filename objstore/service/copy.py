"""CopyObject and UploadPartCopy.

Blobs are immutable and counted by reference, so a copy is a row and moves no bytes: the new version has
the source's blob, or the parts of its upload. That holds between encrypted versions, too, whatever keys
they are encrypted with: the data key is sealed anew. Bytes are read only to take a checksum the source
does not have, or the MD5 that is the ETag of a copy of a multipart object, which shows as one part. They
are rewritten only where a range of a part becomes a part, where a part is or becomes encrypted (an upload
has one data key for all), where one side is encrypted and the other is not, and where they lie at a tier.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final, TypeVar

from objstore.encryption.envelope import BlobSeal, Envelope, etag_of
from objstore.meta import queries
from objstore.meta.commands import PutPart, PutVersion
from objstore.meta.interface import Conflict, Unavailable
from objstore.model import (
    TIER,
    Attributes,
    BlobRef,
    Bucket,
    Checksum,
    ChecksumType,
    Encryption,
    EncryptionMethod,
    ObjectVersion,
    Part,
    Upload,
)
from objstore.remote.tier_store import is_at_tier
from objstore.s3 import checksums, tokens
from objstore.s3.conditions import Conditions
from objstore.s3.encryption import CustomerKey
from objstore.s3.errors import InvalidRequest, MethodNotAllowed
from objstore.s3.object_headers import REDIRECT_HEADER
from objstore.s3.ranges import Range, parse_copy_range
from objstore.service.encryption import Encryptions
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
    customer_key: CustomerKey | None = None
    """What the source is encrypted with (SSE-C)."""


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
    copies_annotations: bool = True
    may_copy_annotations: Callable[[], Awaitable[object]] | None = None
    """Raises unless the caller may read the source's annotations and give them to the copy."""
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
        encryptions: Encryptions,
    ) -> None:
        self._encryptions = encryptions
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
            annotation_set = await self._annotations(version, terms)
            if version.size > PUT_BYTES_MAX:
                raise _too_large()
            if (source.bucket.id, source.key) == (bucket.id, key) and version.is_latest:
                _check_changes(version, terms, encrypts=self._encryptions.is_configured(bucket))
            source_key = await self._encryptions.unlock(version, source.customer_key)
            moves = _lies_at_tier(version)
            envelope = await self._encryptions.new(
                bucket, terms.new.encryption, None if moves else source_key
            )
            is_shared = not moves and ((source_key is None) == (envelope is None) or not version.size)
            bytes_of = self._shared if is_shared else self._rewritten
            etag, checksum, blob = await bytes_of(version, terms.algorithm, source_key, envelope)
            command = PutVersion(
                bucket.id,
                key,
                version.size,
                etag,
                terms.new.owner_id or bucket.owner_id,
                _attributes(version, terms, checksum, envelope),
                tags=terms.new.tags if terms.replaces_tags else version.tags,
                lock=terms.new.lock,
                blob=blob,
                shares_blob=is_shared,
                conditions=write_conditions(terms.new.conditions),
                version_id=tokens.new_version_id(),
                upload_id=version.upload_id if is_shared else None,
                annotations_of=annotation_set,
            )
            made_now = None if is_shared else blob
            try:
                announced = self._notifications.announced(command, bucket, key, terms.new.origin)
            except Unavailable:
                if made_now is not None:
                    await self._writer.discard(made_now)
                raise
            made = await self._writer.commit(announced, made_now)
            return made, version

        return await _until_settled(once)

    async def _annotations(self, version: ObjectVersion, terms: Terms) -> int | None:
        """The set of annotations that the copy gets a copy of. With a customer's key there are none."""
        if not terms.copies_annotations or isinstance(terms.new.encryption, CustomerKey):
            return None
        annotation_set = await self._facts.read(queries.annotations_to_copy, version)
        if annotation_set is not None and terms.may_copy_annotations is not None:
            await terms.may_copy_annotations()
        return annotation_set

    async def _shared(
        self,
        version: ObjectVersion,
        algorithm: str | None,
        source_key: bytes | None,
        envelope: Envelope | None,
    ) -> tuple[str, Checksum | None, BlobRef | None]:
        """ETag, checksum and blob of a copy that has its source's bytes as they lie."""
        etag, checksum = await self._digests(version, algorithm, source_key, envelope)
        return etag, checksum, version.blob

    async def _rewritten(
        self,
        version: ObjectVersion,
        algorithm: str | None,
        source_key: bytes | None,
        envelope: Envelope | None,
    ) -> tuple[str, Checksum | None, BlobRef | None]:
        """The same of a copy whose bytes are written anew: encrypted, no longer so, or fetched from a tier.
        Nothing refers to the blob yet."""
        algorithm = algorithm or _algorithm_of(version)
        stream = await self._reader.open(version, 0, version.size, source_key)
        async with aclosing(stream):
            seal = None if envelope is None else envelope.for_object()
            written = await self._writer.copy(stream, version.size, algorithm, seal)
        return written.etag, written.checksums[algorithm], written.blob

    async def copy_part(
        self,
        source: Source,
        range_header: str | None,
        bucket: Bucket,
        upload: Upload,
        number: int,
        customer_key: CustomerKey | None = None,
    ) -> tuple[Part, ObjectVersion]:
        """Make a source, or a range of it, a part of up to 5 GiB; the part, and what it is a copy of.

        `customer_key` is the upload's (SSE-C). Raises what `find` raises; InvalidArgument (no such range),
        InvalidRequest (too large, or not that key); Refusal, MetadataError, StorageError.
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
            source_key = await self._encryptions.unlock(version, source.customer_key)
            seal = await self._encryptions.for_part(upload, customer_key, number)
            if seal is None and source_key is None:
                part = await self._put_part(version, part_range, algorithm, bucket, upload, number)
            else:
                part = await self._rewrite_part(
                    version, part_range, algorithm, bucket, upload, number, source_key, seal
                )
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
        return await self._rewrite_part(version, part_range, algorithm, bucket, upload, number, None, None)

    async def _rewrite_part(
        self,
        version: ObjectVersion,
        part_range: Range,
        algorithm: str,
        bucket: Bucket,
        upload: Upload,
        number: int,
        source_key: bytes | None,
        seal: BlobSeal | None,
    ) -> Part:
        salt = None if seal is None else seal.salt
        if part_range.length == 0:
            digests = Digests({algorithm})
            etag = digests.md5.hex() if seal is None else seal.etag(digests.md5)
            part = Part(number, 0, etag, 0, digests.checksum(algorithm), None, salt)
            return await self._writer.commit(PutPart(bucket.id, upload.key, upload.upload_id, part), None)
        stream = await self._reader.open(version, part_range.offset, part_range.length, source_key)
        async with aclosing(stream):
            written = await self._writer.copy(stream, part_range.length, algorithm, seal)
        checksum = written.checksums[algorithm]
        part = Part(number, written.size, written.etag, 0, checksum, written.blob, salt)
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

    async def _digests(
        self,
        version: ObjectVersion,
        algorithm: str | None,
        source_key: bytes | None,
        envelope: Envelope | None,
    ) -> tuple[str, Checksum | None]:
        """ETag and checksum of a copy of `version`, as of an object put in one piece."""
        has = version.attributes.checksum
        algorithm = algorithm or _algorithm_of(version)
        source_method = _method(version.attributes.encryption)
        method = _method(None if envelope is None else envelope.encryption)
        etag, md5 = None, None
        if version.upload_id is None:
            if source_method is EncryptionMethod.S3:
                md5 = bytes.fromhex(version.etag)
            elif method is not EncryptionMethod.S3:
                etag = version.etag  # which the data key determines, and that stays
        checksum = has
        if (etag is None and md5 is None) or not (has is None or _has(has, algorithm)):
            digests = await self._read(version, Range(0, version.size), algorithm, source_key)
            md5, checksum = digests.md5, digests.checksum(algorithm)
        if etag is None:
            assert md5 is not None
            etag = md5.hex() if envelope is None else etag_of(method, envelope.data_key, md5)
        return etag, checksum

    async def _read(
        self, version: ObjectVersion, wanted: Range, algorithm: str, source_key: bytes | None = None
    ) -> Digests:
        if wanted.length == 0:
            return Digests({algorithm})
        stream = await self._reader.open(version, wanted.offset, wanted.length, source_key)
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


def _algorithm_of(version: ObjectVersion) -> str:
    """The checksum that a copy has where none is asked for."""
    has = version.attributes.checksum
    return has.algorithm if has is not None else checksums.DEFAULT.name


def _lies_at_tier(version: ObjectVersion) -> bool:
    """Whether a copy must fetch the bytes: what is written to this server lies here until a rule moves it.

    Of an archived version the restored copy is read, which lies here.
    """
    attributes = version.attributes
    return bool(version.size) and TIER in attributes.extra and not attributes.is_archived


def _method(encryption: Encryption | None) -> EncryptionMethod:
    """What an ETag goes by: without encryption as with SSE-S3, it is an MD5."""
    return EncryptionMethod.S3 if encryption is None else encryption.method


def _attributes(
    version: ObjectVersion, terms: Terms, checksum: Checksum | None, envelope: Envelope | None
) -> Attributes:
    given = replace(terms.new.attributes, encryption=None if envelope is None else envelope.encryption)
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
        encryption=given.encryption,
        extra=given.extra,  # what a version has besides (its ACL) is never copied
    )


def _check_changes(version: ObjectVersion, terms: Terms, *, encrypts: bool) -> None:
    """Copying an object onto itself must say something of the copy, even what holds already, or may change
    it: `encrypts` says that the bucket's configuration decides how the copy is encrypted, and what a key of
    KMS or of a client's protects is not so without asking. Raises InvalidRequest."""
    if (
        terms.replaces_metadata
        or terms.replaces_tags
        or terms.new.encryption is not None
        or encrypts
        or REDIRECT_HEADER in terms.new.attributes.headers
        or terms.storage_class is not None
        or _method(version.attributes.encryption) is not EncryptionMethod.S3
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
