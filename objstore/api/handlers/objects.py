"""PutObject, GetObject, HeadObject."""

from collections.abc import Mapping
from typing import Final

from objstore import clock
from objstore.api.call import Call, Reply
from objstore.api.handlers.acl import new_object_access
from objstore.api.handlers.replication import replica_of
from objstore.iam.circumstances import Asked
from objstore.model import Bucket, Encryption, EncryptionMethod, ObjectLock, ObjectVersion, Versioning
from objstore.s3.conditions import (
    Outcome,
    WritePreconditions,
    parse_conditions,
    parse_http_date,
    parse_write_conditions,
    unquoted,
)
from objstore.s3.documents.lifecycle import LifecycleConfiguration
from objstore.s3.encryption import (
    CUSTOMER,
    CustomerKey,
    Wanted,
    check_not_asked,
    encryption_headers,
    parse_customer_key,
    parse_wanted,
)
from objstore.s3.errors import (
    AccessDenied,
    InvalidArgument,
    InvalidRange,
    InvalidRequest,
    NoSuchKey,
    NoSuchVersion,
)
from objstore.s3.expiry import expiration_header
from objstore.s3.integrity import parse_integrity
from objstore.s3.object_headers import (
    checksum_headers,
    object_headers,
    parse_attributes,
    parse_lock,
    parse_overrides,
    parse_tagging,
)
from objstore.s3.ranges import Range, parse_range
from objstore.s3.tokens import check_version_id
from objstore.service.encryption import check_customer_key
from objstore.service.objects import NewObject, with_default
from objstore.service.restores import check_readable

PART_NUMBER_MAX: Final = 10_000
GATHERED_BYTES_MAX: Final = 64 * 1024
"""Bodies up to this size go out in one piece."""
_NOT_MODIFIED_HEADERS: Final[tuple[str, ...]] = (
    "etag",
    "last-modified",
    "cache-control",
    "expires",
    "x-amz-version-id",
)


async def put(call: Call) -> Reply:
    """PutObject."""
    bucket, headers = bucket_of(call), call.headers
    integrity = parse_integrity(headers)
    access = await new_object_access(call)
    new = NewObject(
        access.added_to(parse_attributes(headers)),
        tags=await new_tags(call),
        lock=with_default(await new_lock(call), call.services.locks.default(bucket)),
        integrity=integrity,
        conditions=await write_conditions(call),
        owner_id=access.owner_id,
        origin=call.origin,
        encryption=wanted_encryption(call),
        replica=await replica_of(call, "s3:ReplicateObject"),
    )
    if new.lock is not None and not integrity.is_given:
        raise InvalidRequest(
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock"
            " parameters"
        )
    rules = lifecycle_of(call)
    version = call.notes.version = await call.services.objects.put(bucket, call.key, call.body, new)
    return Reply(
        headers={
            "etag": f'"{version.etag}"',
            **checksum_headers(version.attributes.checksum),
            **told_encryption(new.encryption, version.attributes.encryption),
            **new_version_header(bucket, version.version_id),
            **expiration_header(rules, version),
        }
    )


async def get(call: Call) -> Reply:
    """GetObject."""
    version, data_key, reply, wanted = await _answer(call)
    if reply.status == 304:
        return reply
    check_readable(version)
    offset, length = (0, version.size) if wanted is None else (wanted.offset, wanted.length)
    if length == 0:
        reply.body = b""
        return reply
    objects = call.services.objects
    reply.body = objects.read_now(version, offset, length, data_key)
    if reply.body is not None:
        return reply
    stream = await objects.open(version, offset, length, data_key)
    if length <= GATHERED_BYTES_MAX:
        reply.body = b"".join([piece async for piece in stream])
    else:
        reply.stream, reply.content_length = stream, length
    return reply


async def head(call: Call) -> Reply:
    """HeadObject."""
    version, _, reply, wanted = await _answer(call)
    if reply.status != 304:
        reply.content_length = version.size if wanted is None else wanted.length
    return reply


async def torrent(call: Call) -> Reply:
    """GetObjectTorrent: S3 gave up BitTorrent, so that there is none of any object."""
    await find(call, bucket_of(call))
    raise NoSuchKey("There is no torrent of this object.", Key=call.key)


