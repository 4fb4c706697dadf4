"""PutBucketAbac, and what a bucket's tags then decide."""

from contextlib import closing

import pytest

from tests.operations.control import about, client, tags
from tests.operations.refusals import refused
from tests.operations.sharing import policy, statement


def test_what_was_put_comes_back(s3, bucket):
    assert s3.get_bucket_abac(Bucket=bucket)["AbacStatus"] == {"Status": "Disabled"}
    s3.put_bucket_abac(Bucket=bucket, AbacStatus={"Status": "Enabled"})
    assert s3.get_bucket_abac(Bucket=bucket)["AbacStatus"] == {"Status": "Enabled"}


@pytest.mark.parametrize("status", [{}, {"Status": "Perhaps"}])
def test_a_document_that_cannot_be(s3, bucket, status):
    assert refused(s3.put_bucket_abac, Bucket=bucket, AbacStatus=status) == (400, "MalformedXML")


def test_tags_let_people_in_only_while_it_is_enabled(s3, other, other_id, server, bucket):
    own = {"StringEquals": {"aws:ResourceTag/team": "a"}}
    readers = statement(bucket, "s3:ListBucket", {"CanonicalUser": other_id}, Condition=own)
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(readers))
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags(team="a")})
    assert refused(other.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")
    s3.put_bucket_abac(Bucket=bucket, AbacStatus={"Status": "Enabled"})
    assert other.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    with closing(client(server)) as control:
        control.tag_resource(**about(bucket), Tags=tags(team="b"))
    assert refused(other.list_objects_v2, Bucket=bucket) == (403, "AccessDenied")


def test_tags_are_then_put_by_s3_control_alone(s3, server, bucket):
    s3.put_bucket_abac(Bucket=bucket, AbacStatus={"Status": "Enabled"})
    wanted = {"TagSet": tags(team="a")}
    assert refused(s3.put_bucket_tagging, Bucket=bucket, Tagging=wanted) == (400, "InvalidRequest")
    assert refused(s3.delete_bucket_tagging, Bucket=bucket) == (400, "InvalidRequest")
    with closing(client(server)) as control:
        control.tag_resource(**about(bucket), Tags=tags(team="a"))
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags(team="a")
    s3.put_bucket_abac(Bucket=bucket, AbacStatus={"Status": "Disabled"})
    s3.delete_bucket_tagging(Bucket=bucket)


def test_other_people_may_not(other, anonymous, bucket):
    for caller in (other, anonymous):
        call = caller.put_bucket_abac
        assert refused(call, Bucket=bucket, AbacStatus={"Status": "Enabled"}) == (403, "AccessDenied")
