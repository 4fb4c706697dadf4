"""PutBucketOwnershipControls, GetBucketOwnershipControls and DeleteBucketOwnershipControls."""

import pytest

from tests.operations.refusals import refused
from tests.operations.sharing import with_acls

DENIED = (403, "AccessDenied")


def rules(*ownerships):
    return {"Rules": [{"ObjectOwnership": ownership} for ownership in ownerships]}


@pytest.mark.parametrize("ownership", ["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"])
def test_what_is_put_comes_back(s3, bucket, ownership):
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=rules(ownership))
    assert s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"] == rules(ownership)


def test_without_any_acls_are_on(s3, bucket):
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    assert refused(s3.get_bucket_ownership_controls, Bucket=bucket) == (404, "OwnershipControlsNotFoundError")
    s3.delete_bucket_ownership_controls(Bucket=bucket)
    s3.put_bucket_acl(Bucket=bucket, ACL="private")


def test_acls_cannot_be_turned_off_while_the_bucket_grants_others_something(s3, bucket, other_id):
    with_acls(s3, bucket)
    s3.put_bucket_acl(Bucket=bucket, GrantRead=f'id="{other_id}"')
    enforced = rules("BucketOwnerEnforced")
    assert refused(s3.put_bucket_ownership_controls, Bucket=bucket, OwnershipControls=enforced) == (
        400,
        "InvalidBucketAclWithObjectOwnership",
    )
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls=enforced)


@pytest.mark.parametrize("wrong", [rules("Nobody"), rules("ObjectWriter", "ObjectWriter"), rules()])
def test_what_makes_no_sense_is_refused(s3, bucket, wrong):
    assert refused(s3.put_bucket_ownership_controls, Bucket=bucket, OwnershipControls=wrong) == (
        400,
        "MalformedXML",
    )


def test_others_may_neither_see_nor_change_it(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_ownership_controls, Bucket=bucket) == DENIED
        assert refused(client.delete_bucket_ownership_controls, Bucket=bucket) == DENIED
        wanted = rules("ObjectWriter")
        assert (
            refused(client.put_bucket_ownership_controls, Bucket=bucket, OwnershipControls=wanted) == DENIED
        )
