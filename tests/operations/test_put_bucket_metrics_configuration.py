"""PutBucketMetricsConfiguration."""

import pytest

from tests.operations.configurations import FAMILIES, get, put
from tests.operations.refusals import refused


def test_what_was_put_comes_back(s3, bucket):
    put(s3, "metrics", bucket)
    assert get(s3, "metrics", bucket, "report") == FAMILIES["metrics"]


def test_putting_again_replaces(s3, bucket):
    put(s3, "metrics", bucket)
    put(s3, "metrics", bucket, Filter={"Prefix": "other/"})
    assert get(s3, "metrics", bucket, "report") == {**FAMILIES["metrics"], **{"Filter": {"Prefix": "other/"}}}


BAD = [
    ({"Id": "x" * 65}, "InvalidConfigurationId"),
    ({"Filter": {"Prefix": "a", "Tag": {"Key": "k", "Value": "v"}}}, "MalformedXML"),
    ({"Filter": {"And": {"Prefix": "a"}}}, "MalformedXML"),
]


@pytest.mark.parametrize(("changes", "code"), BAD)
def test_a_configuration_that_cannot_be(s3, bucket, changes, code):
    assert refused(put, s3=s3, family="metrics", bucket=bucket, **changes) == (400, code)


def test_the_ids_in_query_and_document_are_the_same(s3, bucket):
    document = {**FAMILIES["metrics"], "Id": "other"}
    call = s3.put_bucket_metrics_configuration
    refusal = refused(call, Bucket=bucket, Id="report", MetricsConfiguration=document)
    assert refusal == (400, "IdMismatch")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(put, s3=client, family="metrics", bucket=bucket) == (403, "AccessDenied")
