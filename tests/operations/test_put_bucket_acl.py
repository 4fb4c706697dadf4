"""PutBucketAcl, and what the ACLs of buckets allow."""

import pytest

from tests.operations.refusals import refused
from tests.operations.sharing import ALL_USERS, AUTHENTICATED_USERS, grants_of, with_acls

DENIED = (403, "AccessDenied")
OFF = (400, "AccessControlListNotSupported")


@pytest.fixture
def open_bucket(s3, bucket):
    return with_acls(s3, bucket)


def test_everyone_may_list_a_bucket_that_is_public_read_and_read_nothing_in_it(s3, open_bucket, anonymous):
    s3.put_object(Bucket=open_bucket, Key="key", Body=b"body")
    assert refused(anonymous.list_objects_v2, Bucket=open_bucket) == DENIED
    s3.put_bucket_acl(Bucket=open_bucket, ACL="public-read")
    assert anonymous.list_objects_v2(Bucket=open_bucket)["KeyCount"] == 1
    assert refused(anonymous.get_object, Bucket=open_bucket, Key="key") == DENIED
    assert refused(anonymous.get_object, Bucket=open_bucket, Key="none") == (404, "NoSuchKey")
    assert refused(anonymous.put_object, Bucket=open_bucket, Key="key", Body=b"") == DENIED
    assert refused(anonymous.get_bucket_acl, Bucket=open_bucket) == DENIED


def test_everyone_may_write_into_a_bucket_that_is_public_read_write(s3, open_bucket, anonymous, other):
    s3.put_bucket_acl(Bucket=open_bucket, ACL="public-read-write")
    other.put_object(Bucket=open_bucket, Key="theirs", Body=b"theirs")
    assert other.get_object(Bucket=open_bucket, Key="theirs")["Body"].read() == b"theirs"
    anonymous.put_object(Bucket=open_bucket, Key="nobody's", Body=b"")
    anonymous.delete_object(Bucket=open_bucket, Key="nobody's")
    assert refused(other.put_bucket_acl, Bucket=open_bucket, ACL="private") == DENIED


def test_authenticated_users_are_those_who_say_who_they_are(s3, open_bucket, anonymous, other):
    s3.put_bucket_acl(Bucket=open_bucket, ACL="authenticated-read")
    assert other.list_objects_v2(Bucket=open_bucket)["KeyCount"] == 0
    assert refused(anonymous.list_objects_v2, Bucket=open_bucket) == DENIED


def test_each_permission_allows_its_own_and_no_more(s3, open_bucket, other, other_id):
    attempts = {
        "READ": lambda: other.list_objects_v2(Bucket=open_bucket),
        "WRITE": lambda: other.put_object(Bucket=open_bucket, Key="key", Body=b""),
        "READ_ACP": lambda: other.get_bucket_acl(Bucket=open_bucket),
        "WRITE_ACP": lambda: other.put_bucket_acl(Bucket=open_bucket, ACL="everything"),
    }
    headers = {
        "READ": "GrantRead",
        "WRITE": "GrantWrite",
        "READ_ACP": "GrantReadACP",
        "WRITE_ACP": "GrantWriteACP",
        "FULL_CONTROL": "GrantFullControl",
    }
    for granted, header in headers.items():
        s3.put_bucket_acl(Bucket=open_bucket, **{header: f'id="{other_id}"'})
        for wanted, attempt in attempts.items():
            is_allowed = granted in (wanted, "FULL_CONTROL")
            if wanted == "WRITE_ACP":  # a canned ACL nobody knows changes nothing
                assert refused(attempt) == ((400, "InvalidArgument") if is_allowed else DENIED)
            elif is_allowed:
                attempt()
            else:
                assert refused(attempt) == DENIED, (granted, wanted)


def test_an_acl_comes_back_as_it_was_put(s3, open_bucket, root_id, other_id):
    grants = [
        {"Grantee": {"Type": "CanonicalUser", "ID": root_id}, "Permission": "FULL_CONTROL"},
        {"Grantee": {"Type": "CanonicalUser", "ID": other_id}, "Permission": "WRITE_ACP"},
        {"Grantee": {"Type": "Group", "URI": ALL_USERS}, "Permission": "READ"},
    ]
    s3.put_bucket_acl(Bucket=open_bucket, AccessControlPolicy={"Owner": {"ID": root_id}, "Grants": grants})
    answer = s3.get_bucket_acl(Bucket=open_bucket)
    assert answer["Owner"] == {"ID": root_id}
    assert answer["Grants"] == grants


def test_the_owner_keeps_the_acl_even_without_a_grant(s3, open_bucket, other, other_id):
    other_bucket = f"{open_bucket}-theirs"
    other.create_bucket(Bucket=other_bucket)
    with_acls(other, other_bucket)
    other.put_bucket_acl(Bucket=other_bucket, AccessControlPolicy={"Owner": {"ID": other_id}, "Grants": []})
    assert other.get_bucket_acl(Bucket=other_bucket)["Grants"] == []
    other.put_bucket_acl(Bucket=other_bucket, ACL="private")
    assert grants_of(other.get_bucket_acl(Bucket=other_bucket)) == {(other_id, "FULL_CONTROL")}


