"""Every way storage and metadata can say no has an S3 error."""

import pytest

from objstore.meta import interface as meta
from objstore.s3.errors import NoSuchKey, NoSuchUpload, PreconditionFailed, SlowDown
from objstore.service.failures import translate
from objstore.storage import interface as storage


def all_subclasses(kind: type[BaseException]) -> list[type[BaseException]]:
    return [each for child in kind.__subclasses__() for each in (child, *all_subclasses(child))]


ADMINISTRATION = (
    "UserMissing",
    "UserExists",
    "UserNotEmpty",
    "KeyExists",
    "AccessKeyMissing",
    "MasterKeyExists",
    "MasterKeyMissing",
    "MfaDeviceExists",
    "MfaDeviceMissing",
    "TooManyMfaDevices",
)
"""Refusals that no S3 operation meets, or not uncaught."""

FAILURES = [
    kind
    for base in (storage.StorageError, meta.MetadataError, meta.Refusal)
    for kind in all_subclasses(base)
    if kind.__module__ in (storage.__name__, meta.__name__) and kind.__name__ not in ADMINISTRATION
]


@pytest.mark.parametrize("kind", FAILURES, ids=lambda kind: kind.__name__)
def test_every_failure_below_has_an_answer(kind: type[BaseException]) -> None:
    answer = translate(kind())
    assert answer is not None
    assert 400 <= answer.status < 600


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (storage.WriteQuorumLost("5 drives needed"), 503, "SlowDown"),
        (storage.OutOfSpace(), 507, "InsufficientStorage"),
        (storage.TooFewShards(), 503, "SlowDown"),
        (meta.Busy(), 503, "SlowDown"),
        (meta.Unavailable(), 503, "ServiceUnavailable"),
        (meta.OutcomeUnknown(), 500, "InternalError"),
        (meta.Conflict(), 409, "OperationAborted"),
        (meta.ConditionFailed(condition="If-Match", key="k"), 412, "PreconditionFailed"),
        (meta.Locked(key="k", version_id="v"), 403, "AccessDenied"),
        (meta.MfaRequired(key="k", version_id="v"), 403, "AccessDenied"),
        (meta.BucketStateInvalid(bucket="b", because="lifecycle"), 409, "InvalidBucketState"),
    ],
)
def test_failures_clients_act_on(failure: Exception, status: int, code: str) -> None:
    answer = translate(failure)
    assert answer is not None and (answer.status, answer.code) == (status, code)


def test_details_become_elements() -> None:
    assert translate(meta.KeyMissing(key="k")).elements == {"Key": "k"}  # type: ignore[union-attr]
    assert translate(meta.UploadMissing(upload_id="u")).elements == {"UploadId": "u"}  # type: ignore[union-attr]
    condition = translate(meta.ConditionFailed(condition="If-Match"))
    assert isinstance(condition, PreconditionFailed) and condition.elements == {"Condition": "If-Match"}
    assert isinstance(translate(meta.KeyMissing()), NoSuchKey)
    assert isinstance(translate(meta.UploadMissing()), NoSuchUpload)


def test_a_lost_quorum_says_what_is_needed() -> None:
    answer = translate(storage.WriteQuorumLost("4 of 6 drives took it, 5 are needed"))
    assert isinstance(answer, SlowDown) and "5 are needed" in answer.message


def test_the_unforeseen_has_no_answer() -> None:
    assert translate(ZeroDivisionError()) is None
