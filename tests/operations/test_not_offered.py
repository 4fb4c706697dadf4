"""What is not offered is answered 501 under its own name, with the reason on the compatibility page."""

from typing import Any

import pytest

from objstore.api.operations import NOT_OFFERED, OPERATIONS
from tests.operations.refusals import refused
from tests.operations.requests import send
from tests.support import botocore_model

ROWS = {row.name: row for row in OPERATIONS if row.handler is None}


def test_what_is_not_offered() -> None:
    assert set(ROWS) == {
        "CreateBucketMetadataConfiguration",
        "CreateBucketMetadataTableConfiguration",
        "CreateSession",
        "UpdateBucketMetadataAnnotationTableConfiguration",
        "UpdateBucketMetadataInventoryTableConfiguration",
        "UpdateBucketMetadataJournalTableConfiguration",
        "WriteGetObjectResponse",
    }
    assert set(NOT_OFFERED) == {"ListDirectoryBuckets"}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_it_is_answered_with_the_reason(s3: Any, bucket: str, name: str) -> None:
    asked = botocore_model.request(name)
    named = "WriteGetObjectResponse" if name == "WriteGetObjectResponse" else bucket
    answer = send(
        s3, asked["method"], named, query=asked["query"], headers=asked["headers"], body=asked["body"] or b""
    )
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert f"{name} is not implemented. {ROWS[name].reason}".encode() in answer.body.replace(b"&apos;", b"'")
    assert ROWS[name].reason.endswith(".")


def test_directory_buckets_belong_to_another_service(s3: Any) -> None:
    """On the wire it is ListBuckets, signed for s3express."""
    assert refused(s3.list_directory_buckets) == (400, "AuthorizationHeaderMalformed")
