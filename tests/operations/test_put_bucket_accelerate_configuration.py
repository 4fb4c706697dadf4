"""PutBucketAccelerateConfiguration, GetBucketAccelerateConfiguration."""

import pytest

from tests.operations.refusals import refused


@pytest.mark.parametrize("status", ["Enabled", "Suspended"])
def test_what_was_put_comes_back(s3, bucket, status):
    assert "Status" not in s3.get_bucket_accelerate_configuration(Bucket=bucket)
    s3.put_bucket_accelerate_configuration(Bucket=bucket, AccelerateConfiguration={"Status": status})
    assert s3.get_bucket_accelerate_configuration(Bucket=bucket)["Status"] == status


@pytest.mark.parametrize("configuration", [{}, {"Status": "Paused"}])
def test_a_document_that_cannot_be(s3, bucket, configuration):
    call = s3.put_bucket_accelerate_configuration
    assert refused(call, Bucket=bucket, AccelerateConfiguration=configuration) == (400, "MalformedXML")


def test_a_bucket_with_a_dot_in_its_name(s3, bucket_name):
    name = f"{bucket_name}.dot"
    s3.create_bucket(Bucket=name)
    call = s3.put_bucket_accelerate_configuration
    refusal = refused(call, Bucket=name, AccelerateConfiguration={"Status": "Enabled"})
    assert refusal == (400, "InvalidRequest")
