"""The seven operations of multipart uploads, but for UploadPartCopy."""

from dataclasses import replace
from typing import Final
from urllib.parse import quote

from objstore import clock
from objstore.api.call import Call, Reply
from objstore.api.handlers import keepalive
from objstore.api.handlers.acl import new_object_access, owner
from objstore.api.handlers.objects import (
    bucket_of,
    customer_key_of,
    lifecycle_of,
    new_lock,
    new_tags,
    new_version_header,
    part_number,
    told_encryption,
    wanted_encryption,
    write_conditions,
)
from objstore.api.handlers.replication import replica_of
from objstore.model import Checksum, ChecksumType, ObjectVersion, Upload
from objstore.s3 import checksums
from objstore.s3.checksums import algorithm_named, check_type, type_named
from objstore.s3.conditions import parse_http_date
from objstore.s3.documents import multipart as documents
from objstore.s3.documents.checksums import checksum_elements
from objstore.s3.documents.listing import CommonPrefixes, url_encoded
from objstore.s3.documents.owner import Initiator
from objstore.s3.encryption import encryption_headers
from objstore.s3.errors import InvalidArgument, InvalidRequest, PreconditionFailed
from objstore.s3.expiry import abort_headers, expiration_header
from objstore.s3.integrity import checksum_in, parse_integrity
from objstore.s3.object_headers import parse_attributes
from objstore.s3.tokens import is_upload_id, version_id_of
from objstore.service.multipart import ClaimedPart, Completion
from objstore.service.objects import NewObject

PAGE_MAX: Final = 1000
INITIATED_HEADER: Final = "x-amz-if-match-initiated-time"
_DIGITS_MAX: Final = 10


async def create(call: Call) -> Reply:
    """CreateMultipartUpload."""
    headers = call.headers
    checksum = _chosen_checksum(call)
    access = await new_object_access(call)
    new = NewObject(
        access.added_to(replace(parse_attributes(headers), checksum=checksum)),
        tags=await new_tags(call),
        lock=await new_lock(call),
        owner_id=access.owner_id,
        encryption=wanted_encryption(call),
    )
    rules = lifecycle_of(call)
    upload = await call.services.uploads.create(bucket_of(call), call.key, call.identity.user_id, new)
    answer = {
        **abort_headers(rules, upload.key, upload.initiated_ms),
        **told_encryption(new.encryption, upload.attributes.encryption),
        **upload_version_header(call, upload.upload_id),
    }
    if checksum is not None:
        answer["x-amz-checksum-algorithm"] = checksum.algorithm
        answer["x-amz-checksum-type"] = checksum.type.value
    return Reply(
        headers=answer,
        document=documents.InitiateMultipartUploadResult(
            bucket=call.bucket_name, key=call.key, upload_id=upload.upload_id
        ),
    )


async def upload_part(call: Call) -> Reply:
    """UploadPart."""
    upload, number = part_of_upload(call)
    customer_key = customer_key_of(call)  # what else a part says of encryption means nothing, as on AWS
    part, checksum = await call.services.uploads.put_part(
        bucket_of(call), upload, number, call.body, parse_integrity(call.headers), customer_key
    )
    call.notes.size = part.size
    header = checksums.ALGORITHMS[checksum.algorithm].header
    return Reply(
        headers={
            "etag": f'"{part.etag}"',
            header: checksum.value,
            **encryption_headers(upload.attributes.encryption, customer_key),
            **upload_version_header(call, upload.upload_id),
        }
    )


