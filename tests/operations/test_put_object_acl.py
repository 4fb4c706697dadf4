"""PutObjectAcl, the ACLs that objects are put with, and what they allow."""

from contextlib import closing

import pytest
from botocore.exceptions import ClientError

from tests.operations.refusals import refused
from tests.operations.sharing import ALL_USERS, grants_of, policy, statement, with_acls

DENIED = (403, "AccessDenied")
OFF = (400, "AccessControlListNotSupported")


@pytest.fixture
def shared(s3, bucket):
    with_acls(s3, bucket)
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    return bucket


def test_an_object_is_private_until_it_is_made_public(s3, shared, other, anonymous):
    for client in (other, anonymous):
        assert refused(client.get_object, Bucket=shared, Key="key") == DENIED
    s3.put_object_acl(Bucket=shared, Key="key", ACL="public-read")
    for client in (other, anonymous):
        assert client.get_object(Bucket=shared, Key="key")["Body"].read() == b"body"
        assert client.head_object(Bucket=shared, Key="key")["ContentLength"] == 4
        assert refused(client.get_object_acl, Bucket=shared, Key="key") == DENIED
        assert refused(client.put_object_acl, Bucket=shared, Key="key", ACL="private") == DENIED
    s3.put_object_acl(Bucket=shared, Key="key", ACL="private")
    assert refused(anonymous.get_object, Bucket=shared, Key="key") == DENIED