async def _answer(call: Call) -> tuple[ObjectVersion, bytes | None, Reply, Range | None]:
    """The version a GET or HEAD is for, its data key, the reply without its body, and the bytes wanted
    (None: all).

    Order of judgement: part number, version, encryption, conditions, part or range.
    """
    bucket, headers = bucket_of(call), call.headers
    number = _part_number(call) if "partNumber" in call.query else None
    overrides = parse_overrides(call.query, is_signed=not call.identity.is_anonymous) if call.query else None
    customer_key = reading_key(call)
    version = await find(call, bucket)
    data_key = None
    if version.attributes.encryption is not None or customer_key is not None:
        data_key = await unlocked(call, version, customer_key)
    outcome = parse_conditions(headers, clock.now_s()).evaluate(version.etag, version.modified_ms)
    answer = object_headers(version, shows_version_id=bucket.versioning is not Versioning.NEVER)
    if version.tags or version.lock is not None:
        await _leave_out_secrets(call, answer)
    if outcome is Outcome.NOT_MODIFIED:
        kept = {name: answer[name] for name in _NOT_MODIFIED_HEADERS if name in answer}
        return version, None, Reply(304, kept), None
    if version.attributes.encryption is not None:
        answer.update(encryption_headers(version.attributes.encryption, customer_key))
    rules = lifecycle_of(call)
    if rules is not None and "versionId" not in call.query:  # S3 tells it of what a plain GET would find
        answer.update(expiration_header(rules, version))
    wanted, checksum = None, version.attributes.checksum
    if number is not None:
        wanted, checksum = await call.services.objects.part(version, number)
        if version.parts_count is not None:
            answer["x-amz-mp-parts-count"] = str(version.parts_count)
        if wanted.length == 0:
            wanted = None
    elif "range" in headers:
        wanted = _range(headers, version)
        checksum = checksum if wanted is None else None
    if "x-amz-checksum-mode" in headers and headers["x-amz-checksum-mode"].upper() == "ENABLED":
        answer.update(checksum_headers(checksum))
    if overrides:
        answer.update(overrides)
    if wanted is None:
        return version, data_key, Reply(200, answer), None
    answer["content-range"] = wanted.content_range(version.size)
    return version, data_key, Reply(206, answer), wanted


async def _leave_out_secrets(call: Call, answer: dict[str, str]) -> None:
    """Take away what the sender may not read: how many tags there are, retention, legal hold."""
    version_id = call.query.get("versionId")
    tagging = "s3:GetObjectTagging" if version_id is None else "s3:GetObjectVersionTagging"
    for headers, action in (
        (("x-amz-tagging-count",), tagging),
        (("x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"), "s3:GetObjectRetention"),
        (("x-amz-object-lock-legal-hold",), "s3:GetObjectLegalHold"),
    ):
        if headers[0] in answer and not await call.may(action, call.key, version_id=version_id):
            for name in headers:
                del answer[name]


def _range(headers: Mapping[str, str], version: ObjectVersion) -> Range | None:
    condition = headers.get("if-range")
    if condition is not None and not _is_unchanged(condition, version):
        return None
    try:
        return parse_range(headers["range"], version.size)
    except InvalidRange as exc:
        exc.headers["content-range"] = f"bytes */{version.size}"
        raise


def _is_unchanged(condition: str, version: ObjectVersion) -> bool:
    """RFC 9110 section 13.1.5: If-Range holds an ETag or a date, which must match exactly."""
    date_s = parse_http_date(condition)
    if date_s is not None:
        return date_s == version.modified_ms // 1000
    return unquoted(condition) == version.etag


def _part_number(call: Call) -> int:
    if "range" in call.headers:
        raise InvalidRequest("Cannot specify both Range header and partNumber query parameter")
    return part_number(call.query["partNumber"])