async def complete(call: Call) -> Reply:
    """CompleteMultipartUpload."""
    bucket, headers, document = bucket_of(call), call.headers, call.document
    claimed = [ClaimedPart(part.part_number, part.etag, part.checksums) for part in document.parts]
    type_name = headers.get("x-amz-checksum-type")
    said = Completion(
        checksum=checksum_in(headers, composite=True),
        checksum_type=None if type_name is None else type_named(type_name),
        object_size=_object_size(call),
        conditions=await write_conditions(call),
        origin=call.origin,
        default_lock=call.services.locks.default(bucket),
        replica=await replica_of(call, "s3:ReplicateObject"),
    )

    rules = lifecycle_of(call)

    def reply(version: ObjectVersion) -> Reply:
        call.notes.version = version
        checksum = version.attributes.checksum
        return Reply(
            headers={
                **encryption_headers(version.attributes.encryption),
                **new_version_header(bucket, version.version_id),
                **expiration_header(rules, version),
            },
            document=documents.CompleteMultipartUploadResult(
                location=_location(call),
                bucket=call.bucket_name,
                key=call.key,
                etag=version.etag,
                checksum_type=None if checksum is None else checksum.type.value,
                **checksum_elements(checksum),
            ),
        )

    completing = call.services.uploads.complete(bucket, call.key, call.query["uploadId"], claimed, said)
    return await keepalive.answer(call, completing, reply)


async def abort(call: Call) -> Reply:
    """AbortMultipartUpload."""
    initiated = call.headers.get(INITIATED_HEADER)
    if initiated is not None:
        upload = call.services.uploads.find(bucket_of(call), call.key, call.query["uploadId"])
        date_s = parse_http_date(initiated)
        is_future = date_s is not None and date_s > clock.now_s()  # says nothing, as in If-Modified-Since
        if not is_future and date_s != upload.initiated_ms // 1000:
            raise PreconditionFailed(Condition=INITIATED_HEADER)
    await call.services.uploads.abort(bucket_of(call), call.key, call.query["uploadId"])
    return Reply(204, upload_version_header(call, call.query["uploadId"]))


async def list_parts(call: Call) -> Reply:
    """ListParts."""
    upload = call.services.uploads.find(bucket_of(call), call.key, call.query["uploadId"])
    after = number_in_query(call, "part-number-marker", 0)
    limit = min(number_in_query(call, "max-parts", PAGE_MAX), PAGE_MAX)
    page = await call.services.uploads.list_parts(upload, after, limit)
    checksum = upload.attributes.checksum
    return Reply(
        headers={
            **abort_headers(lifecycle_of(call), upload.key, upload.initiated_ms),
            **upload_version_header(call, upload.upload_id),
        },
        document=documents.ListPartsResult(
            bucket=call.bucket_name,
            key=call.key,
            upload_id=upload.upload_id,
            initiator=_initiator(call, upload),
            owner=owner(call, call.permissions.shown_owner(bucket_of(call), upload.owner_id)),
            storage_class=upload.attributes.storage_class,
            part_number_marker=after,
            next_part_number_marker=page.parts[-1].part_number if page.parts else 0,
            max_parts=limit,
            is_truncated=page.is_truncated,
            checksum_algorithm=None if checksum is None else checksum.algorithm,
            checksum_type=None if checksum is None else checksum.type.value,
            parts=tuple(
                documents.Part(
                    part_number=part.part_number,
                    last_modified=part.modified_ms,
                    etag=part.etag,
                    size=part.size,
                    **checksum_elements(None if checksum is None else part.checksum),
                )
                for part in page.parts
            ),
        ),
    )


async def list_uploads(call: Call) -> Reply:
    """ListMultipartUploads."""
    bucket, query = bucket_of(call), call.query
    encoding = query.get("encoding-type")
    if encoding not in (None, "url"):
        raise InvalidArgument(
            "Invalid Encoding Method specified in Request",
            ArgumentName="encoding-type",
            ArgumentValue=encoding,
        )
    shown = url_encoded if encoding else _plain
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    key_marker = query.get("key-marker", "")
    upload_id_marker = query.get("upload-id-marker", "") if key_marker else ""
    if upload_id_marker and not is_upload_id(upload_id_marker):
        raise InvalidArgument(
            "Invalid uploadId marker",
            ArgumentName="upload-id-marker",
            ArgumentValue=ascii(upload_id_marker)[1:-1],
        )
    limit = min(number_in_query(call, "max-uploads", PAGE_MAX), PAGE_MAX)
    page = await call.services.uploads.list(bucket, prefix, key_marker, upload_id_marker, delimiter, limit)
    next_key, next_upload_id = "", ""
    if page.is_truncated:
        next_key, next_upload_id = page.last or "", page.last_upload_id or ""
    elif page.uploads:  # S3 tells the last of the last page, too
        next_key, next_upload_id = page.uploads[-1].key, page.uploads[-1].upload_id
    return Reply(
        document=documents.ListMultipartUploadsResult(
            bucket=call.bucket_name,
            key_marker=shown(key_marker),
            upload_id_marker=upload_id_marker,
            next_key_marker=shown(next_key),
            next_upload_id_marker=next_upload_id,
            prefix=shown(prefix) if prefix else None,
            delimiter=shown(delimiter) if delimiter else None,
            max_uploads=limit,
            is_truncated=page.is_truncated,
            encoding_type="url" if encoding else None,
            uploads=tuple(_listed(call, upload, shown(upload.key)) for upload in page.uploads),
            common_prefixes=tuple(CommonPrefixes(prefix=shown(each)) for each in page.common_prefixes),
        )
    )


