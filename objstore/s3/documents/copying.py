"""CopyObject and UploadPartCopy."""

from objstore.s3.documents.checksums import ChecksumElements
from objstore.s3.xml import ETag, Moment, document, element


@document
class CopyObjectResult(ChecksumElements):
    last_modified: Moment
    etag: ETag = element("ETag")
    checksum_type: str | None = None


@document
class CopyPartResult(ChecksumElements):
    last_modified: Moment
    etag: ETag = element("ETag")