@pytest.mark.parametrize("way", ["put", "copy", "multipart"])
def test_an_object_may_be_put_with_its_acl(s3, shared, anonymous, way):
    if way == "put":
        s3.put_object(Bucket=shared, Key="new", Body=b"body", ACL="public-read")
    elif way == "copy":
        s3.copy_object(
            Bucket=shared, Key="new", CopySource={"Bucket": shared, "Key": "key"}, ACL="public-read"
        )
    else:
        upload = s3.create_multipart_upload(Bucket=shared, Key="new", ACL="public-read")["UploadId"]
        names = {"Bucket": shared, "Key": "new", "UploadId": upload}
        etag = s3.upload_part(**names, PartNumber=1, Body=b"body")["ETag"]
        s3.complete_multipart_upload(**names, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert anonymous.get_object(Bucket=shared, Key="new")["Body"].read() == b"body"
    assert (ALL_USERS, "READ") in grants_of(s3.get_object_acl(Bucket=shared, Key="new"))


def test_neither_a_copy_nor_what_is_put_over_it_keeps_the_acl(s3, shared, anonymous):
    s3.put_object_acl(Bucket=shared, Key="key", ACL="public-read")
    s3.copy_object(Bucket=shared, Key="copy", CopySource={"Bucket": shared, "Key": "key"})
    assert refused(anonymous.get_object, Bucket=shared, Key="copy") == DENIED
    s3.put_object(Bucket=shared, Key="key", Body=b"anew")
    assert refused(anonymous.get_object, Bucket=shared, Key="key") == DENIED


def test_each_version_has_an_acl_of_its_own(s3, shared, anonymous):
    s3.put_bucket_versioning(Bucket=shared, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=shared, Key="key", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket=shared, Key="key", Body=b"2")["VersionId"]
    answer = s3.put_object_acl(Bucket=shared, Key="key", VersionId=first, ACL="public-read")
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-version-id"] == first
    assert anonymous.get_object(Bucket=shared, Key="key", VersionId=first)["Body"].read() == b"1"
    assert refused(anonymous.get_object, Bucket=shared, Key="key", VersionId=second) == DENIED
    assert refused(anonymous.get_object, Bucket=shared, Key="key") == DENIED


def test_an_object_belongs_to_who_put_it(s3, shared, other, other_id, anonymous):
    other.put_object(Bucket=shared, Key="theirs", Body=b"theirs", ACL="bucket-owner-read")
    assert other.get_object_acl(Bucket=shared, Key="theirs")["Owner"] == {"ID": other_id}
    (listed,) = [e for e in s3.list_objects(Bucket=shared)["Contents"] if e["Key"] == "theirs"]
    assert listed["Owner"]["ID"] == other_id
    other.put_object_acl(Bucket=shared, Key="theirs", ACL="public-read")
    assert anonymous.get_object(Bucket=shared, Key="theirs")["Body"].read() == b"theirs"


def test_the_bucket_owner_reads_what_belongs_to_others_only_where_granted(
    server, other, anonymous, bucket_name
):
    third = server.make_user(bucket_name)
    other.create_bucket(Bucket=bucket_name)
    with_acls(other, bucket_name)
    other.put_bucket_acl(Bucket=bucket_name, ACL="public-read-write")
    with closing(server.client(third["access_key"], third["secret_key"])) as writer:
        writer.put_object(Bucket=bucket_name, Key="key", Body=b"1")
        assert refused(other.get_object, Bucket=bucket_name, Key="key") == DENIED
        writer.put_object_acl(Bucket=bucket_name, Key="key", ACL="bucket-owner-read")
    assert other.get_object(Bucket=bucket_name, Key="key")["Body"].read() == b"1"
    assert refused(other.put_object_acl, Bucket=bucket_name, Key="key", ACL="public-read") == DENIED
    other.delete_object(Bucket=bucket_name, Key="key")


def test_bucket_owner_preferred_takes_what_is_given_in_full_control(s3, shared, other, root_id, other_id):
    with_acls(s3, shared, "BucketOwnerPreferred")
    other.put_object(Bucket=shared, Key="given", Body=b"", ACL="bucket-owner-full-control")
    other.put_object(Bucket=shared, Key="kept", Body=b"")
    assert s3.get_object_acl(Bucket=shared, Key="given")["Owner"] == {"ID": root_id}
    assert s3.get_object_acl(Bucket=shared, Key="kept")["Owner"] == {"ID": other_id}


def test_acls_that_are_off_cannot_be_put(s3, bucket, other_id, root_id):
    s3.put_object(Bucket=bucket, Key="key", Body=b"body", ACL="bucket-owner-full-control")
    s3.put_object(Bucket=bucket, Key="key", Body=b"body", ACL="private")
    s3.put_object(Bucket=bucket, Key="key", Body=b"body", GrantFullControl=f'id="{root_id}"')
    for arguments in ({"ACL": "public-read"}, {"GrantRead": f'id="{other_id}"'}):
        assert refused(s3.put_object, Bucket=bucket, Key="new", Body=b"", **arguments) == OFF
        assert refused(s3.create_multipart_upload, Bucket=bucket, Key="new", **arguments) == OFF
        source = {"Bucket": bucket, "Key": "key"}
        assert refused(s3.copy_object, Bucket=bucket, Key="new", CopySource=source, **arguments) == OFF
        assert refused(s3.put_object_acl, Bucket=bucket, Key="key", **arguments) == OFF
    assert refused(s3.head_object, Bucket=bucket, Key="new")[0] == 404


def test_turned_off_acls_count_for_nothing_and_all_is_the_bucket_owners(
    s3, shared, anonymous, other, root_id
):
    other.put_object(Bucket=shared, Key="theirs", Body=b"", ACL="public-read")
    s3.put_bucket_acl(Bucket=shared, ACL="private")
    s3.put_bucket_ownership_controls(
        Bucket=shared, OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    )
    for client in (anonymous, other):
        assert refused(client.get_object, Bucket=shared, Key="theirs") == DENIED
    answer = s3.get_object_acl(Bucket=shared, Key="theirs")
    assert (answer["Owner"], grants_of(answer)) == ({"ID": root_id}, {(root_id, "FULL_CONTROL")})
    listed = s3.list_objects(Bucket=shared)["Contents"] + s3.list_object_versions(Bucket=shared)["Versions"]
    assert {entry["Owner"]["ID"] for entry in listed} == {root_id}


def test_public_acls_are_refused_where_they_are_blocked(s3, shared):
    s3.put_public_access_block(Bucket=shared, PublicAccessBlockConfiguration={"BlockPublicAcls": True})
    assert refused(s3.put_object_acl, Bucket=shared, Key="key", ACL="public-read") == DENIED
    assert refused(s3.put_object, Bucket=shared, Key="new", Body=b"", ACL="public-read") == DENIED
    assert refused(s3.head_object, Bucket=shared, Key="new")[0] == 404


def test_a_policy_may_deny_acls_alone(s3, shared, other):
    deny = {**statement(shared, "s3:PutObjectAcl", Resource=f"arn:aws:s3:::{shared}/*"), "Effect": "Deny"}
    s3.put_bucket_policy(Bucket=shared, Policy=policy(deny))
    other.put_object(Bucket=shared, Key="new", Body=b"")
    assert refused(other.put_object, Bucket=shared, Key="new", Body=b"", ACL="public-read") == DENIED


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"ACL": "everybody"}, (400, "InvalidArgument")),
        ({}, (400, "MissingSecurityHeader")),
        ({"GrantRead": 'id="nobody"'}, (400, "InvalidArgument")),
        ({"AccessControlPolicy": {"Owner": {"ID": "somebody"}, "Grants": []}}, (400, "InvalidArgument")),
        ({"AccessControlPolicy": {"Grants": []}}, (400, "MalformedACLError")),
    ],
)
def test_what_makes_no_sense_is_refused(s3, shared, root_id, arguments, expected):
    assert refused(s3.put_object_acl, Bucket=shared, Key="key", **arguments) == expected
    assert grants_of(s3.get_object_acl(Bucket=shared, Key="key")) == {(root_id, "FULL_CONTROL")}


