"""From what went wrong below to what S3 says about it: the one table.

Storage and metadata errors and refusals know nothing of S3; the pipeline's single `except` asks
`translate`. Whatever is not in the table is our own mistake: InternalError, and the pipeline logs it.
"""

from collections.abc import Callable
from typing import Any, Final

from objstore.encryption import provider as kms
from objstore.meta import interface as meta
from objstore.meta.commands.buckets import LIFECYCLE, MFA_DELETE, OBJECT_LOCK, REPLICATION
from objstore.remote.tier_store import TierUnavailable
from objstore.s3 import errors
from objstore.s3.errors import S3Error
from objstore.s3.object_headers import http_date
from objstore.storage import interface as storage


def translate(failure: BaseException) -> S3Error | None:
    """The S3 error that answers `failure`; None when nobody foresaw it.

    An S3 error answers itself. The most specific row of the table wins.
    """
    if isinstance(failure, S3Error):
        return failure
    for kind in type(failure).__mro__:
        answer = _ANSWERS.get(kind)
        if answer is not None:
            return answer(failure)
    return None


def _says(error: type[S3Error], message: str | None = None) -> Callable[[Any], S3Error]:
    """Always the same answer."""
    return lambda failure: error(message)


def _tells(error: type[S3Error]) -> Callable[[Any], S3Error]:
    """The answer with the failure's own words, which are meant for who asked."""
    return lambda failure: error(str(failure))


def _with(error: type[S3Error], message: str | None = None, **names: str) -> Callable[[Any], S3Error]:
    """The answer with some of the refusal's details as elements: `Element="name of the detail"`."""

    def answer(refusal: meta.Refusal) -> S3Error:
        known = {
            element: refusal.detail[name]
            for element, name in names.items()
            if refusal.detail.get(name) is not None
        }
        return error(message, **known)

    return answer


def _quorum(failure: storage.WriteQuorumLost) -> S3Error:
    """How many drives are needed is no secret, and the one thing an operator wants to read here."""
    return errors.SlowDown(str(failure) or "Too few drives can take writes now. Please try again later.")


_FIXES_VERSIONING: Final = (
    "configuration is present on this bucket, so the versioning state cannot be changed."
)
_BECAUSE: Final = {
    OBJECT_LOCK: f"An Object Lock {_FIXES_VERSIONING}",
    REPLICATION: f"A replication {_FIXES_VERSIONING}",
    LIFECYCLE: "Mfa Authentication is not supported on a bucket with lifecycle configuration."
    " Delete lifecycle configuration before enabling Mfa Authentication.",
    MFA_DELETE: "Lifecycle configuration is not supported on a bucket with Mfa Authentication."
    " Disable Mfa Authentication before setting lifecycle configuration.",
}


def _state(refusal: meta.BucketStateInvalid) -> S3Error:
    """What of the bucket's configuration stands in the way, where that is known."""
    return errors.InvalidBucketState(_BECAUSE.get(refusal.detail.get("because", "")))


def _not_empty(refusal: meta.BucketNotEmpty) -> S3Error:
    words = "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
    return _with(
        errors.BucketNotEmpty, words if refusal.detail.get("versioned") else None, BucketName="bucket"
    )(refusal)


def marker_headers(version_id: str) -> dict[str, str]:
    """How an answer tells of the delete marker that it met."""
    return {"x-amz-delete-marker": "true", "x-amz-version-id": version_id}


def is_marker(version_id: str, modified_ms: int) -> errors.MethodNotAllowed:
    """The answer where the version that was named is a delete marker."""
    about = {"last-modified": http_date(modified_ms), "allow": "DELETE"}
    return errors.MethodNotAllowed(
        headers={**marker_headers(version_id), **about}, ResourceType="DeleteMarker"
    )


