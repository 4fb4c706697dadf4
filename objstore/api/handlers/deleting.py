"""DeleteObject, DeleteObjects."""

from datetime import UTC, datetime

from objstore.api.call import Call, Reply
from objstore.api.handlers.buckets import flag
from objstore.api.handlers.locking import BYPASS_HEADER, bypasses_governance
from objstore.api.handlers.objects import bucket_of, names_etag, write_conditions
from objstore.api.handlers.replication import replica_of
from objstore.model import MfaDelete
from objstore.s3.conditions import parse_http_date
from objstore.s3.documents import deleting as documents
from objstore.s3.documents.deleting import MAX_DELETED_KEYS, Delete
from objstore.s3.errors import InvalidArgument, MalformedXML, MfaRequired, S3Error
from objstore.service.deleting import DeleteConditions, Deleted, Deletion


async def delete(call: Call) -> Reply:
    """DeleteObject."""
    version_id = call.query.get("versionId")
    deletion = Deletion(call.key, version_id, await _conditions(call))
    deleted = await call.services.deletions.delete(
        bucket_of(call),
        deletion,
        owner_id=bucket_of(call).owner_id,
        bypass_governance=await bypasses_governance(call, call.key),
        origin=call.origin,
        replica=None if version_id is not None else await replica_of(call, "s3:ReplicateDelete"),
        has_mfa=await call.proves_mfa(),
    )
    headers = {}
    if deleted.is_delete_marker:
        headers["x-amz-delete-marker"] = "true"
    if deleted.version_id is not None:
        headers["x-amz-version-id"] = deleted.version_id
    return Reply(204, headers)


async def delete_many(call: Call) -> Reply:
    """DeleteObjects: each key is authorised and deleted by itself, and errors are told one by one; but for
    want of a device's code that versions are to go with, the request is refused as a whole, as on AWS."""
    document: Delete = call.document
    if not 1 <= len(document.objects) <= MAX_DELETED_KEYS:
        raise MalformedXML
    bucket = bucket_of(call)
    bypasses = bucket.object_lock and flag(call, BYPASS_HEADER)

    async def allow(deletion: Deletion) -> None:
        action = "s3:DeleteObject" if deletion.version_id is None else "s3:DeleteObjectVersion"
        version_id = deletion.version_id
        await call.require(action, bucket.name, deletion.key, version_id=version_id)
        if names_etag(deletion.conditions.if_match):
            await call.require("s3:GetObject", bucket.name, deletion.key)
        if bypasses:
            bypass = "s3:BypassGovernanceRetention"
            await call.require(bypass, bucket.name, deletion.key, version_id=version_id)

    deletions = [_deletion(wanted) for wanted in document.objects]
    has_mfa = await call.proves_mfa()
    names_version = any(deletion.version_id is not None for deletion in deletions)
    if names_version and bucket.mfa_delete is MfaDelete.ENABLED and not has_mfa:
        raise MfaRequired
    outcomes = await call.services.deletions.delete_many(
        bucket,
        deletions,
        allow,
        owner_id=bucket.owner_id,
        bypass_governance=bypasses,
        has_mfa=has_mfa,
        origin=call.origin,
    )
    call.notes.deletions = tuple(zip(deletions, outcomes, strict=True))
    entries = [_entry(deletion, outcome) for deletion, outcome in call.notes.deletions]
    if document.quiet:
        entries = [entry for entry in entries if isinstance(entry, documents.DeleteError)]
    return Reply(document=documents.DeleteResult(entries=tuple(entries)))


def _deletion(wanted: documents.ObjectIdentifier) -> Deletion:
    conditions = DeleteConditions(wanted.etag, wanted.last_modified_time, wanted.size)
    return Deletion(wanted.key, wanted.version_id or None, conditions)


def _entry(deletion: Deletion, outcome: Deleted | S3Error) -> documents.Deleted | documents.DeleteError:
    if isinstance(outcome, S3Error):
        return documents.DeleteError(
            key=deletion.key, version_id=deletion.version_id, code=outcome.code, message=outcome.message
        )
    return documents.Deleted(
        key=deletion.key,
        version_id=deletion.version_id,
        delete_marker=outcome.is_delete_marker or None,
        delete_marker_version_id=outcome.version_id if outcome.is_delete_marker else None,
    )


async def _conditions(call: Call) -> DeleteConditions:
    headers = call.headers
    modified, size = headers.get("x-amz-if-match-last-modified-time"), headers.get("x-amz-if-match-size")
    return DeleteConditions(
        if_match=(await write_conditions(call, is_delete=True)).if_match,
        modified_ms=None if modified is None else _date_ms(modified),
        size=None if size is None else _size(size),
    )


def _date_ms(text: str) -> int:
    """The date of a header, RFC 1123 or ISO 8601; raises InvalidArgument."""
    seconds = parse_http_date(text)
    if seconds is not None:
        return seconds * 1000
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(
            ArgumentName="x-amz-if-match-last-modified-time", ArgumentValue=ascii(text)[1:-1]
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise InvalidArgument(ArgumentName="x-amz-if-match-size", ArgumentValue=ascii(text)[1:-1])
    return int(text)
