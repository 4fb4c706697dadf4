"""PutBucketTagging, GetBucketTagging, DeleteBucketTagging."""

import pytest

from tests.operations.refusals import refused


def tag_set(**tags: str) -> dict[str, list[dict[str, str]]]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


def test_put_get_delete(s3, bucket):
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")
    tags = tag_set(team="a b", **{"cost:centre": "ünï/1"})
    answer = s3.put_bucket_tagging(Bucket=bucket, Tagging=tags)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags["TagSet"]
    for _ in range(2):
        assert s3.delete_bucket_tagging(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")


def test_an_empty_set_is_none(s3, bucket):
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(a="1"))
    answer = s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set())
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")


def test_fifty_tags_and_no_more(s3, bucket):
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tag_set(**{f"k{number}": "v" for number in range(50)}))
    too_many = tag_set(**{f"k{number}": "v" for number in range(51)})
    assert refused(s3.put_bucket_tagging, Bucket=bucket, Tagging=too_many) == (400, "BadRequest")
    assert len(s3.get_bucket_tagging(Bucket=bucket)["TagSet"]) == 50


@pytest.mark.parametrize(
    "tags",
    [
        [{"Key": "k" * 129, "Value": "v"}],
        [{"Key": "k", "Value": "v" * 257}],
        [{"Key": "k", "Value": "1"}, {"Key": "k", "Value": "2"}],
        [{"Key": "aws:mine", "Value": "v"}],
        [{"Key": "k<", "Value": "v"}],
    ],
)
def test_tags_that_cannot_be(s3, bucket, tags):
    assert refused(s3.put_bucket_tagging, Bucket=bucket, Tagging={"TagSet": tags}) == (400, "InvalidTag")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_tagging, Bucket=bucket) == (403, "AccessDenied")
        assert refused(client.delete_bucket_tagging, Bucket=bucket) == (403, "AccessDenied")
