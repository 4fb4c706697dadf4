"""GetBucketIntelligentTieringConfiguration."""

from tests.operations.configurations import FAMILIES, put
from tests.operations.refusals import refused


def test_each_is_found_by_its_id(s3, bucket):
    put(s3, "intelligent_tiering", bucket)
    put(s3, "intelligent_tiering", bucket, Id="other")
    for name in ("report", "other"):
        answer = s3.get_bucket_intelligent_tiering_configuration(Bucket=bucket, Id=name)
        assert answer["IntelligentTieringConfiguration"] == {**FAMILIES["intelligent_tiering"], "Id": name}


def test_none_of_that_id(s3, bucket):
    call = s3.get_bucket_intelligent_tiering_configuration
    assert refused(call, Bucket=bucket, Id="none") == (404, "NoSuchConfiguration")
    assert refused(call, Bucket=bucket, Id="a b") == (400, "InvalidConfigurationId")
    assert refused(call, Bucket="no-such-bucket-here", Id="none") == (404, "NoSuchBucket")


def test_other_people_may_not(s3, other, anonymous, bucket):
    put(s3, "intelligent_tiering", bucket)
    for client in (other, anonymous):
        call = client.get_bucket_intelligent_tiering_configuration
        assert refused(call, Bucket=bucket, Id="report") == (403, "AccessDenied")
