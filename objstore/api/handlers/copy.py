"""CopyObject and UploadPartCopy."""

from collections.abc import Awaitable
from typing import Final, TypeVar

from objstore import clock
from objstore.api.call import Call, Reply
from objstore.api.handlers import keepalive
from objstore.api.handlers.acl import new_object_access
from objstore.api.handlers.multipart import part_of_upload, upload_version_header
from objstore.api.handlers.objects import (
    bucket_of,
    customer_key_of,
    lifecycle_of,
    new_lock,
    new_tags,
    require_tagging,
    told_encryption,
    wanted_encryption,
    write_conditions,
)
from objstore.iam.principals import is_account
from objstore.model import NULL_VERSION, Bucket, ObjectVersion, Part, Versioning
from objstore.s3 import copy_source
from objstore.s3.checksums import algorithm_named
from objstore.s3.conditions import COPY_SOURCE_PREFIX, parse_conditions
from objstore.s3.documents.checksums import checksum_elements
from objstore.s3.documents.copying import CopyObjectResult, CopyPartResult
from objstore.s3.encryption import SOURCE_CUSTOMER, encryption_headers
from objstore.s3.errors import AccessDenied, InvalidArgument, NoSuchKey, NoSuchVersion
from objstore.s3.expiry import expiration_header
from objstore.s3.object_headers import parse_attributes
from objstore.service.copy import Source, Terms
from objstore.service.objects import NewObject, with_default

T = TypeVar("T")

ANNOTATION_DIRECTIVES: Final = ("x-amz-object-annotation-directive", "x-amz-annotation-directive")
"""The header as SDKs send it, and as the documentation calls it; either may be in the query."""
_DIRECTIVES: Final = {"COPY": False, "REPLACE": True}


async def copy_object(call: Call) -> Reply:
    """CopyObject."""
    bucket, headers = bucket_of(call), call.headers
    source = await _source(call)
    algorithm = headers.get("x-amz-checksum-algorithm")
    replaces_tags = _directive(call, "x-amz-tagging-directive", "Unknown tagging directive.")

    async def may_copy_tags() -> None:
        suffix = "Tagging" if source.version_id is None else "VersionTagging"
        await call.require(f"s3:GetObject{suffix}", source.bucket.name, source.key)
        await require_tagging(call)

    async def may_copy_annotations() -> None:
        suffix = "Annotation" if source.version_id is None else "VersionAnnotation"
        await call.require(f"s3:GetObject{suffix}", source.bucket.name, source.key)
        await call.require("s3:PutObjectAnnotation", bucket.name, call.key)

    access = await new_object_access(call)
    terms = Terms(
        NewObject(
            access.added_to(parse_attributes(headers)),
            tags=await new_tags(call) if replaces_tags else {},
            lock=with_default(await new_lock(call), call.services.locks.default(bucket)),
            conditions=await write_conditions(call),
            owner_id=access.owner_id,
            origin=call.origin,
            encryption=wanted_encryption(call),
        ),
        replaces_metadata=_directive(call, "x-amz-metadata-directive", "Unknown metadata directive."),
        replaces_tags=replaces_tags,
        storage_class=headers.get("x-amz-storage-class"),
        algorithm=None if algorithm is None else algorithm_named(algorithm).name,
        copies_annotations=_copies_annotations(call),
        may_copy_annotations=may_copy_annotations,
        may_copy_tags=may_copy_tags,
    )

    rules = lifecycle_of(call)

    def reply(copied: tuple[ObjectVersion, ObjectVersion]) -> Reply:
        version, original = copied
        call.notes.version, call.notes.original = version, original
        checksum = version.attributes.checksum
        return Reply(
            headers={
                **_source_version_header(source, original),
                **told_encryption(terms.new.encryption, version.attributes.encryption),
                **_version_header(bucket, version),
                **expiration_header(rules, version),
            },
            document=CopyObjectResult(
                last_modified=version.modified_ms,
                etag=version.etag,
                checksum_type=None if checksum is None else checksum.type.value,
                **checksum_elements(checksum),
            ),
        )

    copying = call.services.copies.copy(source, bucket, call.key, terms)
    return await keepalive.answer(call, _found(call, source, copying), reply)


