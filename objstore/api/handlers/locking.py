"""{Get,Put}ObjectLockConfiguration, {Get,Put}ObjectRetention, {Get,Put}ObjectLegalHold."""

from objstore import clock
from objstore.api.call import Call, Reply
from objstore.api.handlers.buckets import flag
from objstore.api.handlers.objects import bucket_of, find
from objstore.api.handlers.replication import is_replicated
from objstore.model import ObjectVersion
from objstore.s3.documents import locking
from objstore.s3.documents.locking import LegalHold, Retention
from objstore.s3.errors import InvalidRequest, MalformedXML, NoSuchObjectLockConfiguration
from objstore.s3.integrity import parse_integrity
from objstore.service.locks import check_has_locks

BYPASS_HEADER = "x-amz-bypass-governance-retention"


async def get_configuration(call: Call) -> Reply:
    """GetObjectLockConfiguration."""
    return Reply(document=call.services.locks.configuration(bucket_of(call)))


async def put_configuration(call: Call) -> Reply:
    """PutObjectLockConfiguration."""
    _check_has_digest(call)
    await call.services.locks.configure(bucket_of(call), call.document)
    return Reply()


async def get_retention(call: Call) -> Reply:
    """GetObjectRetention."""
    lock = (await _find(call)).lock
    if lock is None or lock.mode is None:
        raise NoSuchObjectLockConfiguration
    return Reply(document=locking.retention_of(lock))


async def put_retention(call: Call) -> Reply:
    """PutObjectRetention."""
    _check_has_digest(call)
    wanted: Retention = call.document
    await call.services.locks.retain(
        bucket_of(call),
        call.key,
        call.query.get("versionId"),
        locking.lock_of(wanted, clock.now_ms()),
        bypass_governance=await bypasses_governance(call, call.key),
        origin=call.origin,
        is_replicated=await is_replicated(call, "s3:ReplicateObject"),
    )
    return Reply()


async def get_legal_hold(call: Call) -> Reply:
    """GetObjectLegalHold."""
    lock = (await _find(call)).lock
    if lock is None or lock.legal_hold is None:
        raise NoSuchObjectLockConfiguration
    return Reply(document=LegalHold(status="ON" if lock.legal_hold else "OFF"))


async def put_legal_hold(call: Call) -> Reply:
    """PutObjectLegalHold."""
    _check_has_digest(call)
    wanted: LegalHold = call.document
    if wanted.status is None:
        raise MalformedXML
    await call.services.locks.hold(
        bucket_of(call),
        call.key,
        call.query.get("versionId"),
        is_held=wanted.status == "ON",
        is_replicated=await is_replicated(call, "s3:ReplicateObject"),
    )
    return Reply()


async def bypasses_governance(call: Call, key: str) -> bool:
    """Whether the sender bypasses governance retention, and may. Without locks there is nothing to bypass."""
    if not bucket_of(call).object_lock or not flag(call, BYPASS_HEADER):
        return False
    await call.require("s3:BypassGovernanceRetention", call.bucket_name, key)
    return True


async def _find(call: Call) -> ObjectVersion:
    check_has_locks(bucket_of(call))
    return await find(call, bucket_of(call))


def _check_has_digest(call: Call) -> None:
    """What is to be kept from everyone for years is better not a transmission error."""
    if not parse_integrity(call.headers).is_given:
        raise InvalidRequest("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")
