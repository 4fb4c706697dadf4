"""Multipart uploads: create, upload part, list, complete, abort.

A part's bytes are a blob of its own; completing an upload moves none of them. The worker reads the parts,
checks the client's list and computes ETag and checksum; the ledger verifies that the parts are still
those and decides everything else in one transaction.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from objstore import blocking
from objstore.events.records import Origin
from objstore.meta import queries
from objstore.meta.commands import AbortUpload, CompleteUpload, CreateUpload, NamedPart, PutPart
from objstore.meta.interface import Conflict
from objstore.meta.queries import PartPage, UploadPage
from objstore.model import (
    INITIATOR,
    Attributes,
    Bucket,
    Checksum,
    ChecksumType,
    ObjectLock,
    ObjectVersion,
    Part,
    Replica,
    Upload,
)
from objstore.s3 import checksums, tokens
from objstore.s3.conditions import WritePreconditions
from objstore.s3.encryption import CustomerKey
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
)
from objstore.s3.integrity import Integrity, is_value
from objstore.service.encryption import Encryptions
from objstore.service.facts import Facts
from objstore.service.notifications import Notifications
from objstore.service.objects import UNCONDITIONAL, NewObject, check_lock, write_conditions
from objstore.service.writer import Body, Writer

PARTS_MAX: Final = 10_000
PART_BYTES_MIN: Final = 5 * 1024**2
"""Every part but the last has at least this many bytes."""
OBJECT_BYTES_MAX: Final = 5 * 1024**4
_IGNORED: Final = frozenset({"CRC32", "CRC32C", "SHA1", "SHA256"})
"""Whole-object checksums that S3 neither checks nor keeps where the upload named no algorithm."""
COMPLETE_ATTEMPTS: Final = 5
"""How often a Complete is tried again when parts are replaced under it."""
_INLINE_PARTS: Final = 100
"""Combining the checksums of this many parts takes well under a millisecond."""


@dataclass(frozen=True, slots=True)
class ClaimedPart:
    """One part as the client names it in Complete: what it does not say is not checked."""

    number: int
    etag: str
    checksums: Mapping[str, str]
    """Base64 values by algorithm; at most one is allowed."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a Complete says besides its parts."""

    checksum: Checksum | None = None
    """Of the whole object, as the headers have it; its `type` means nothing."""
    checksum_type: ChecksumType | None = None
    object_size: int | None = None
    conditions: WritePreconditions = UNCONDITIONAL
    origin: Origin | None = None
    default_lock: ObjectLock | None = None
    """The retention of an object whose upload brought none."""
    replica: Replica | None = None
    """As of NewObject."""


