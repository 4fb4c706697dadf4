"""GetBucketAcl."""

from tests.operations.refusals import refused
from tests.operations.sharing import with_acls

DENIED = (403, "AccessDenied")


def test_a_new_bucket_is_its_owners_alone(s3, bucket, root_id):
    answer = s3.get_bucket_acl(Bucket=bucket)
    assert answer["Owner"] == {"ID": root_id}
    assert answer["Grants"] == [
        {"Grantee": {"ID": root_id, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}
    ]


def test_canned_acls_are_told_as_grants(s3, bucket, root_id):
    with_acls(s3, bucket)
    s3.put_bucket_acl(Bucket=bucket, ACL="log-delivery-write")
    uri = "http://acs.amazonaws.com/groups/s3/LogDelivery"
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"] == [
        {"Grantee": {"URI": uri, "Type": "Group"}, "Permission": "WRITE"},
        {"Grantee": {"URI": uri, "Type": "Group"}, "Permission": "READ_ACP"},
        {"Grantee": {"ID": root_id, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"},
    ]


def test_others_do_not_see_it(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_acl, Bucket=bucket) == DENIED


def test_of_no_bucket(s3):
    assert refused(s3.get_bucket_acl, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")
