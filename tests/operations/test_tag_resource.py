"""TagResource (S3 Control, as Terraform calls it), and what holds of all three operations with tags."""

import pytest

from tests.operations.control import ACCOUNT, about, client, tags
from tests.operations.refusals import refused
from tests.operations.requests import send
from tests.support.server import REGION


@pytest.fixture(scope="module")
def control(server):
    return client(server)


def test_tags_are_added_replaced_and_removed(s3, control, bucket):
    assert control.list_tags_for_resource(**about(bucket))["Tags"] == []
    control.tag_resource(**about(bucket), Tags=tags(a="1", b="2"))
    control.tag_resource(**about(bucket), Tags=tags(b="two", c="3"))
    assert control.list_tags_for_resource(**about(bucket))["Tags"] == tags(a="1", b="two", c="3")
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags(a="1", b="two", c="3")
    control.untag_resource(**about(bucket), TagKeys=["a", "c", "never-there"])
    assert control.list_tags_for_resource(**about(bucket))["Tags"] == tags(b="two")
    control.untag_resource(**about(bucket), TagKeys=["b"])
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == (404, "NoSuchTagSet")


def test_limits_hold_for_what_comes_out(s3, control, bucket):
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags(**{f"k{n}": "v" for n in range(50)})})
    assert refused(control.tag_resource, **about(bucket), Tags=tags(one="more"))[0] == 400
    control.tag_resource(**about(bucket), Tags=tags(k0="changed"))
    assert len(s3.get_bucket_tagging(Bucket=bucket)["TagSet"]) == 50


def test_other_people_may_not(server, bucket):
    made = server.make_user("tagger")
    stranger = client(server, made["access_key"], made["secret_key"])
    denied = (403, "AccessDenied")
    assert refused(stranger.list_tags_for_resource, **about(bucket)) == denied
    assert refused(stranger.tag_resource, **about(bucket), Tags=tags(a="1")) == denied
    assert refused(stranger.untag_resource, **about(bucket), TagKeys=["a"]) == denied


def test_what_is_no_bucket(control):
    call = control.list_tags_for_resource
    assert refused(call, **about("no-such-bucket-here")) == (404, "NoSuchBucket")
    grant = f"arn:aws:s3:{REGION}:{ACCOUNT}:access-grants/default"
    assert refused(call, AccountId=ACCOUNT, ResourceArn=grant)[0] == 501


def test_errors_stand_one_element_deeper_than_those_of_s3(s3):
    arn = "arn:aws:s3:::no-such-bucket-here"
    answer = send(s3, "GET", "v20180820", f"tags/{arn}", headers={"x-amz-account-id": ACCOUNT})
    assert answer.status == 404
    assert b"<ErrorResponse><Error><Code>NoSuchBucket</Code>" in answer.body


def test_a_bucket_may_be_called_like_the_version_of_s3_control(s3):
    s3.create_bucket(Bucket="v20180820")
    s3.put_object(Bucket="v20180820", Key="tags/key", Body=b"x")
    assert send(s3, "GET", "v20180820", "tags/key").body == b"x"