def _is_marker(refusal: meta.IsDeleteMarker) -> S3Error:
    """As `is_marker`, of what is known."""
    known = refusal.detail
    if "version_id" not in known or "modified_ms" not in known:
        return errors.MethodNotAllowed(headers={"allow": "DELETE"}, ResourceType="DeleteMarker")
    return is_marker(known["version_id"], known["modified_ms"])


def _no_such_key(refusal: meta.KeyMissing) -> S3Error:
    answer = _with(errors.NoSuchKey, Key="key")(refusal)
    if "marker_id" in refusal.detail:
        answer.headers.update(marker_headers(refusal.detail["marker_id"]))
    return answer


_ANSWERS: Final[dict[type[BaseException], Callable[[Any], S3Error]]] = {
    # Bytes.
    storage.WriteQuorumLost: _quorum,
    storage.OutOfSpace: _says(errors.InsufficientStorage),
    storage.TooFewShards: _says(
        errors.SlowDown, "Too few drives that hold this object can be read now. Please try again later."
    ),
    storage.StoreUnavailable: _says(errors.SlowDown),
    TierUnavailable: _says(
        errors.ServiceUnavailable, "The tier that holds this object cannot be reached now. Please try again."
    ),
    storage.BlobMissing: _says(errors.InternalError, "The bytes of this object cannot be found."),
    storage.BlobCorrupt: _says(errors.InternalError, "The bytes of this object are damaged beyond repair."),
    # Keys.
    kms.KmsKeyMissing: _tells(errors.KmsNotFound),
    kms.KmsKeyDisabled: _tells(errors.KmsDisabled),
    kms.KmsKeyUnfit: _says(errors.KmsInvalidCiphertext),
    kms.KmsUnavailable: _says(
        errors.ServiceUnavailable, "The key management service cannot be reached now. Please try again."
    ),
    # Facts: faults of the engine.
    meta.Busy: _says(errors.SlowDown),
    meta.OutcomeUnknown: _says(
        errors.InternalError, "The request may or may not have taken effect. Please try again."
    ),
    meta.Unavailable: _says(
        errors.ServiceUnavailable, "The metadata cannot be written now. Please try again."
    ),
    meta.CommandTooLong: _says(errors.EntityTooLarge, "This is more metadata than one request can change."),
    meta.Conflict: _says(errors.OperationAborted),
    # Facts: answers that say no.
    meta.BucketMissing: _with(errors.NoSuchBucket, BucketName="bucket"),
    meta.BucketExists: _with(errors.BucketAlreadyExists, BucketName="bucket"),
    meta.BucketNotEmpty: _not_empty,
    meta.TooManyBuckets: _says(errors.TooManyBuckets),
    meta.BucketStateInvalid: _state,
    meta.IsDeleteMarker: _is_marker,
    meta.KeyMissing: _no_such_key,
    meta.VersionMissing: _with(errors.NoSuchVersion, Key="key", VersionId="version_id"),
    meta.UploadMissing: _with(errors.NoSuchUpload, UploadId="upload_id"),
    meta.PartInvalid: _with(errors.InvalidPart, UploadId="upload_id", PartNumber="part_number", ETag="etag"),
    meta.ConditionFailed: _with(errors.PreconditionFailed, Condition="condition"),
    meta.Overtaken: _with(errors.ConditionalRequestConflict, Condition="condition", Key="key"),
    meta.MfaRequired: _says(errors.MfaRequired),
    meta.Locked: _says(errors.AccessDenied, "Access Denied because object protected by object lock."),
    meta.NotArchived: _with(
        errors.InvalidObjectState,
        "Restore is not allowed for the object's current storage class",
        StorageClass="storage_class",
    ),
    meta.RestoreUnderWay: _says(errors.RestoreAlreadyInProgress),
    meta.TooManyAnnotations: _says(errors.AnnotationLimitExceeded),
    meta.TokenReused: _says(errors.IdempotencyParameterMismatch),
    meta.SubresourceMissing: _says(errors.NoSuchConfiguration),
}