def test_of_what_is_not_there(s3, shared):
    assert refused(s3.put_object_acl, Bucket=shared, Key="none", ACL="private") == (404, "NoSuchKey")
    assert refused(s3.put_object_acl, Bucket="no-such-bucket-here", Key="key", ACL="private") == (
        404,
        "NoSuchBucket",
    )


def test_of_a_delete_marker(s3, shared):
    s3.put_bucket_versioning(Bucket=shared, VersioningConfiguration={"Status": "Enabled"})
    marker = s3.delete_object(Bucket=shared, Key="key")["VersionId"]
    for version in ({}, {"VersionId": marker}):
        answer = refused(s3.put_object_acl, Bucket=shared, Key="key", ACL="public-read", **version)
        assert answer == (405, "MethodNotAllowed")
    assert refused(s3.get_object_acl, Bucket=shared, Key="key") == (404, "NoSuchKey")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"GrantRead": 'id="nobody"'}, "id"),
        ({"GrantRead": 'uri="http://example.org/group"'}, "uri"),
        ({"Grantee": {"Type": "CanonicalUser", "ID": "nobody"}}, "CanonicalUser/ID"),
        ({"Grantee": {"Type": "Group", "URI": "http://example.org/group"}}, "Group/URI"),
    ],
)
def test_who_is_not_known_is_named_by_header_or_element(s3, shared, root_id, arguments, named):
    if "Grantee" in arguments:
        grants = [{**arguments, "Permission": "READ"}]
        arguments = {"AccessControlPolicy": {"Owner": {"ID": root_id}, "Grants": grants}}
    with pytest.raises(ClientError) as caught:
        s3.put_object_acl(Bucket=shared, Key="key", **arguments)
    assert caught.value.response["Error"]["ArgumentName"] == named


def test_where_acls_are_off_the_acl_that_holds_may_be_put_back(s3, bucket):
    """s3cmd copies the source's ACL after every copy."""
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    got = s3.get_object_acl(Bucket=bucket, Key="key")
    held = {"Owner": got["Owner"], "Grants": got["Grants"]}
    s3.put_object_acl(Bucket=bucket, Key="key", AccessControlPolicy=held)
    everyone = {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"}
    more = {**held, "Grants": [*held["Grants"], {"Grantee": everyone, "Permission": "READ"}]}
    assert refused(s3.put_object_acl, Bucket=bucket, Key="key", AccessControlPolicy=more) == OFF


@pytest.fixture(scope="module")
def mailed(server):
    """A user with an e-mail address."""
    arguments = ["--json", "--id", "mailed-id", "--email", "mailed@example.org"]
    server.run("user", "add", "mailed", *arguments, *(f"--drive={drive}" for drive in server.drives))
    return "mailed-id"


@pytest.mark.parametrize("way", ["header", "document"])
@pytest.mark.parametrize("form", ["id", "emailAddress", "uri"])
def test_grants_may_name_whom_they_are_for_in_three_forms(s3, bucket, root_id, mailed, way, form):
    with_acls(s3, bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    value = {"id": mailed, "emailAddress": "mailed@example.org", "uri": ALL_USERS}[form]
    if way == "header":
        wanted = {"GrantRead": f'{form}="{value}"'}
    else:
        grantee = {
            "id": {"Type": "CanonicalUser", "ID": value},
            "emailAddress": {"Type": "AmazonCustomerByEmail", "EmailAddress": value},
            "uri": {"Type": "Group", "URI": value},
        }[form]
        grants = [{"Grantee": grantee, "Permission": "READ"}]
        wanted = {"AccessControlPolicy": {"Owner": {"ID": root_id}, "Grants": grants}}
    told = {(ALL_USERS if form == "uri" else mailed, "READ")}
    s3.put_object_acl(Bucket=bucket, Key="key", **wanted)
    assert grants_of(s3.get_object_acl(Bucket=bucket, Key="key")) == told
    s3.put_bucket_acl(Bucket=bucket, **wanted)
    assert grants_of(s3.get_bucket_acl(Bucket=bucket)) == told
