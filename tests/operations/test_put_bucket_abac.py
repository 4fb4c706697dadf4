"""PutBucketAbac, GetBucketAbac."""

import pytest

from tests.operations.refusals import refused


def test_what_was_put_comes_back(s3, bucket):
    assert s3.get_bucket_abac(Bucket=bucket)["AbacStatus"] == {"Status": "Disabled"}
    s3.put_bucket_abac(Bucket=bucket, AbacStatus={"Status": "Enabled"})
    assert s3.get_bucket_abac(Bucket=bucket)["AbacStatus"] == {"Status": "Enabled"}


@pytest.mark.parametrize("status", [{}, {"Status": "Perhaps"}])
def test_a_document_that_cannot_be(s3, bucket, status):
    assert refused(s3.put_bucket_abac, Bucket=bucket, AbacStatus=status) == (400, "MalformedXML")