class Uploads:
    """The multipart uploads of all buckets."""

    def __init__(
        self, facts: Facts, writer: Writer, notifications: Notifications, encryptions: Encryptions
    ) -> None:
        self._encryptions = encryptions
        self._notifications = notifications
        self._facts = facts
        self._writer = writer

    async def create(self, bucket: Bucket, key: str, initiator_id: str, new: NewObject) -> Upload:
        """Begin an upload. `new.attributes.checksum` is what the client chose, with an empty value, or None.

        The upload's owner is who will own the object, and need not be who began it.
        Raises InvalidRequest (a lock where the bucket has none), what Encryptions.new raises, Refusal,
        MetadataError.
        """
        check_lock(bucket, new.lock)
        owner_id, attributes = new.owner_id or bucket.owner_id, new.attributes
        envelope = await self._encryptions.new(bucket, new.encryption)
        if envelope is not None:
            attributes = replace(attributes, encryption=envelope.encryption)
        if initiator_id != owner_id:
            attributes = replace(attributes, extra={**attributes.extra, INITIATOR: initiator_id})
        return await self._facts.write(
            CreateUpload(
                bucket.id,
                key,
                tokens.new_upload_id(),
                owner_id,
                attributes,
                tags=new.tags,
                lock=new.lock,
            )
        )

    def find(self, bucket: Bucket, key: str, upload_id: str) -> Upload:
        """An upload under way. Raises NoSuchUpload."""
        tokens.check_upload_id(upload_id)
        upload = self._facts.read_now(queries.upload, bucket.id, key, upload_id)
        if upload is None:
            raise NoSuchUpload(UploadId=upload_id)
        return upload

    async def put_part(
        self,
        bucket: Bucket,
        upload: Upload,
        number: int,
        body: Body,
        announced: Integrity,
        customer_key: CustomerKey | None = None,
    ) -> tuple[Part, Checksum]:
        """Store a part, replacing the one of that number; the part, and the checksum to tell the client of.

        Raises InvalidRequest when the client's checksum, or its encryption key, is not the upload's, and
        what Objects.put raises.
        """
        algorithm = part_algorithm(upload, announced)
        seal = await self._encryptions.for_part(upload, customer_key, number)
        written = await self._writer.write(body, announced, algorithm, seal)
        part = Part(
            number,
            written.size,
            written.etag,
            0,
            written.checksums[algorithm],
            written.blob,
            None if seal is None else seal.salt,
        )
        part = await self._writer.commit(PutPart(bucket.id, upload.key, upload.upload_id, part), written.blob)
        return part, written.checksums[announced.algorithm or algorithm]

    async def list_parts(self, upload: Upload, after: int, limit: int) -> PartPage:
        """Up to `limit` parts of an upload with numbers above `after`."""
        return await self._facts.read(queries.list_parts, upload.upload_id, after, limit)

    async def list(
        self, bucket: Bucket, prefix: str, key_marker: str, upload_id_marker: str, delimiter: str, limit: int
    ) -> UploadPage:
        """Uploads under way by key and the time they began: see queries.list_uploads."""
        return await self._facts.read(
            queries.list_uploads, bucket.id, prefix, key_marker, upload_id_marker, delimiter, limit
        )

    async def abort(self, bucket: Bucket, key: str, upload_id: str) -> None:
        """Give up an upload and its parts. Raises NoSuchUpload, Refusal, MetadataError."""
        tokens.check_upload_id(upload_id)
        await self._facts.write(AbortUpload(bucket.id, key, upload_id))

    async def complete(
        self, bucket: Bucket, key: str, upload_id: str, claimed: Sequence[ClaimedPart], said: Completion
    ) -> ObjectVersion:
        """Make the claimed parts, in this order, an object. The same Complete again gets the same answer.

        Raises MalformedXML, InvalidArgument, InvalidPartOrder, InvalidPart, EntityTooSmall, EntityTooLarge,
        InvalidRequest, BadDigest, NoSuchUpload; Refusal, MetadataError.
        """
        tokens.check_upload_id(upload_id)
        check_claims(upload_id, claimed)
        for attempt in range(1, COMPLETE_ATTEMPTS + 1):
            command = await self._completion(bucket, key, upload_id, claimed, said)
            try:
                announced = self._notifications.announced(
                    command, bucket, key, said.origin, is_replicated=said.replica is not None
                )
                return await self._writer.commit(announced, None)
            except Conflict:  # a part was replaced since it was read
                if attempt == COMPLETE_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    async def _completion(
        self, bucket: Bucket, key: str, upload_id: str, claimed: Sequence[ClaimedPart], said: Completion
    ) -> CompleteUpload:
        upload = self._facts.read_now(queries.upload, bucket.id, key, upload_id)
        digest = digest_of(claimed)
        if upload is None:  # completed before, perhaps by this very list: the ledger knows
            return CompleteUpload(bucket.id, key, upload_id, (), "", Attributes(), digest)
        parts = await self._parts(upload)
        if len(claimed) > _INLINE_PARTS:
            chosen, etag, checksum = await blocking.run(judge, upload, parts, claimed, said)
        else:
            chosen, etag, checksum = judge(upload, parts, claimed, said)
        return CompleteUpload(
            bucket.id,
            key,
            upload_id,
            tuple(
                NamedPart(part.part_number, None if part.blob is None else part.blob.id, part.size)
                for part in chosen
            ),
            etag,
            replace(upload.attributes, checksum=checksum, extra=_of_object(upload.attributes.extra)),
            digest,
            conditions=write_conditions(said.conditions),
            version_id=tokens.version_id_of(upload.upload_id),
            default_lock=said.default_lock,
            replica=said.replica,
        )

    async def _parts(self, upload: Upload) -> dict[int, Part]:
        page = await self._facts.read(queries.list_parts, upload.upload_id, 0, PARTS_MAX)
        return {part.part_number: part for part in page.parts}


