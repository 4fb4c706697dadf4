"""GetObjectAttributes."""

from typing import Final

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of, find, reading_key, unlocked
from objstore.model import ObjectVersion, Versioning
from objstore.s3.documents.attributes import Checksum, GetObjectAttributesResponse, ObjectPart, ObjectParts
from objstore.s3.documents.checksums import checksum_elements
from objstore.s3.errors import InvalidArgument, InvalidRequest
from objstore.s3.object_headers import http_date

PAGE_MAX: Final = 1000
_ATTRIBUTES: Final = frozenset({"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"})
_HEADER: Final = "x-amz-object-attributes"


async def get(call: Call) -> Reply:
    """GetObjectAttributes. As on S3, only for those who may read the object, too."""
    wanted = _wanted(call)
    bucket = bucket_of(call)
    version_id = call.query.get("versionId")
    action = "s3:GetObject" if version_id is None else "s3:GetObjectVersion"
    await call.require(action, bucket.name, call.key, version_id=version_id)
    customer_key = reading_key(call)
    version = await find(call, bucket)
    await unlocked(call, version, customer_key)
    checksum = version.attributes.checksum
    headers = {"last-modified": http_date(version.modified_ms)}
    if bucket.versioning is not Versioning.NEVER:
        headers["x-amz-version-id"] = version.version_id
    return Reply(
        headers=headers,
        document=GetObjectAttributesResponse(
            etag=version.etag if "ETag" in wanted else None,
            checksum=Checksum(checksum_type=checksum.type.value, **checksum_elements(checksum))
            if "Checksum" in wanted and checksum is not None
            else None,
            object_parts=await _parts(call, version) if "ObjectParts" in wanted else None,
            storage_class=version.attributes.storage_class if "StorageClass" in wanted else None,
            object_size=version.size if "ObjectSize" in wanted else None,
        ),
    )


def _wanted(call: Call) -> set[str]:
    """The attributes asked for. Raises InvalidRequest (none), InvalidArgument (one that is unknown)."""
    text = call.headers.get(_HEADER, "")
    names = {name.strip() for name in text.split(",")} - {""}
    if not names:
        raise InvalidRequest(
            "The x-amz-object-attributes header specifying the attributes to be retrieved is either missing"
            " or empty"
        )
    if not names <= _ATTRIBUTES:
        raise InvalidArgument(
            "Invalid attribute name specified.", ArgumentName=_HEADER, ArgumentValue=ascii(text)[1:-1]
        )
    return names


async def _parts(call: Call, version: ObjectVersion) -> ObjectParts | None:
    """A page of the parts of a multipart object; None for one that was put whole."""
    if version.parts_count is None:
        return None
    after = _number(call, "x-amz-part-number-marker", 0)
    limit = min(_number(call, "x-amz-max-parts", PAGE_MAX), PAGE_MAX)
    page = await call.services.objects.parts(version, after, limit)
    return ObjectParts(
        total_parts_count=version.parts_count,
        part_number_marker=after,
        next_part_number_marker=page.parts[-1].part_number if page.parts else 0,
        max_parts=limit,
        is_truncated=page.is_truncated,
        parts=tuple(
            ObjectPart(part_number=part.part_number, size=part.size, **checksum_elements(part.checksum))
            for part in page.parts
        ),
    )


def _number(call: Call, name: str, default: int) -> int:
    text = call.headers.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidArgument(
            f"Provided {name} not an integer or within integer range", ArgumentName=name, ArgumentValue=text
        )
    return int(text)
