"""Where replicas go: a bucket of this server, of another of ours, or of any other S3 server.

To one of ours a version goes with its id and time, and may be sent again: it is there once. The others
give their own ids; sent again, it is there twice. Encrypted bytes are sent as their plain text (over the
connection's own encryption) and encrypted there as the destination has it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final, Protocol
from urllib.parse import quote, urlencode

from objstore import clock
from objstore.events.records import RULES, Origin
from objstore.model import (
    NULL_VERSION,
    Bucket,
    Checksum,
    ChecksumType,
    EncryptionMethod,
    ObjectLock,
    ObjectVersion,
    Replica,
)
from objstore.remote.client import BUFFER_BYTES, NewPart, RemoteError, RemoteS3
from objstore.remote.failures import text_in
from objstore.remote.sending import Source
from objstore.s3 import xml
from objstore.s3.documents import locking
from objstore.s3.documents.locking import LegalHold
from objstore.s3.documents.replication import ReplicationRule
from objstore.s3.encryption import HEADER as ENCRYPTION_HEADER
from objstore.s3.encryption import KMS_KEY_HEADER, ManagedKey
from objstore.s3.integrity import Integrity
from objstore.s3.object_headers import METADATA_PREFIX, checksum_headers, lock_headers
from objstore.s3.replication import MODIFIED_HEADER, PROBE_HEADER, VERSION_HEADER
from objstore.service import Services
from objstore.service.multipart import PARTS_MAX, ClaimedPart, Completion
from objstore.service.objects import NewObject

PROBE_EVERY_S: Final = 300.0
"""How long it is believed what kind of server a destination is."""
LOCK_MARGIN_MS: Final = 120_000
"""Retention that ends within this time is not sent: it would be refused as over on arrival."""


class NotThere(Exception):
    """What is to be changed is no longer at the destination, or cannot be told from others there."""


class Destination(Protocol):
    """A bucket that replicas go to. What the other side refuses raises RemoteError or S3Error."""

    async def put(self, version: ObjectVersion, rule: ReplicationRule) -> str | None:
        """Send a version; what it is called there, None where it keeps its name."""
        ...

    async def put_marker(self, marker: ObjectVersion) -> str | None:
        """Send a delete marker; as `put`."""
        ...

    async def change(self, version: ObjectVersion, there: str | None) -> None:
        """Send tags and lock of a version that is called `there`. Raises NotThere."""
        ...

    async def keeps_order(self) -> bool:
        """Whether a version that comes late finds its place among the versions of its key."""
        ...


class RemoteBucket:
    """A bucket of another server."""

    def __init__(self, services: Services, remote: RemoteS3, bucket_name: str) -> None:
        self._services = services
        self._remote = remote
        self._bucket = bucket_name
        self._is_ours = False
        self._probed_s = float("-inf")

    async def keeps_order(self) -> bool:
        """See `Destination.keeps_order`: only ours does. Raises RemoteError, RemoteUnavailable."""
        now_s = clock.monotonic_s()
        if now_s - self._probed_s > PROBE_EVERY_S:
            try:
                found = await self._remote.head(self._bucket, "", headers={PROBE_HEADER: "1"})
            except RemoteError as exc:
                raise RemoteError(exc.status, exc.code, "HeadBucket, for s3:ListBucket, was refused") from exc
            if found is None:
                raise RemoteError(404, "NoSuchBucket", self._bucket)
            self._is_ours, self._probed_s = PROBE_HEADER in found.headers, now_s
        return self._is_ours

    async def put(self, version: ObjectVersion, rule: ReplicationRule) -> str | None:
        """See `Destination.put`."""
        is_ours = await self.keeps_order()
        if is_ours and version.size > BUFFER_BYTES and await self._has(version):
            return None
        about, marks = _headers(version, rule), _marks(version) if is_ours else {}
        parts = await _parts(self._services, version)
        checksum = version.attributes.checksum
        ends: dict[str, str] = {}
        if parts is None:
            about.update(checksum_headers(checksum))
        elif checksum is not None:
            about["x-amz-checksum-algorithm"] = checksum.algorithm
            about["x-amz-checksum-type"] = checksum.type.value
            if checksum.type is ChecksumType.FULL_OBJECT:
                ends = checksum_headers(checksum)
        async with aclosing(_bytes_of(self._services, version)) as body:
            made = await self._remote.put(
                self._bucket,
                version.key,
                version.size,
                body,
                {**about, **(marks if parts is None else {})},
                parts=parts or (),
                complete_headers={**ends, **marks},
            )
        return None if is_ours else made.version_id

    async def _has(self, version: ObjectVersion) -> bool:
        """Whether it came before, so that many bytes need not be sent for nothing."""
        if version.version_id == NULL_VERSION:
            return False  # what is called so there may be another one, which this one replaces if it is older
        return await self._remote.head(self._bucket, version.key, version.version_id) is not None

    async def put_marker(self, marker: ObjectVersion) -> str | None:
        """See `Destination.put_marker`."""
        is_ours = await self.keeps_order()
        marks = _marks(marker) if is_ours else {}
        if not is_ours:
            await self._require_versions()
        made = await self._remote.delete(self._bucket, marker.key, headers=marks)
        return None if is_ours else made

    async def _require_versions(self) -> None:
        """Raise RemoteError unless a delete makes a marker there: otherwise it would be for good.

        Asked each time, since versioning may be suspended at any time. Raises RemoteUnavailable.
        """
        said = await self._remote.document(self._bucket, query={"versioning": ""})
        if text_in(said, "Status") != "Enabled":
            raise RemoteError(
                409, "InvalidBucketState", "versioning is not enabled, a delete would be for good"
            )

    async def change(self, version: ObjectVersion, there: str | None) -> None:
        """See `Destination.change`."""
        is_ours = await self.keeps_order()
        version_id, marks = there, {}
        if is_ours:
            version_id, marks = version.version_id, {VERSION_HEADER: version.version_id}
        elif there is None and not version.is_latest:
            raise NotThere
        try:
            await self._remote.put_tagging(self._bucket, version.key, version.tags, version_id, marks)
            for subresource, document in _lock_documents(version.lock):
                await self._remote.put_document(
                    self._bucket,
                    version.key,
                    subresource,
                    document,
                    version_id,
                    {**marks, "x-amz-bypass-governance-retention": "true"},
                )
        except RemoteError as exc:
            if exc.status == 404:
                raise NotThere from exc
            raise


class LocalBucket:
    """Another bucket of this server."""

    def __init__(self, services: Services, bucket: Bucket) -> None:
        self._services = services
        self._bucket = bucket

    async def keeps_order(self) -> bool:
        """See `Destination.keeps_order`."""
        return True

    async def put(self, version: ObjectVersion, rule: ReplicationRule) -> str | None:
        """See `Destination.put`. Raises S3Error, Refusal, MetadataError, StorageError."""
        parts = await _parts(self._services, version)
        default = self._services.locks.default(self._bucket)
        key_id = _replica_key(rule)
        new = NewObject(
            replace(
                version.attributes,
                checksum=None,
                storage_class=rule.destination.storage_class or version.attributes.storage_class,
                extra={},
                encryption=None,
            ),
            tags=version.tags,
            lock=_standing(version.lock) or default,
            encryption=None if key_id is None else ManagedKey(EncryptionMethod.KMS, key_id),
            origin=_origin("s3:ObjectCreated:Put"),
            replica=Replica(version.version_id, version.modified_ms),
        )
        if parts is not None:
            await self._put_parts(version, parts, new)
            return None
        checksum = version.attributes.checksum
        if checksum is not None:
            new = replace(new, integrity=Integrity(algorithm=checksum.algorithm, value=checksum.value))
        async with aclosing(_bytes_of(self._services, version)) as body:
            await self._services.objects.put(self._bucket, version.key, _Body(version.size, body), new)
        return None

    async def _put_parts(self, version: ObjectVersion, parts: Sequence[NewPart], new: NewObject) -> None:
        uploads, bucket, key = self._services.uploads, self._bucket, version.key
        checksum = version.attributes.checksum
        if checksum is not None:
            chosen = Checksum(checksum.algorithm, "", checksum.type)
            new = replace(new, attributes=replace(new.attributes, checksum=chosen))
        upload = await uploads.create(bucket, key, bucket.owner_id, new)
        try:
            claimed = []
            async with aclosing(_bytes_of(self._services, version)) as body:
                source = Source(body)
                for number, part in enumerate(parts, 1):
                    known = part.checksum
                    announced = (
                        Integrity() if known is None else Integrity(None, known.algorithm, known.value)
                    )
                    run = _Body(part.size, source.take(part.size))
                    made, _ = await uploads.put_part(bucket, upload, number, run, announced)
                    sums = {} if known is None else {known.algorithm: known.value}
                    claimed.append(ClaimedPart(number, made.etag, sums))
            origin = _origin("s3:ObjectCreated:CompleteMultipartUpload")
            said = Completion(origin=origin, replica=new.replica)
            await uploads.complete(bucket, key, upload.upload_id, claimed, said)
        except BaseException:
            await asyncio.shield(uploads.abort(bucket, key, upload.upload_id))
            raise

    async def put_marker(self, marker: ObjectVersion) -> str | None:
        """See `Destination.put_marker`."""
        await self._services.objects.delete(
            self._bucket,
            marker.key,
            owner_id=self._bucket.owner_id,
            origin=_origin("s3:ObjectRemoved:Delete"),
            replica=Replica(marker.version_id, marker.modified_ms),
        )
        return None

    async def change(self, version: ObjectVersion, there: str | None) -> None:
        """See `Destination.change`."""
        named = (self._bucket, version.key, version.version_id)
        event = "s3:ObjectTagging:Put" if version.tags else "s3:ObjectTagging:Delete"
        await self._services.objects.replace_tags(*named, version.tags, _origin(event), is_replicated=True)
        lock = version.lock
        if lock is None:
            return
        retention = _standing(replace(lock, legal_hold=None))
        if retention is not None:
            await self._services.locks.retain(*named, retention, bypass_governance=True, is_replicated=True)
        if lock.legal_hold is not None:
            await self._services.locks.hold(*named, is_held=lock.legal_hold, is_replicated=True)


def _origin(event: str) -> Origin:
    """Whom those are told of who watch a bucket of this server that replicas come to."""
    return Origin(event, RULES, RULES, "", "")


class _Body:
    """A body of known length for the services."""

    def __init__(self, length: int, pieces: AsyncIterator[memoryview]) -> None:
        self.length: int | None = length
        self.trailers: Mapping[str, str] = {}
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._pieces:
            yield piece  # type: ignore[misc]

    async def read(self, limit: int) -> bytes:
        """All of it, which is no more than `limit`."""
        gathered = b"".join([bytes(piece) async for piece in self._pieces])
        assert len(gathered) <= limit
        return gathered


async def _bytes_of(services: Services, version: ObjectVersion) -> AsyncGenerator[memoryview, None]:
    if version.size:
        async with aclosing(await services.objects.open(version, 0, version.size)) as stream:
            async for piece in stream:
                yield piece


async def _parts(services: Services, version: ObjectVersion) -> list[NewPart] | None:
    """The parts that make up a version and decide its ETag; None for one that was put whole."""
    if version.upload_id is None or version.parts_count is None:
        return None
    page = await services.objects.parts(version, 0, PARTS_MAX)
    return [NewPart(part.size, part.checksum) for part in page.parts]


def _marks(version: ObjectVersion) -> dict[str, str]:
    """What a server of ours is told of a version."""
    return {VERSION_HEADER: version.version_id, MODIFIED_HEADER: str(version.modified_ms)}


def _headers(version: ObjectVersion, rule: ReplicationRule) -> dict[str, str]:
    """What a version is sent with, but for its checksum."""
    attributes = version.attributes
    headers = dict(attributes.headers)
    for name, value in attributes.metadata.items():
        headers[METADATA_PREFIX + name] = value
    storage_class = rule.destination.storage_class or attributes.storage_class
    if storage_class != "STANDARD":
        headers["x-amz-storage-class"] = storage_class
    if version.tags:
        headers["x-amz-tagging"] = urlencode(version.tags, quote_via=quote)
    lock = _standing(version.lock)
    if lock is not None:
        headers.update(lock_headers(lock))
    key_id = _replica_key(rule)
    if key_id is not None:
        headers[ENCRYPTION_HEADER] = EncryptionMethod.KMS.value
        headers[KMS_KEY_HEADER] = key_id
    return headers


def _replica_key(rule: ReplicationRule) -> str | None:
    wanted = rule.destination.encryption_configuration
    return None if wanted is None else wanted.replica_kms_key_id


def _standing(lock: ObjectLock | None) -> ObjectLock | None:
    """What of a lock will still hold on arrival."""
    if lock is None:
        return None
    if lock.mode is not None and lock.retain_until_ms <= clock.now_ms() + LOCK_MARGIN_MS:
        lock = ObjectLock(legal_hold=lock.legal_hold)
    return None if lock == ObjectLock() else lock


def _lock_documents(lock: ObjectLock | None) -> list[tuple[str, bytes]]:
    """The subresources, and their documents, that give a version this lock."""
    if lock is None:
        return []
    found = []
    standing = _standing(replace(lock, legal_hold=None))
    if standing is not None:
        found.append(("retention", xml.dumps(locking.retention_of(standing))))
    if lock.legal_hold is not None:
        found.append(("legal-hold", xml.dumps(LegalHold(status="ON" if lock.legal_hold else "OFF"))))
    return found
