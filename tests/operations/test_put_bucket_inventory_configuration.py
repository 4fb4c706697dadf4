"""PutBucketInventoryConfiguration."""

import pytest

from tests.operations.configurations import FAMILIES, get, put
from tests.operations.refusals import refused


def test_what_was_put_comes_back(s3, bucket):
    put(s3, "inventory", bucket)
    assert get(s3, "inventory", bucket, "report") == FAMILIES["inventory"]


def test_putting_again_replaces(s3, bucket):
    put(s3, "inventory", bucket)
    put(s3, "inventory", bucket, IsEnabled=False)
    assert get(s3, "inventory", bucket, "report") == {**FAMILIES["inventory"], **{"IsEnabled": False}}


BAD = [
    ({"Id": "x" * 65}, "InvalidConfigurationId"),
    ({"Schedule": {"Frequency": "Hourly"}}, "MalformedXML"),
    ({"OptionalFields": ["Nothing"]}, "MalformedXML"),
    (
        {"Destination": {"S3BucketDestination": {"Bucket": "reports", "Format": "CSV"}}},
        "InvalidS3DestinationBucket",
    ),
]


@pytest.mark.parametrize(("changes", "code"), BAD)
def test_a_configuration_that_cannot_be(s3, bucket, changes, code):
    assert refused(put, s3=s3, family="inventory", bucket=bucket, **changes) == (400, code)


def test_the_ids_in_query_and_document_are_the_same(s3, bucket):
    document = {**FAMILIES["inventory"], "Id": "other"}
    call = s3.put_bucket_inventory_configuration
    refusal = refused(call, Bucket=bucket, Id="report", InventoryConfiguration=document)
    assert refusal == (400, "IdMismatch")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(put, s3=client, family="inventory", bucket=bucket) == (403, "AccessDenied")
