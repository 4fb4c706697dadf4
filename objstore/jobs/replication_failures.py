"""Why a replication failed, in the words of S3's events.

Source: Amazon S3 User Guide, "Receiving replication failure events with Amazon S3 Event Notifications" and
"Amazon S3 replication failure reasons".
"""

from typing import Any, Final

from objstore.encryption.provider import KmsError, KmsKeyMissing
from objstore.meta.commands.replication import CHANGED
from objstore.meta.interface import Refusal
from objstore.meta.queries import Replication
from objstore.model import ObjectVersion
from objstore.remote.client import RemoteError, RemoteUnavailable
from objstore.s3.documents.replication import ReplicationConfiguration, rule_to
from objstore.s3.errors import S3Error
from objstore.s3.xml import write_instant

UNREACHABLE: Final = "DstBucketUnreachable"
"""None of S3's own, which always reaches itself."""
NOT_ELIGIBLE: Final = "SrcObjectNotEligible"
NOT_READ: Final = "SrcGetObjNotPermitted"
_BY_CODE: Final = {
    "NoSuchBucket": "DstBucketNotFound",
    "InvalidBucketState": "DstBucketUnversioned",
    "NoSuchVersion": "DstVersionNotFound",
    "NoSuchKey": "DstVersionNotFound",
    "KMS.NotFoundException": "DstKmsKeyNotFound",
    "KMS.DisabledException": "DstKmsKeyInvalidState",
}


def reason_of(exc: Exception, row: Replication, version: ObjectVersion | None) -> str:
    """The reason an event names for what went wrong."""
    if isinstance(exc, RemoteUnavailable):
        return UNREACHABLE
    if isinstance(exc, KmsKeyMissing):
        return "DstKmsKeyNotFound"
    if isinstance(exc, KmsError):
        return "DstKmsKeyInvalidState"
    if not isinstance(exc, RemoteError | S3Error | Refusal):
        return NOT_READ
    code = getattr(exc, "code", "")
    if code in _BY_CODE:
        return _BY_CODE[code]
    if "Object Lock" in str(exc):
        return "DstBucketObjectLockConfigMissing"
    if row.kind == CHANGED:
        return "DstPutTaggingNotPermitted"
    if version is not None and version.is_delete_marker:
        return "DstDelObjNotPermitted"
    return "DstPutObjNotPermitted"


def event_data(
    row: Replication, version: ObjectVersion | None, rules: ReplicationConfiguration | None, reason: str
) -> dict[str, Any]:
    """What a record of this failure has besides."""
    tags = {} if version is None else version.tags
    rule = None if rules is None else rule_to(rules, row.key, tags, row.target)
    if row.kind == CHANGED:
        operation = "OBJECT_PUT_TAGGING"
    else:
        operation = "OBJECT_DELETE" if version is not None and version.is_delete_marker else "OBJECT_PUT"
    return {
        "replicationEventData": {
            "replicationRuleId": "" if rule is None else rule.id or "",
            "destinationBucket": row.target,
            "s3Operation": operation,
            "requestTime": write_instant(row.queued_ms),
            "failureReason": reason,
        }
    }
