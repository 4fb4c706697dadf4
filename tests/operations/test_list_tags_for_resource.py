"""ListTagsForResource (S3 Control)."""

from contextlib import closing

import pytest

from tests.operations.control import about, client, tags
from tests.operations.refusals import refused


@pytest.fixture(scope="module")
def control(server):
    with closing(client(server)) as made:
        yield made


def test_they_are_the_tags_of_the_bucket(s3, control, bucket):
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags(team="a", cost="7")})
    assert control.list_tags_for_resource(**about(bucket))["Tags"] == tags(team="a", cost="7")


def test_a_bucket_without_tags_has_an_empty_list(control, bucket):
    assert control.list_tags_for_resource(**about(bucket))["Tags"] == []


def test_of_no_bucket(control):
    call = control.list_tags_for_resource
    assert refused(call, **about("no-such-bucket-here")) == (404, "NoSuchBucket")


def test_other_people_may_not(server, other_user, bucket):
    with closing(client(server, other_user["access_key"], other_user["secret_key"])) as stranger:
        assert refused(stranger.list_tags_for_resource, **about(bucket)) == (403, "AccessDenied")