def part_number(text: str) -> int:
    """A part number of a query. Raises InvalidArgument unless it is one of 1 to 10,000."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 5 else 0
    if not 1 <= number <= PART_NUMBER_MAX:
        raise InvalidArgument(
            f"Part number must be an integer between 1 and {PART_NUMBER_MAX}, inclusive",
            ArgumentName="partNumber",
            ArgumentValue=text,
        )
    return number


async def find(call: Call, bucket: Bucket) -> ObjectVersion:
    """The version the request names. That there is none of that id only those learn who may list versions.

    (For keys without a version id the pipeline sees to it.)
    """
    version_id = call.query.get("versionId")
    if version_id is not None:
        check_version_id(version_id)
    try:
        version = call.notes.version = await call.services.objects.find(bucket, call.key, version_id)
    except NoSuchVersion:
        await call.require("s3:ListBucketVersions", bucket.name)
        raise
    return version


async def new_tags(call: Call) -> dict[str, str]:
    """The tags an upload gives its object, which its sender must be allowed to give."""
    tagging = call.headers.get("x-amz-tagging")
    if not tagging:
        return {}
    tags = parse_tagging(tagging)
    if tags:
        await require_tagging(call)
    return tags


async def require_tagging(call: Call) -> None:
    """Raise AccessDenied unless the sender may give tags to the object that this request makes.

    Who may make it by nothing but an ACL needs no leave for its tags, which no ACL could give: the object
    is theirs. An explicit Deny refuses it.
    """
    if await call.may("s3:PutObjectTagging", call.key):
        return
    making = Asked(call.identity, "s3:PutObject", call.bucket, call.key, about=call.about)
    if not call.permissions.authoriser.needs_acl(making):
        raise AccessDenied
    call.refuse_denied("s3:PutObjectTagging", call.key)


async def write_conditions(call: Call, *, is_delete: bool = False) -> WritePreconditions:
    """The conditions of a write. Who compares ETags learns about the object, and must be allowed to read it.

    Raises what `parse_write_conditions` raises; AccessDenied.
    """
    conditions = parse_write_conditions(call.headers, is_delete=is_delete)
    if names_etag(conditions.if_match):
        await call.require("s3:GetObject", call.bucket_name, call.key)
    return conditions


def names_etag(if_match: str | None) -> bool:
    """Whether a condition asks for more than that there is an object."""
    return if_match is not None and if_match.strip() != "*"


async def new_lock(call: Call) -> ObjectLock | None:
    """The lock an upload puts on its object, which its sender must be allowed to put."""
    lock = parse_lock(call.headers, clock.now_ms())
    if lock is not None and lock.mode is not None:
        await call.require("s3:PutObjectRetention", call.bucket_name, call.key)
    if lock is not None and lock.legal_hold:
        await call.require("s3:PutObjectLegalHold", call.bucket_name, call.key)
    return lock


def wanted_encryption(call: Call) -> Wanted | None:
    """The encryption that an upload asks for. Raises InvalidArgument, InvalidRequest (a key in the clear)."""
    wanted = parse_wanted(call.headers)
    if isinstance(wanted, CustomerKey):
        call.services.encryptions.check_transport(is_secure=call.is_secure)
    return wanted


def told_encryption(wanted: Wanted | None, made: Encryption | None) -> dict[str, str]:
    """What an upload is answered of the encryption that its object got."""
    if made is None:
        return {}
    customer_key = wanted if isinstance(wanted, CustomerKey) else None
    return encryption_headers(made, customer_key, shows_context=True)


def customer_key_of(call: Call, prefix: str = CUSTOMER, *, reads: bool = False) -> CustomerKey | None:
    """The key that came along for what is read, or for a part. Raises as `wanted_encryption` does."""
    customer_key = parse_customer_key(call.headers, prefix, reads=reads)
    if customer_key is not None:
        call.services.encryptions.check_transport(is_secure=call.is_secure)
    return customer_key


def reading_key(call: Call) -> CustomerKey | None:
    """The key that came along for a read, which can ask for no encryption."""
    check_not_asked(call.headers)
    return customer_key_of(call, reads=True)


async def unlocked(call: Call, version: ObjectVersion, customer_key: CustomerKey | None) -> bytes | None:
    """The data key of what is read. What a KMS key encrypts, nobody reads who has not signed, as on AWS.

    Raises InvalidRequest, InvalidArgument, AccessDenied, KmsError.
    """
    encryption = version.attributes.encryption
    if encryption is not None and encryption.method is EncryptionMethod.KMS and call.identity.is_anonymous:
        raise InvalidArgument(
            "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS Signature"
            " Version 4.",
            ArgumentName="Authorization",
            ArgumentValue="null",
        )
    if call.method == "HEAD" and encryption is not None and encryption.method is EncryptionMethod.KMS:
        check_customer_key(encryption, customer_key)
        return None  # nothing is decrypted, so that the KMS need not be asked
    return await call.services.objects.unlock(version, customer_key)


def bucket_of(call: Call) -> Bucket:
    """The bucket's facts, which the pipeline has looked up for every bucket and object operation."""
    assert call.bucket is not None
    return call.bucket


def lifecycle_of(call: Call) -> LifecycleConfiguration | None:
    """The bucket's lifecycle rules. Asked for before anything is written: it may fail, and a write that
    is durable must not."""
    rules: LifecycleConfiguration | None = call.services.subresources.find(bucket_of(call), "lifecycle")
    return rules


def version_header(bucket: Bucket, version_id: str) -> dict[str, str]:
    """`x-amz-version-id`, which a bucket that was never versioned does not show."""
    return {} if bucket.versioning is Versioning.NEVER else {"x-amz-version-id": version_id}


def new_version_header(bucket: Bucket, version_id: str) -> dict[str, str]:
    """`x-amz-version-id` of what was written now: only versioning that is enabled gives it an id.

    Of a null version S3 tells whoever reads it, and whoever deletes it, but not whoever writes it.
    """
    return {"x-amz-version-id": version_id} if bucket.versioning is Versioning.ENABLED else {}
