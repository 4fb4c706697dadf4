"""ListBucketIntelligentTieringConfigurations."""

from tests.operations.configurations import put
from tests.operations.refusals import refused


def test_they_are_listed_by_id_and_paged(s3, bucket):
    ids = [f"c{number:03}" for number in range(103)]
    for configuration_id in reversed(ids):
        put(s3, "intelligent_tiering", bucket, Id=configuration_id)
    first = s3.list_bucket_intelligent_tiering_configurations(Bucket=bucket)
    assert first["IsTruncated"] is True
    token = first["NextContinuationToken"]
    second = s3.list_bucket_intelligent_tiering_configurations(Bucket=bucket, ContinuationToken=token)
    assert (second["IsTruncated"], second["ContinuationToken"]) == (False, token)
    listed = [*first["IntelligentTieringConfigurationList"], *second["IntelligentTieringConfigurationList"]]
    assert [one["Id"] for one in listed] == ids


def test_an_empty_list(s3, bucket):
    answer = s3.list_bucket_intelligent_tiering_configurations(Bucket=bucket)
    assert answer["IsTruncated"] is False
    assert "IntelligentTieringConfigurationList" not in answer


def test_a_token_that_is_none(s3, bucket):
    call = s3.list_bucket_intelligent_tiering_configurations
    assert refused(call, Bucket=bucket, ContinuationToken="junk") == (400, "InvalidArgument")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        call = client.list_bucket_intelligent_tiering_configurations
        assert refused(call, Bucket=bucket) == (403, "AccessDenied")
