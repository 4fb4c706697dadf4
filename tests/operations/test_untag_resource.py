"""UntagResource (S3 Control)."""

from contextlib import closing

import pytest

from tests.operations.control import about, client, tags
from tests.operations.refusals import refused


@pytest.fixture(scope="module")
def control(server):
    with closing(client(server)) as made:
        yield made


def test_the_named_tags_go_and_the_other_ones_stay(s3, control, bucket):
    control.tag_resource(**about(bucket), Tags=tags(a="1", b="2", c="3"))
    control.untag_resource(**about(bucket), TagKeys=["a", "c"])
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags(b="2")


def test_tags_that_are_not_there(s3, control, bucket):
    answer = control.untag_resource(**about(bucket), TagKeys=["none"])
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")


def test_of_no_bucket(control):
    call = control.untag_resource
    assert refused(call, **about("no-such-bucket-here"), TagKeys=["a"]) == (404, "NoSuchBucket")


def test_other_people_may_not(server, other_user, control, bucket):
    control.tag_resource(**about(bucket), Tags=tags(a="1"))
    with closing(client(server, other_user["access_key"], other_user["secret_key"])) as stranger:
        call = stranger.untag_resource
        assert refused(call, **about(bucket), TagKeys=["a"]) == (403, "AccessDenied")