def test_acls_that_are_off_cannot_be_put_and_count_for_nothing(s3, bucket, other, other_id, root_id):
    for arguments in (
        {"ACL": "public-read"},
        {"ACL": "private"},
        {"GrantRead": f'id="{other_id}"'},
        {"AccessControlPolicy": {"Owner": {"ID": root_id}, "Grants": []}},
    ):
        assert refused(s3.put_bucket_acl, Bucket=bucket, **arguments) == OFF
    assert grants_of(s3.get_bucket_acl(Bucket=bucket)) == {(root_id, "FULL_CONTROL")}


def test_public_acls_are_refused_where_they_are_blocked(s3, open_bucket, other_id):
    s3.put_public_access_block(Bucket=open_bucket, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    for acl in ("public-read", "public-read-write", "authenticated-read"):
        assert refused(s3.put_bucket_acl, Bucket=open_bucket, ACL=acl) == DENIED
    assert refused(s3.put_bucket_acl, Bucket=open_bucket, GrantRead=f'uri="{ALL_USERS}"') == DENIED
    s3.put_bucket_acl(Bucket=open_bucket, GrantRead=f'id="{other_id}"')


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"ACL": "everybody"}, (400, "InvalidArgument")),
        ({"ACL": "bucket-owner-full-control"}, (400, "InvalidArgument")),
        ({"GrantRead": 'id="nobody"'}, (400, "InvalidArgument")),
        ({"GrantRead": 'uri="http://example.org/group"'}, (400, "InvalidArgument")),
        ({"GrantRead": 'emailAddress="nobody@example.org"'}, (400, "UnresolvableGrantByEmailAddress")),
        ({"GrantRead": "nothing"}, (400, "InvalidArgument")),
        ({"GrantRead": 'id="a"', "ACL": "private"}, (400, "InvalidRequest")),
        ({}, (400, "MissingSecurityHeader")),
        ({"AccessControlPolicy": {"Grants": []}}, (400, "MalformedACLError")),
        ({"AccessControlPolicy": {"Owner": {"ID": "somebody"}, "Grants": []}}, (400, "InvalidArgument")),
        ({"ACL": "private", "AccessControlPolicy": {"Grants": []}}, (400, "UnexpectedContent")),
        ({"GrantRead": "nothing", "AccessControlPolicy": {"Grants": []}}, (400, "UnexpectedContent")),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(s3, open_bucket, root_id, arguments, expected):
    closed = f"{open_bucket}-closed"
    s3.create_bucket(Bucket=closed)
    assert refused(s3.put_bucket_acl, Bucket=open_bucket, **arguments) == expected
    assert refused(s3.put_bucket_acl, Bucket=closed, **arguments) == expected
    assert grants_of(s3.get_bucket_acl(Bucket=open_bucket)) == {(root_id, "FULL_CONTROL")}


@pytest.mark.parametrize(
    "grant",
    [
        {"Grantee": {"Type": "CanonicalUser"}, "Permission": "READ"},
        {"Grantee": {"Type": "Group", "ID": "a"}, "Permission": "READ"},
        {"Grantee": {"Type": "Nobody", "ID": "a"}, "Permission": "READ"},
        {"Grantee": {"Type": "CanonicalUser", "ID": "a"}, "Permission": "EVERYTHING"},
    ],
)
def test_grants_that_are_not_whole_are_malformed(s3, open_bucket, root_id, grant):
    document = {"Owner": {"ID": root_id}, "Grants": [grant]}
    assert refused(s3.put_bucket_acl, Bucket=open_bucket, AccessControlPolicy=document) == (
        400,
        "MalformedACLError",
    )


def test_more_than_100_grants_are_too_many(s3, open_bucket, root_id):
    grant = {"Grantee": {"Type": "CanonicalUser", "ID": root_id}, "Permission": "READ"}
    document = {"Owner": {"ID": root_id}, "Grants": [grant] * 101}
    assert refused(s3.put_bucket_acl, Bucket=open_bucket, AccessControlPolicy=document) == (
        400,
        "MalformedACLError",
    )


def test_grants_by_email_name_the_user_who_has_it(s3, server, open_bucket):
    name = open_bucket
    server.run(
        "user", "add", name, "--email", f"{name}@example.org", *(f"--drive={d}" for d in server.drives)
    )
    s3.put_bucket_acl(Bucket=open_bucket, GrantRead=f'emailAddress="{name}@example.org"')
    (grant,) = s3.get_bucket_acl(Bucket=open_bucket)["Grants"]
    assert grant["Grantee"]["Type"] == "CanonicalUser"
    assert len(grant["Grantee"]["ID"]) == 64


def test_groups_are_public_only_while_public_acls_count(s3, open_bucket, other):
    s3.put_bucket_acl(Bucket=open_bucket, GrantRead=f'uri="{AUTHENTICATED_USERS}"')
    other.list_objects_v2(Bucket=open_bucket)
    s3.put_public_access_block(Bucket=open_bucket, PublicAccessBlockConfiguration={"IgnorePublicAcls": True})
    assert refused(other.list_objects_v2, Bucket=open_bucket) == DENIED
