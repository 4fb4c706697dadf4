"""CreateBucket."""

import pytest

from tests.operations.refusals import refused


def test_a_bucket_is_created_and_can_be_used_at_once(s3, bucket_name):
    answer = s3.create_bucket(Bucket=bucket_name)
    assert answer["Location"] == f"/{bucket_name}"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    for _ in range(10):  # by whichever worker
        s3.put_object(Bucket=bucket_name, Key="key", Body=b"body")
        assert s3.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 1


def test_creating_ones_own_bucket_again_in_us_east_1_changes_nothing(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    s3.create_bucket(Bucket=bucket)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_creating_ones_own_bucket_again_as_another_one_is_refused(s3, bucket):
    assert refused(s3.create_bucket, Bucket=bucket, ObjectLockEnabledForBucket=True) == (
        409,
        "BucketAlreadyOwnedByYou",
    )


def test_a_name_that_another_owner_has_is_refused(s3, other, bucket):
    assert refused(other.create_bucket, Bucket=bucket) == (409, "BucketAlreadyExists")


@pytest.mark.parametrize(
    "name", ["ab", "a" * 64, "Upper", "under_score", "a..b", "-ab", "192.168.1.1", "xn--a", "a-s3alias"]
)
def test_names_no_bucket_may_have(s3, name):
    assert refused(s3.create_bucket, Bucket=name) == (400, "InvalidBucketName")


@pytest.mark.parametrize("constraint", ["mars-north-1", "no such place", "us east"])
def test_locations_this_server_has_nothing_in_are_refused(s3, bucket_name, constraint):
    status, code = refused(
        s3.create_bucket,
        Bucket=bucket_name,
        CreateBucketConfiguration={"LocationConstraint": constraint},
    )
    assert status == 400
    assert code in ("IllegalLocationConstraintException", "InvalidLocationConstraint")
    assert refused(s3.head_bucket, Bucket=bucket_name)[0] == 404


def test_anonymous_callers_create_nothing(anonymous, s3, bucket_name):
    assert refused(anonymous.create_bucket, Bucket=bucket_name) == (403, "AccessDenied")
    assert refused(s3.head_bucket, Bucket=bucket_name)[0] == 404


def test_a_private_acl_is_accepted(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ACL="private", ObjectOwnership="ObjectWriter")
    assert s3.get_bucket_ownership_controls(Bucket=bucket_name)["OwnershipControls"]["Rules"] == [
        {"ObjectOwnership": "ObjectWriter"}
    ]


def test_a_new_bucket_has_acls_off_and_public_access_blocked(s3, bucket):
    assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"] == [
        {"ObjectOwnership": "BucketOwnerEnforced"}
    ]
    assert s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": True,
        "RestrictPublicBuckets": True,
    }


@pytest.mark.parametrize("acl", ["public-read", "public-read-write", "authenticated-read"])
def test_public_acls_are_refused_where_new_buckets_are_blocked(s3, bucket_name, acl):
    assert refused(s3.create_bucket, Bucket=bucket_name, ACL=acl, ObjectOwnership="ObjectWriter") == (
        400,
        "InvalidBucketAclWithBlockPublicAccessError",
    )
    assert refused(s3.head_bucket, Bucket=bucket_name)[0] == 404


def test_grants_of_a_new_bucket_hold(s3, other, other_id, bucket_name):
    s3.create_bucket(Bucket=bucket_name, GrantRead=f'id="{other_id}"', ObjectOwnership="BucketOwnerPreferred")
    assert other.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 0
    assert refused(other.put_object, Bucket=bucket_name, Key="key") == (403, "AccessDenied")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"ACL": "public-read", "ObjectOwnership": "BucketOwnerEnforced"},
            (400, "InvalidBucketAclWithObjectOwnership"),
        ),
        ({"ACL": "everyone"}, (400, "InvalidArgument")),
        ({"ObjectOwnership": "Nobody"}, (400, "InvalidArgument")),
        ({"GrantRead": 'id="a"'}, (400, "InvalidArgument")),
        ({"GrantRead": 'uri="http://acs.amazonaws.com/groups/global/Everybody"'}, (400, "InvalidArgument")),
        ({"GrantRead": 'emailAddress="nobody@example.org"'}, (400, "UnresolvableGrantByEmailAddress")),
        ({"GrantRead": "everybody"}, (400, "InvalidArgument")),
        ({"GrantRead": 'id="a"', "ACL": "private"}, (400, "InvalidRequest")),
        ({"ACL": "public-read"}, (400, "InvalidBucketAclWithObjectOwnership")),
        ({"ACL": "bucket-owner-read"}, (400, "InvalidArgument")),
        (
            {"CreateBucketConfiguration": {"Tags": [{"Key": "aws:a", "Value": "b"}]}},
            (400, "InvalidTag"),
        ),
        (
            {"CreateBucketConfiguration": {"Bucket": {"Type": "Directory"}}},
            (501, "NotImplemented"),
        ),
    ],
)
def test_what_would_be_a_promise_not_kept_is_refused(s3, bucket_name, arguments, expected):
    assert refused(s3.create_bucket, Bucket=bucket_name, **arguments) == expected
    assert refused(s3.head_bucket, Bucket=bucket_name)[0] == 404


def test_a_bucket_with_object_lock_keeps_versions(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    first = s3.put_object(Bucket=bucket_name, Key="key", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=bucket_name, Key="key", Body=b"2")["VersionId"]
    assert first != second
    assert s3.get_object(Bucket=bucket_name, Key="key", VersionId=first)["Body"].read() == b"1"


def test_a_name_is_free_again_after_its_bucket_was_deleted(s3, other, bucket):
    s3.delete_bucket(Bucket=bucket)
    other.create_bucket(Bucket=bucket)
    assert bucket in [entry["Name"] for entry in other.list_buckets()["Buckets"]]
    other.delete_bucket(Bucket=bucket)


def test_a_bucket_can_be_made_with_tags(s3, bucket_name):
    tags = [{"Key": "a", "Value": "b"}]
    s3.create_bucket(Bucket=bucket_name, CreateBucketConfiguration={"Tags": tags})
    assert s3.get_bucket_tagging(Bucket=bucket_name)["TagSet"] == tags
    again = {"Bucket": bucket_name, "CreateBucketConfiguration": {"Tags": [{"Key": "c", "Value": "d"}]}}
    assert refused(s3.create_bucket, **again) == (409, "BucketAlreadyOwnedByYou")
    s3.create_bucket(Bucket=bucket_name)
    assert s3.get_bucket_tagging(Bucket=bucket_name)["TagSet"] == tags
