"""Annotations: named texts on versions, each with bytes, checksum and data key of its own."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from objstore.encryption.envelope import Envelope
from objstore.events.records import Origin
from objstore.meta import queries
from objstore.meta.commands import DeleteAnnotation, PutAnnotation
from objstore.meta.interface import Conflict, Unavailable
from objstore.model import Annotation, Attributes, Bucket, Encryption, EncryptionMethod, ObjectVersion
from objstore.s3 import checksums, tokens
from objstore.s3.encryption import ManagedKey
from objstore.s3.errors import InvalidRequest, NoSuchAnnotation
from objstore.s3.integrity import Integrity
from objstore.service.encryption import Encryptions
from objstore.service.facts import Facts
from objstore.service.notifications import Notifications
from objstore.service.objects import Objects
from objstore.service.writer import Writer

PUT_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a version's annotations by name; `token` for the rest, None when there is none."""

    annotations: tuple[Annotation, ...]
    token: str | None


class Payload:
    """A text that is here whole, as a body for the writer."""

    def __init__(self, data: bytes, trailers: Mapping[str, str]) -> None:
        self._data = data
        self.length: int | None = len(data)
        self.trailers = trailers

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data

    async def read(self, limit: int) -> bytes:
        """All of it."""
        return self._data


class Annotations:
    """The annotations of all objects."""

    def __init__(
        self,
        facts: Facts,
        writer: Writer,
        objects: Objects,
        encryptions: Encryptions,
        notifications: Notifications,
    ) -> None:
        self._facts = facts
        self._writer = writer
        self._objects = objects
        self._encryptions = encryptions
        self._notifications = notifications

    async def put(
        self,
        bucket: Bucket,
        key: str,
        version_id: str | None,
        name: str,
        payload: Payload,
        integrity: Integrity,
        if_match: str | None,
        origin: Origin,
    ) -> tuple[ObjectVersion, Annotation]:
        """Put an annotation on the current version, or the one named; durable when this returns.

        Raises what `Objects.find` raises, InvalidRequest (the object is encrypted with a key of its
        client's), BadDigest and its like, Refusal, MetadataError, StorageError.
        """
        for attempt in range(PUT_ATTEMPTS):
            try:
                return await self._put(bucket, key, version_id, name, payload, integrity, if_match, origin)
            except Conflict:
                if attempt == PUT_ATTEMPTS - 1:
                    raise
        raise AssertionError("not reached")

    async def _put(
        self,
        bucket: Bucket,
        key: str,
        version_id: str | None,
        name: str,
        payload: Payload,
        integrity: Integrity,
        if_match: str | None,
        origin: Origin,
    ) -> tuple[ObjectVersion, Annotation]:
        version = await self._objects.find(bucket, key, version_id)
        envelope = await self._envelope(bucket, version.attributes.encryption)
        algorithm = integrity.algorithm or checksums.DEFAULT.name
        seal = None if envelope is None else envelope.for_object()
        written = await self._writer.write(payload, integrity, algorithm, seal)
        assert written.blob is not None, "an annotation is never empty"
        attributes = Attributes(
            checksum=written.checksums[algorithm],
            encryption=None if envelope is None else envelope.encryption,
        )
        annotation = Annotation(name, written.size, written.etag, 0, attributes, written.blob)
        command = PutAnnotation(bucket.id, key, version_id, version.sequence, annotation, if_match)
        try:
            announced = self._notifications.announced(command, bucket, key, origin)
        except Unavailable:
            await self._writer.discard(written.blob)
            raise
        return await self._writer.commit(announced, written.blob), annotation

    async def _envelope(self, bucket: Bucket, encryption: Encryption | None) -> Envelope | None:
        """As the object is encrypted, with a data key of the annotation's own."""
        if encryption is None:
            return None
        if encryption.method is EncryptionMethod.CUSTOMER:
            raise InvalidRequest(
                "Annotations are not supported for objects encrypted with customer-provided keys."
            )
        uses_bucket_key = bool(encryption.wrapped_bucket_key)
        managed = ManagedKey(encryption.method, encryption.key_id, encryption.context, uses_bucket_key)
        return await self._encryptions.new(bucket, managed)

    async def find(self, version: ObjectVersion, name: str) -> Annotation:
        """A version's annotation of this name. Raises NoSuchAnnotation."""
        found = await self._facts.read(queries.annotation, version, name)
        if found is None:
            raise NoSuchAnnotation(AnnotationName=name)
        return found

    async def read(self, version: ObjectVersion, annotation: Annotation) -> bytes:
        """An annotation's text. Raises KmsError, StorageError."""
        bearer = ObjectVersion(
            version.bucket_id,
            version.key,
            version.version_id,
            version.sequence,
            annotation.modified_ms,
            version.owner_id,
            annotation.size,
            annotation.etag,
            annotation.attributes,
            blob=annotation.blob,
        )
        stream = await self._objects.open(bearer, 0, annotation.size)
        return b"".join([piece async for piece in stream])

    async def list(
        self, bucket: Bucket, version: ObjectVersion, prefix: str, token: str | None, limit: int
    ) -> Page:
        """Up to `limit` annotations whose names begin with `prefix`, from where `token` ended.

        Raises InvalidArgument (no token of ours).
        """
        purpose = f"annotations:{bucket.name}/{version.key}"
        after = None if token is None else str(tokens.decode_token(purpose, token)[0])
        found = await self._facts.read(queries.annotations, version, prefix, after, limit + 1)
        wanted = [one for one in found if one.name.startswith(prefix)]
        more = len(wanted) > limit
        page = tuple(wanted[:limit])
        return Page(page, tokens.encode_token(purpose, [page[-1].name]) if more else None)

    async def delete(
        self,
        bucket: Bucket,
        key: str,
        version_id: str | None,
        name: str,
        *,
        if_match: str | None,
        bypass_governance: bool,
        origin: Origin,
    ) -> None:
        """Take an annotation off the current version, or the one named. None there is no error.

        Raises Refusal, MetadataError.
        """
        command = DeleteAnnotation(bucket.id, key, version_id, name, if_match, bypass_governance)
        await self._facts.write(self._notifications.announced(command, bucket, key, origin))
