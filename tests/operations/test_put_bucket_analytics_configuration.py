"""PutBucketAnalyticsConfiguration."""

import pytest

from tests.operations.configurations import FAMILIES, get, put
from tests.operations.refusals import refused


def test_what_was_put_comes_back(s3, bucket):
    put(s3, "analytics", bucket)
    assert get(s3, "analytics", bucket, "report") == FAMILIES["analytics"]


def test_putting_again_replaces(s3, bucket):
    put(s3, "analytics", bucket)
    put(s3, "analytics", bucket, Filter={"Prefix": "other/"})
    assert get(s3, "analytics", bucket, "report") == {
        **FAMILIES["analytics"],
        **{"Filter": {"Prefix": "other/"}},
    }


BAD = [
    ({"Id": "a b"}, "InvalidConfigurationId"),
    ({"Filter": {"And": {"Tags": [{"Key": "k", "Value": "v"}]}}}, "MalformedXML"),
    (
        {"Filter": {"Prefix": "a", "Tag": {"Key": "k", "Value": "v"}}},
        "MalformedXML",
    ),
]


@pytest.mark.parametrize(("changes", "code"), BAD)
def test_a_configuration_that_cannot_be(s3, bucket, changes, code):
    assert refused(put, s3=s3, family="analytics", bucket=bucket, **changes) == (400, code)


def test_the_ids_in_query_and_document_are_the_same(s3, bucket):
    document = {**FAMILIES["analytics"], "Id": "other"}
    call = s3.put_bucket_analytics_configuration
    refusal = refused(call, Bucket=bucket, Id="report", AnalyticsConfiguration=document)
    assert refusal == (400, "MalformedXML")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(put, s3=client, family="analytics", bucket=bucket) == (403, "AccessDenied")
