"""The documents of multipart uploads."""

from typing import Final, Literal

from objstore.s3.documents.checksums import ChecksumElements
from objstore.s3.documents.listing import CommonPrefixes
from objstore.s3.documents.owner import Initiator, Owner
from objstore.s3.xml import ETag, Moment, document, element

MAX_PARTS: Final = 10_000
MAX_COMPLETE_BYTES: Final = 8 * 1024 * 1024
"""10,000 parts, each with number, ETag and the longest checksum, several times over."""


@document
class InitiateMultipartUploadResult:
    bucket: str
    key: str
    upload_id: str


@document
class CompletedPart(ChecksumElements):
    """One part as the client remembers it."""

    part_number: int
    etag: ETag = element("ETag")


@document(limit=MAX_COMPLETE_BYTES)
class CompleteMultipartUpload:
    """The parts to put together, in the client's order; at least one."""

    parts: tuple[CompletedPart, ...] = element("Part")


@document
class CompleteMultipartUploadResult(ChecksumElements):
    location: str
    bucket: str
    key: str
    etag: ETag = element("ETag")
    checksum_type: str | None = None


@document
class Part(ChecksumElements):
    """One listed part."""

    part_number: int
    last_modified: Moment
    etag: ETag = element("ETag")
    size: int


@document
class ListPartsResult:
    bucket: str
    key: str
    upload_id: str
    initiator: Initiator
    owner: Owner
    storage_class: str = "STANDARD"
    part_number_marker: int = 0
    next_part_number_marker: int = 0
    max_parts: int
    is_truncated: bool
    checksum_algorithm: str | None = None
    checksum_type: str | None = None
    encoding_type: Literal["url"] | None = None
    parts: tuple[Part, ...] = element("Part", default=())


@document
class Upload:
    """One multipart upload under way."""

    key: str
    upload_id: str
    initiator: Initiator
    owner: Owner
    storage_class: str = "STANDARD"
    initiated: Moment
    checksum_algorithm: str | None = None
    checksum_type: str | None = None


@document
class ListMultipartUploadsResult:
    bucket: str
    key_marker: str = ""
    upload_id_marker: str = ""
    next_key_marker: str = ""
    next_upload_id_marker: str = ""
    prefix: str | None = None
    delimiter: str | None = None
    max_uploads: int
    is_truncated: bool
    encoding_type: Literal["url"] | None = None
    uploads: tuple[Upload, ...] = element("Upload", default=())
    common_prefixes: tuple[CommonPrefixes, ...] = ()
