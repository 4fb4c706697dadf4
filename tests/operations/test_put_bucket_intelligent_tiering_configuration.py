"""PutBucketIntelligentTieringConfiguration."""

import pytest

from tests.operations.configurations import FAMILIES, get, put
from tests.operations.refusals import refused


def test_what_was_put_comes_back(s3, bucket):
    put(s3, "intelligent_tiering", bucket)
    assert get(s3, "intelligent_tiering", bucket, "report") == FAMILIES["intelligent_tiering"]


def test_putting_again_replaces(s3, bucket):
    put(s3, "intelligent_tiering", bucket)
    put(s3, "intelligent_tiering", bucket, Filter={"Prefix": "other/"})
    assert get(s3, "intelligent_tiering", bucket, "report") == {
        **FAMILIES["intelligent_tiering"],
        **{"Filter": {"Prefix": "other/"}},
    }


BAD = [
    ({"Id": "a b"}, "InvalidConfigurationId"),
    ({"Status": "Maybe"}, "MalformedXML"),
    ({"Tierings": [{"Days": 30, "AccessTier": "ARCHIVE_ACCESS"}]}, "InvalidArgument"),
    ({"Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}] * 2}, "MalformedXML"),
]


@pytest.mark.parametrize(("changes", "code"), BAD)
def test_a_configuration_that_cannot_be(s3, bucket, changes, code):
    assert refused(put, s3=s3, family="intelligent_tiering", bucket=bucket, **changes) == (400, code)


def test_the_ids_in_query_and_document_are_the_same(s3, bucket):
    document = {**FAMILIES["intelligent_tiering"], "Id": "other"}
    call = s3.put_bucket_intelligent_tiering_configuration
    refusal = refused(call, Bucket=bucket, Id="report", IntelligentTieringConfiguration=document)
    assert refusal == (400, "MalformedXML")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(put, s3=client, family="intelligent_tiering", bucket=bucket) == (403, "AccessDenied")
