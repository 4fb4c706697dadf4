"""PutObjectAnnotation, GetObjectAnnotation, ListObjectAnnotations, DeleteObjectAnnotation."""

from typing import Final

from objstore.api.call import Call, Reply
from objstore.api.handlers.locking import bypasses_governance
from objstore.api.handlers.objects import bucket_of, find
from objstore.model import Annotation, Bucket, ObjectVersion, Versioning
from objstore.s3.documents.annotations import (
    NAME_BYTES_MAX,
    PAGE_MAX,
    PAYLOAD_BYTES_MAX,
    AnnotationEntry,
    ListObjectAnnotationsOutput,
    PutObjectAnnotationOutput,
    check_name,
)
from objstore.s3.encryption import encryption_headers
from objstore.s3.errors import InvalidArgument, InvalidPrefix, InvalidRequest, UnsupportedMediaType
from objstore.s3.integrity import parse_integrity
from objstore.s3.object_headers import checksum_headers, http_date
from objstore.service.annotations import Payload

IF_MATCH: Final = "x-amz-object-if-match"
VERSION_HEADER: Final = "x-amz-object-version-id"


async def put(call: Call) -> Reply:
    """PutObjectAnnotation."""
    bucket, name = bucket_of(call), check_name(call.query["annotationName"])
    integrity = parse_integrity(call.headers)
    await find(call, bucket)
    data = await call.body.read(PAYLOAD_BYTES_MAX)
    if not data:
        raise InvalidRequest("The annotation payload must have 1 byte to 1 MiB.")
    try:
        data.decode()
    except UnicodeDecodeError:
        raise UnsupportedMediaType from None
    version, annotation = await call.services.annotations.put(
        bucket,
        call.key,
        call.query.get("versionId"),
        name,
        Payload(data, call.body.trailers),
        integrity,
        call.headers.get(IF_MATCH),
        call.origin,
    )
    call.notes.version = version
    attributes = annotation.attributes
    return Reply(
        headers={
            "etag": f'"{annotation.etag}"',
            **checksum_headers(attributes.checksum),
            **encryption_headers(attributes.encryption),
            **_version_header(bucket, version),
        },
        document=PutObjectAnnotationOutput(key=call.key, annotation_name=name),
    )


async def get(call: Call) -> Reply:
    """GetObjectAnnotation."""
    bucket = bucket_of(call)
    version = await find(call, bucket)
    annotation = await call.services.annotations.find(version, call.query["annotationName"])
    attributes = annotation.attributes
    headers = {
        "content-type": "binary/octet-stream",
        "etag": f'"{annotation.etag}"',
        "last-modified": http_date(annotation.modified_ms),
        **encryption_headers(attributes.encryption),
        **_version_header(bucket, version),
    }
    if call.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers.update(checksum_headers(attributes.checksum))
    return Reply(headers=headers, body=await call.services.annotations.read(version, annotation))


async def list_all(call: Call) -> Reply:
    """ListObjectAnnotations."""
    bucket, query = bucket_of(call), call.query
    prefix, token = query.get("annotation-prefix", ""), query.get("continuation-token")
    if len(prefix.encode()) > NAME_BYTES_MAX:
        raise InvalidPrefix
    limit = _limit(query.get("max-annotation-results"))
    version = await find(call, bucket)
    page = await call.services.annotations.list(bucket, version, prefix, token, limit)
    entries = tuple(
        AnnotationEntry(
            annotation_name=one.name,
            last_modified=one.modified_ms,
            etag=one.etag,
            checksum_algorithm=()
            if one.attributes.checksum is None
            else (one.attributes.checksum.algorithm,),
            size=one.size,
        )
        for one in page.annotations
    )
    return Reply(
        headers=_version_header(bucket, version),
        document=ListObjectAnnotationsOutput(
            annotations=entries,
            bucket=bucket.name,
            key=call.key,
            annotation_prefix=prefix or None,
            max_annotation_results=limit,
            annotation_count=len(entries),
            continuation_token=token,
            next_continuation_token=page.token,
        ),
    )


async def delete(call: Call) -> Reply:
    """DeleteObjectAnnotation."""
    bucket = bucket_of(call)
    version = await find(call, bucket)
    await call.services.annotations.delete(
        bucket,
        call.key,
        call.query.get("versionId"),
        call.query["annotationName"],
        if_match=call.headers.get(IF_MATCH),
        bypass_governance=await bypasses_governance(call, call.key),
        origin=call.origin,
    )
    return Reply(204, _version_header(bucket, version))


def _entry(annotation: Annotation) -> AnnotationEntry:
    checksum = annotation.attributes.checksum
    return AnnotationEntry(
        annotation_name=annotation.name,
        last_modified=annotation.modified_ms,
        etag=annotation.etag,
        checksum_algorithm=() if checksum is None else (checksum.algorithm,),
        size=annotation.size,
    )


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE_MAX
    if text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= PAGE_MAX:
        return int(text)
    raise InvalidArgument(
        f"max-annotation-results must be between 1 and {PAGE_MAX}",
        ArgumentName="max-annotation-results",
        ArgumentValue=ascii(text)[1:-1],
    )


def _version_header(bucket: Bucket, version: ObjectVersion) -> dict[str, str]:
    return {} if bucket.versioning is Versioning.NEVER else {VERSION_HEADER: version.version_id}