async def upload_part_copy(call: Call) -> Reply:
    """UploadPartCopy."""
    bucket = bucket_of(call)
    copy_source.parse_copy_source(call.headers[copy_source.HEADER])  # one that is none is told of first
    upload, number = part_of_upload(call)
    source = await _source(call)
    customer_key = customer_key_of(call)

    def reply(copied: tuple[Part, ObjectVersion]) -> Reply:
        part, original = copied
        call.notes.size, call.notes.original = part.size, original
        checksum = part.checksum if upload.attributes.checksum is not None else None
        return Reply(
            headers={
                **_source_version_header(source, original),
                **encryption_headers(upload.attributes.encryption, customer_key),
                **upload_version_header(call, upload.upload_id),
            },
            document=CopyPartResult(
                last_modified=part.modified_ms, etag=part.etag, **checksum_elements(checksum)
            ),
        )

    range_header = call.headers.get("x-amz-copy-source-range")
    copying = call.services.copies.copy_part(source, range_header, bucket, upload, number, customer_key)
    return await keepalive.answer(call, _found(call, source, copying), reply)


async def _source(call: Call) -> Source:
    """What is to be copied, which the caller must be allowed to read."""
    headers = call.headers
    named = copy_source.parse_copy_source(headers[copy_source.HEADER])
    action = "s3:GetObject" if named.version_id is None else "s3:GetObjectVersion"
    bucket = await call.require(action, named.bucket, named.key, version_id=named.version_id)
    expected_owner = headers.get("x-amz-source-expected-bucket-owner")
    if expected_owner is not None and not is_account(expected_owner, bucket.owner_id):
        raise AccessDenied()
    conditions = parse_conditions(headers, clock.now_s(), COPY_SOURCE_PREFIX)
    customer_key = customer_key_of(call, SOURCE_CUSTOMER, reads=True)
    source = Source(bucket, named.key, named.version_id, conditions, customer_key)
    call.notes.source = source
    return source


async def _found(call: Call, source: Source, copying: Awaitable[T]) -> T:
    """The outcome of a copy. That its source is not there only those learn who may list its bucket."""
    try:
        return await copying
    except NoSuchKey:
        await call.require("s3:ListBucket", source.bucket.name)
        raise
    except NoSuchVersion:
        await call.require("s3:ListBucketVersions", source.bucket.name)
        raise


def _version_header(bucket: Bucket, copy: ObjectVersion) -> dict[str, str]:
    """`x-amz-version-id` of a copy: unlike who puts an object, who copies one is told of a null version."""
    return {} if bucket.versioning is Versioning.NEVER else {"x-amz-version-id": copy.version_id}


def _source_version_header(source: Source, found: ObjectVersion) -> dict[str, str]:
    """`x-amz-copy-source-version-id`, of which a null version has none."""
    if source.bucket.versioning is Versioning.NEVER or found.version_id == NULL_VERSION:
        return {}
    return {"x-amz-copy-source-version-id": found.version_id}


def _copies_annotations(call: Call) -> bool:
    """Whether the copy gets its source's annotations. Raises InvalidArgument."""
    for name in ANNOTATION_DIRECTIVES:
        value = call.headers.get(name) or call.query.get(name)
        if value is None:
            continue
        if value not in ("COPY", "EXCLUDE"):
            raise InvalidArgument(
                "Unknown annotation directive.", ArgumentName=name, ArgumentValue=ascii(value)[1:-1]
            )
        return value == "COPY"
    return True


def _directive(call: Call, name: str, complaint: str) -> bool:
    """Whether a directive header says REPLACE. Raises InvalidArgument."""
    value = call.headers.get(name, "COPY")
    if value not in _DIRECTIVES:
        raise InvalidArgument(complaint, ArgumentName=name, ArgumentValue=ascii(value)[1:-1])
    return _DIRECTIVES[value]