def upload_version_header(call: Call, upload_id: str) -> dict[str, str]:
    """`x-amz-version-id` of what an upload is to become, as far as versioning is enabled."""
    return new_version_header(bucket_of(call), version_id_of(upload_id))


def part_of_upload(call: Call) -> tuple[Upload, int]:
    """The upload and the part number of the query. Raises InvalidArgument, NoSuchUpload."""
    number = part_number(call.query["partNumber"])
    return call.services.uploads.find(bucket_of(call), call.key, call.query["uploadId"]), number


def number_in_query(call: Call, name: str, default: int) -> int:
    """A number of the query that may be 0. Raises InvalidArgument."""
    text = call.query.get(name, "")
    if not text:
        return default
    if not _is_number(text):
        if _is_number(text.removeprefix("-")):
            name = "maxKeys" if name == "max-keys" else name
            raise InvalidArgument(
                f"Argument {name} must be an integer between 0 and {2**31 - 1}",
                ArgumentName=name,
                ArgumentValue=text,
            )
        raise InvalidArgument(
            f"Provided {name} not an integer or within integer range", ArgumentName=name, ArgumentValue=text
        )
    return int(text)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX and int(text) < 2**31


def _chosen_checksum(call: Call) -> Checksum | None:
    """The checksum that every part and the object shall have, without a value. Raises InvalidRequest."""
    name = call.headers.get("x-amz-checksum-algorithm")
    type_name = call.headers.get("x-amz-checksum-type")
    if name is None:
        if type_name is not None:
            raise InvalidRequest(
                "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
            )
        return None
    algorithm = algorithm_named(name)
    type_ = algorithm.default_type if type_name is None else type_named(type_name)
    check_type(algorithm, type_)
    return Checksum(algorithm.name, "", ChecksumType(type_))


def _object_size(call: Call) -> int | None:
    text = call.headers.get("x-amz-mp-object-size")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 2 * _DIGITS_MAX):
        if _is_number(text.removeprefix("-")):
            raise InvalidRequest(f"Value for x-amz-mp-object-size header is less than zero: '{text}'")
        raise InvalidRequest("Value for x-amz-mp-object-size header is invalid.")
    return int(text)


def _location(call: Call) -> str:
    scheme = "https" if call.is_secure else "http"
    bucket = f"/{call.bucket_name}" if call.path_style else ""
    return f"{scheme}://{call.host}{bucket}/{quote(call.key, safe='')}"


def _initiator(call: Call, upload: Upload) -> Initiator:
    user_id = upload.initiator_id
    return Initiator(id=user_id, display_name=call.permissions.display_name(user_id))


def _listed(call: Call, upload: Upload, key: str) -> documents.Upload:
    checksum = upload.attributes.checksum
    return documents.Upload(
        key=key,
        upload_id=upload.upload_id,
        initiator=_initiator(call, upload),
        owner=owner(call, call.permissions.shown_owner(bucket_of(call), upload.owner_id)),
        storage_class=upload.attributes.storage_class,
        initiated=upload.initiated_ms,
        checksum_algorithm=None if checksum is None else checksum.algorithm,
        checksum_type=None if checksum is None else checksum.type.value,
    )


def _plain(name: str) -> str:
    return name