def _of_object(extra: Mapping[str, str]) -> Mapping[str, str]:
    """The extra attributes of an upload that its object has, too."""
    return {name: value for name, value in extra.items() if name != INITIATOR} if extra else extra


def part_algorithm(upload: Upload, announced: Integrity) -> str:
    """The checksum algorithm that a part of `upload` is stored with.

    An upload that named none takes parts with any, and its object gets the default. Raises
    InvalidRequest where the client's choices do not fit together.
    """
    wanted = upload.attributes.checksum
    if wanted is None:
        return checksums.DEFAULT.name
    computed = wanted.type is ChecksumType.FULL_OBJECT and announced.algorithm is None
    if not computed and announced.algorithm != wanted.algorithm:
        actual = announced.algorithm.lower() if announced.algorithm else "null"
        raise InvalidRequest(
            f"Checksum Type mismatch occurred, expected checksum Type: {wanted.algorithm.lower()}, "
            f"actual checksum Type: {actual}"
        )
    return wanted.algorithm


def check_claims(upload_id: str, claimed: Sequence[ClaimedPart]) -> None:
    """Part numbers ascend and are in range, and each part has one checksum at most, which could be one.

    Raises MalformedXML, InvalidArgument, InvalidPartOrder, InvalidPart.
    """
    if not claimed or len(claimed) > PARTS_MAX:
        raise MalformedXML()
    before = 0
    for part in claimed:
        if part.number < 1:
            raise InvalidArgument(
                "PartNumber must be >= 1", ArgumentName="PartNumber", ArgumentValue=part.number
            )
        if part.number > PARTS_MAX:
            raise InvalidPart(PartNumber=part.number)
        _check_claimed_checksum(part)
        if part.number <= before:
            raise InvalidPartOrder(UploadId=upload_id)
        before = part.number


def _check_claimed_checksum(part: ClaimedPart) -> None:
    values = part.checksums
    if not values:
        return
    ((algorithm, value), *others) = values.items()
    if others or not is_value(checksums.ALGORITHMS[algorithm], value):
        given = "".join(f"{name}:{text};" for name, text in values.items()) if others else value
        raise InvalidArgument(
            "Invalid Base64 or multiple checksums present in request",
            ArgumentName="Checksum",
            ArgumentValue=ascii(given)[1:-1],
        )


def digest_of(claimed: Sequence[ClaimedPart]) -> bytes:
    """What stands for a client's list of parts, to know it again."""
    text = ";".join(
        f"{part.number}:{part.etag}:{sorted(part.checksums.items()) if part.checksums else ''}"
        for part in claimed
    )
    return hashlib.sha256(text.encode()).digest()


