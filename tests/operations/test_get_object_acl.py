"""GetObjectAcl."""

from tests.operations.refusals import refused
from tests.operations.sharing import with_acls

DENIED = (403, "AccessDenied")


def test_an_object_is_its_owners_alone(s3, bucket, root_id):
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    answer = s3.get_object_acl(Bucket=bucket, Key="key")
    assert answer["Owner"] == {"ID": root_id}
    assert answer["Grants"] == [
        {"Grantee": {"ID": root_id, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}
    ]


def test_grants_come_back_as_they_were_put(s3, bucket, other, root_id, other_id):
    with_acls(s3, bucket)
    grants = [
        {"Grantee": {"Type": "CanonicalUser", "ID": other_id}, "Permission": permission}
        for permission in ("READ", "READ_ACP")
    ]
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    s3.put_object_acl(
        Bucket=bucket, Key="key", AccessControlPolicy={"Owner": {"ID": root_id}, "Grants": grants}
    )
    assert other.get_object_acl(Bucket=bucket, Key="key")["Grants"] == grants


def test_others_do_not_see_it(s3, other, anonymous, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    for client in (other, anonymous):
        assert refused(client.get_object_acl, Bucket=bucket, Key="key") == DENIED


def test_of_what_is_not_there(s3, bucket, other):
    assert refused(s3.get_object_acl, Bucket=bucket, Key="none") == (404, "NoSuchKey")
    assert refused(other.get_object_acl, Bucket=bucket, Key="none") == DENIED
    assert refused(s3.get_object_acl, Bucket=bucket, Key="none", VersionId="null") == (404, "NoSuchVersion")
