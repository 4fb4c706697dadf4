"""Objects: put, find, read and delete one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from objstore import clock
from objstore.events.records import Origin
from objstore.meta import queries
from objstore.meta.commands import (
    Deleted,
    DeleteVersion,
    PutVersion,
    ReplaceAttributes,
    ReplaceEncryption,
    WriteConditions,
    with_default,
)
from objstore.meta.interface import KeyMissing, Unavailable
from objstore.meta.layout import Layout
from objstore.meta.queries import PartPage
from objstore.meta.sqlite import Query
from objstore.model import (
    Attributes,
    Bucket,
    Checksum,
    ChecksumType,
    EncryptionMethod,
    ObjectLock,
    ObjectVersion,
    Replica,
)
from objstore.s3 import checksums, tokens
from objstore.s3.conditions import WritePreconditions
from objstore.s3.encryption import CustomerKey, ManagedKey, Wanted
from objstore.s3.errors import InvalidPartNumber, InvalidRequest, NoSuchKey, NoSuchVersion
from objstore.s3.integrity import NO_INTEGRITY, Integrity
from objstore.s3.ranges import Range
from objstore.service.encryption import Encryptions
from objstore.service.facts import Facts
from objstore.service.failures import is_marker, marker_headers, translate
from objstore.service.notifications import Notifications
from objstore.service.reader import Reader, Stream
from objstore.service.restores import with_readable_bytes
from objstore.service.writer import Body, Writer

__all__ = ["DeleteConditions", "NewObject", "Objects", "check_lock", "with_default", "write_conditions"]

UNCONDITIONAL = WritePreconditions()


@dataclass(frozen=True, slots=True)
class NewObject:
    """What a client says about an object it writes; `attributes` without the checksum."""

    attributes: Attributes
    tags: Mapping[str, str] = field(default_factory=dict)
    lock: ObjectLock | None = None
    integrity: Integrity = NO_INTEGRITY
    conditions: WritePreconditions = UNCONDITIONAL
    owner_id: str | None = None
    """None: the bucket's owner."""
    encryption: Wanted | None = None
    """None: as the bucket has it."""
    origin: Origin | None = None
    """Who writes it, for those who are told of it; None: nobody is."""
    replica: Replica | None = None
    """Where it is replicated to here: what it is called and when it was made."""


@dataclass(frozen=True, slots=True)
class DeleteConditions:
    """What the current version must be like for a DELETE to take effect; None: not asked."""

    if_match: str | None = None
    modified_ms: int | None = None
    """Compared in whole seconds."""
    size: int | None = None