def judge(
    upload: Upload, parts: Mapping[int, Part], claimed: Sequence[ClaimedPart], said: Completion
) -> tuple[list[Part], str, Checksum]:
    """The parts that make the object, its ETag and its checksum, if the client's claims hold for `parts`.

    Raises InvalidPart, InvalidPartOrder, EntityTooSmall, EntityTooLarge, InvalidRequest, BadDigest.
    """
    wanted = upload.attributes.checksum
    if wanted is not None and wanted.type is ChecksumType.COMPOSITE:
        _check_consecutive(upload.upload_id, claimed)
    chosen = [_part_claimed(upload, parts.get(claim.number), claim) for claim in claimed]
    for part in chosen[:-1]:
        if part.size < PART_BYTES_MIN:
            raise EntityTooSmall(
                ProposedSize=part.size,
                MinSizeAllowed=PART_BYTES_MIN,
                PartNumber=part.part_number,
                ETag=part.etag,
            )
    size = sum(part.size for part in chosen)
    if size > OBJECT_BYTES_MAX:
        raise EntityTooLarge(ProposedSize=size, MaxSizeAllowed=OBJECT_BYTES_MAX)
    if said.object_size is not None and said.object_size != size:
        raise InvalidRequest(
            f"The provided 'x-amz-mp-object-size' header value {said.object_size} does not match what was "
            f"computed: {size}"
        )
    checksum = _checksum_of(upload, chosen)
    _check_said(said, checksum, is_chosen=wanted is not None)
    return chosen, checksums.multipart_etag([part.etag for part in chosen]), checksum


def _check_consecutive(upload_id: str, claimed: Sequence[ClaimedPart]) -> None:
    """A COMPOSITE checksum says how many parts it covers, so their numbers may have no gaps."""
    if any(part.number != number for number, part in enumerate(claimed, 1)):
        raise InvalidPartOrder(UploadId=upload_id)


def _part_claimed(upload: Upload, part: Part | None, claim: ClaimedPart) -> Part:
    invalid = InvalidPart(UploadId=upload.upload_id, PartNumber=claim.number, ETag=claim.etag)
    if part is None or claim.etag != part.etag:
        raise invalid
    assert part.checksum is not None, "every part is stored with a checksum"
    wanted, own = upload.attributes.checksum, part.checksum.algorithm
    for algorithm, value in claim.checksums.items():
        if algorithm == own and value != part.checksum.value:
            raise invalid
        if algorithm != own:
            if wanted is None:
                raise invalid
            raise BadDigest(
                f"The {algorithm.lower()} you specified for part {claim.number} did not match what we "
                "received."
            )
    if wanted is not None and wanted.type is ChecksumType.COMPOSITE and not claim.checksums:
        raise InvalidRequest(
            f"The upload was created using a {own.lower()} checksum. The complete request must include the "
            f"checksum for each part. It was missing for part {claim.number} in the request."
        )
    return part


def _checksum_of(upload: Upload, parts: Sequence[Part]) -> Checksum:
    wanted = upload.attributes.checksum
    algorithm, type_ = checksums.DEFAULT, ChecksumType.FULL_OBJECT
    if wanted is not None:
        algorithm, type_ = checksums.ALGORITHMS[wanted.algorithm], wanted.type
    values = [(part.checksum.value, part.size) for part in parts if part.checksum is not None]
    return checksums.of_parts(algorithm, type_, values)


def _check_said(said: Completion, checksum: Checksum, *, is_chosen: bool) -> None:
    """Compare the object's checksum with what the client said it is; `is_chosen`: it chose the algorithm."""
    mode = checksum.type if is_chosen else None
    if said.checksum_type is not None and said.checksum_type is not mode:
        raise InvalidRequest(
            f"The upload was created using the {mode or 'null'} checksum mode. The complete request must use "
            "the same checksum mode."
        )
    if said.checksum is None:
        return
    if said.checksum.algorithm != checksum.algorithm:
        if not is_chosen and said.checksum.algorithm in _IGNORED:
            return
        if is_chosen and checksum.type is ChecksumType.FULL_OBJECT:
            raise _wrong(checksum)
        raise InvalidRequest(
            "Checksum Type mismatch occurred, expected checksum Type: "
            f"{checksum.algorithm.lower() if is_chosen else 'null'}, "
            f"actual checksum Type: {said.checksum.algorithm.lower()}"
        )
    if said.checksum.value not in (checksum.value, checksum.value.partition("-")[0]):
        raise _wrong(checksum)


def _wrong(checksum: Checksum) -> BadDigest:
    return BadDigest(f"The {checksum.algorithm.lower()} you specified did not match the calculated checksum.")
