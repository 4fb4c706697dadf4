"""GetObjectAttributes."""

from objstore.s3.documents.checksums import ChecksumElements
from objstore.s3.xml import document, element


@document
class Checksum(ChecksumElements):
    checksum_type: str | None = None


@document("Part")
class ObjectPart(ChecksumElements):
    part_number: int
    size: int


@document
class ObjectParts:
    """`total_parts_count` is written as `PartsCount`. S3 lists parts only of objects with a checksum."""

    total_parts_count: int = element("PartsCount")
    part_number_marker: int | None = None
    next_part_number_marker: int | None = None
    max_parts: int | None = None
    is_truncated: bool | None = None
    parts: tuple[ObjectPart, ...] = element("Part", default=())


@document
class GetObjectAttributesResponse:
    """Only what the client asked for; the ETag, unlike everywhere else, without quotes."""

    etag: str | None = element("ETag", default=None)
    checksum: Checksum | None = None
    object_parts: ObjectParts | None = None
    storage_class: str | None = None
    object_size: int | None = None