class Objects:
    """The objects of all buckets."""

    def __init__(
        self,
        facts: Facts,
        writer: Writer,
        reader: Reader,
        notifications: Notifications,
        encryptions: Encryptions,
    ) -> None:
        self._facts = facts
        self._encryptions = encryptions
        self._notifications = notifications
        self._writer = writer
        self._reader = reader

    async def put(self, bucket: Bucket, key: str, body: Body, new: NewObject) -> ObjectVersion:
        """Store `body` as the key's current version: durable, whole and checked when this returns.

        Raises what reading `body` raises, BadDigest and its like, InvalidRequest (a lock where the
        bucket has none), what Encryptions.new raises, Refusal, MetadataError, StorageError; nothing is
        visible then.
        """
        check_lock(bucket, new.lock)
        algorithm = new.integrity.algorithm or checksums.DEFAULT.name
        envelope = await self._encryptions.new(bucket, new.encryption)
        seal = None if envelope is None else envelope.for_object()
        written = await self._writer.write(body, new.integrity, algorithm, seal)
        command = PutVersion(
            bucket.id,
            key,
            written.size,
            written.etag,
            new.owner_id or bucket.owner_id,
            replace(
                new.attributes,
                checksum=written.checksums[algorithm],
                encryption=None if envelope is None else envelope.encryption,
            ),
            tags=new.tags,
            lock=new.lock,
            blob=written.blob,
            conditions=write_conditions(new.conditions),
            version_id=tokens.new_version_id(),
            replica=new.replica,
        )
        try:
            announced = self._notifications.announced(
                command, bucket, key, new.origin, is_replicated=new.replica is not None
            )
        except Unavailable:
            if written.blob is not None:
                await self._writer.discard(written.blob)
            raise
        version = await self._writer.commit(announced, written.blob)
        if written.blob is not None and (version.blob is None or version.blob.id != written.blob.id):
            await self._writer.discard(written.blob)  # the replica had come before
        return version

    async def find(self, bucket: Bucket, key: str, version_id: str | None = None) -> ObjectVersion:
        """The current live version, or the one named.

        Raises NoSuchKey (telling of a delete marker in its headers), NoSuchVersion, and MethodNotAllowed
        where the version named is a delete marker.
        """
        if version_id is None:
            version = await self._look_up(queries.current, bucket, key)
            if version is None:
                raise await self._missing(bucket, key)
            return version
        found = await self._look_up(queries.version, bucket, key, version_id)
        if found is None:
            raise NoSuchVersion(Key=key, VersionId=version_id)
        if found.is_delete_marker:
            raise is_marker(found.version_id, found.modified_ms)
        return found

    async def _missing(self, bucket: Bucket, key: str) -> NoSuchKey:
        top = await self._look_up(queries.top, bucket, key)
        if top is not None and top.is_delete_marker:
            return NoSuchKey(headers=marker_headers(top.version_id), Key=key)
        return NoSuchKey(Key=key)

    async def _look_up(
        self, query: Query[..., ObjectVersion | None], bucket: Bucket, *args: str
    ) -> ObjectVersion | None:
        try:
            return self._facts.read_now(query, bucket.id, *args)
        except Unavailable:  # an index rebuilt elsewhere: wait until the ledger says where
            return await self._facts.read(query, bucket.id, *args)

    async def unlock(self, version: ObjectVersion, customer_key: CustomerKey | None = None) -> bytes | None:
        """The data key that the version is read with; None where it is not encrypted.

        Who reads by the server's own right (a job) has no customer's key, and cannot read an SSE-C object.
        Raises InvalidRequest, AccessDenied, KmsError: see Encryptions.unlock.
        """
        return await self._encryptions.unlock(version, customer_key)

    def read_now(
        self, version: ObjectVersion, offset: int, length: int, data_key: bytes | None = None
    ) -> memoryview | None:
        """`length` bytes from `offset` if they can be had at once, else None."""
        return self._reader.read_now(version, offset, length, data_key)

    async def open(
        self, version: ObjectVersion, offset: int, length: int, data_key: bytes | None = None
    ) -> Stream:
        """A stream of `length` bytes (at least one) from `offset`: see Reader.open.

        Without `data_key` an encrypted version is unlocked first: raises what `unlock` raises. Of an archived
        version its restored copy is read; raises InvalidObjectState when it has none.
        """
        version = await with_readable_bytes(self._facts, version)
        if data_key is None:
            data_key = await self.unlock(version)
        return await self._reader.open(version, offset, length, data_key)

    async def part(self, version: ObjectVersion, number: int) -> tuple[Range, Checksum | None]:
        """Bytes and checksum of the object's `number`-th part (1-based); the range may be empty.

        The checksum is of the part, but its type, as on S3, that of the object's; where that is
        FULL_OBJECT, a part shows none.

        An object that was put whole, or copied, is its own only part. Parts are counted in their order,
        whatever their upload called them, so that asking for 1 to x-amz-mp-parts-count gets all of them.
        Raises InvalidPartNumber.
        """
        if version.upload_id is None or version.parts_count is None:
            if number != 1:
                raise InvalidPartNumber(ActualPartCount=1, PartNumberRequested=number)
            return Range(0, version.size), version.attributes.checksum
        layout = await self._reader.layout(version.upload_id)
        found = _nth(layout, number)
        if found is None:
            raise InvalidPartNumber(ActualPartCount=layout.count, PartNumberRequested=number)
        part_number, offset, size = found
        whole = version.attributes.checksum
        if whole is None or whole.type is ChecksumType.FULL_OBJECT:
            return Range(offset, size), None
        parts = await self._facts.read(queries.parts_between, version.upload_id, part_number, part_number)
        checksum = parts[0].checksum if parts else None
        return Range(offset, size), None if checksum is None else replace(checksum, type=whole.type)

    async def parts(self, version: ObjectVersion, after: int, limit: int) -> PartPage:
        """Up to `limit` parts of a multipart object, those with numbers above `after`."""
        assert version.upload_id is not None
        return await self._facts.read(queries.list_parts, version.upload_id, after, limit)

    async def delete(
        self,
        bucket: Bucket,
        key: str,
        version_id: str | None = None,
        *,
        owner_id: str,
        conditions: DeleteConditions | None = None,
        bypass_governance: bool = False,
        has_mfa: bool = False,
        origin: Origin | None = None,
        replica: Replica | None = None,
    ) -> Deleted:
        """Delete a key (in a versioned bucket: put a delete marker on it), or one version for good.

        `has_mfa`: a device of the bucket's owner proved to be at hand. `replica` is what the marker is called
        where it is replicated from. What is not there is deleted already. Raises Refusal, MetadataError.
        """
        command = DeleteVersion(
            bucket.id,
            key,
            owner_id,
            version_id=version_id,
            new_version_id=tokens.new_version_id(),
            conditions=WriteConditions()
            if conditions is None
            else WriteConditions(conditions.if_match, None, conditions.modified_ms, conditions.size),
            bypass_governance=bypass_governance,
            has_mfa=has_mfa,
            replica=replica,
        )
        announced = self._notifications.announced(
            command, bucket, key, origin, is_replicated=replica is not None
        )
        return await self._writer.commit(announced, None)

    async def update_encryption(
        self, bucket: Bucket, version: ObjectVersion, key_arn: str, *, uses_bucket_key: bool
    ) -> None:
        """Have a version's data key sealed by another KMS key; its bytes, ETag and time stay.

        Raises InvalidRequest (it is not encrypted, or with a customer's key), KmsNotFound, KmsError;
        Refusal (Locked), MetadataError.
        """
        encryption = version.attributes.encryption
        if encryption is None:
            raise InvalidRequest(
                "The UpdateObjectEncryption operation doesn't support unencrypted source objects. Only source"
                " objects encrypted with SSE-S3 or SSE-KMS are supported."
            )
        if encryption.method is EncryptionMethod.CUSTOMER:
            raise InvalidRequest(
                "The UpdateObjectEncryption operation doesn't support source objects with the encryption type"
                " DSSE-KMS or SSE-C. Only source objects encrypted with SSE-S3 or SSE-KMS are supported."
            )
        data_key = await self.unlock(version)
        wanted = ManagedKey(EncryptionMethod.KMS, key_arn, uses_bucket_key=uses_bucket_key)
        envelope = await self._encryptions.new(bucket, wanted, data_key)
        assert envelope is not None
        await self._facts.write(
            ReplaceEncryption(
                bucket.id,
                version.key,
                version.version_id,
                encryption.wrapped_key,
                envelope.encryption,
                heeds_lock=True,
            )
        )

    async def replace_tags(
        self,
        bucket: Bucket,
        key: str,
        version_id: str | None,
        tags: Mapping[str, str],
        origin: Origin | None = None,
        *,
        is_replicated: bool = False,
    ) -> ObjectVersion:
        """Give the current version, or the one named, these tags and no others; the version.

        Raises InvalidArgument (no such version id), NoSuchKey (telling of a delete marker in its headers),
        Refusal, MetadataError.
        """
        if version_id is not None:
            tokens.check_version_id(version_id)
        command = ReplaceAttributes(bucket.id, key, version_id, tags=tags)
        announced = self._notifications.announced(command, bucket, key, origin, is_replicated=is_replicated)
        try:
            return await self._facts.write(announced)
        except KeyMissing as exc:
            raise (translate(exc) or exc) from None


def check_lock(bucket: Bucket, lock: ObjectLock | None) -> None:
    """Refuse a lock in a bucket made without object lock, and one whose time is over."""
    if lock is None:
        return
    if not bucket.object_lock:
        raise InvalidRequest("Bucket is missing ObjectLockConfiguration")
    assert lock.mode is None or lock.retain_until_ms > clock.now_ms() - 60_000


def write_conditions(conditions: WritePreconditions) -> WriteConditions:
    """The conditions of a write as the ledger judges them."""
    return WriteConditions(if_match=conditions.if_match, if_none_match=conditions.if_none_match)


def _nth(layout: Layout, number: int) -> tuple[int, int, int] | None:
    """(part number, offset, size) of the `number`-th part in order; None when there are fewer."""
    offset, before = 0, 0
    for run in layout.runs:
        index = number - 1 - before
        if index < run.count:
            return run.first_number + index, offset + index * run.size, run.size
        offset += run.count * run.size
        before += run.count
    return None
