"""S3 as it was before 2023, by two settings: ACLs on in new buckets, nothing blocked, display names."""

from contextlib import closing

import pytest

from tests.operations.refusals import refused
from tests.operations.sharing import ALL_USERS, grants_of, policy, statement
from tests.support.server import Server


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    options = ["--new-buckets", "acls", "--display-names"]
    running = Server(tmp_path_factory.mktemp("old"), workers=1, options=options).start()
    try:
        yield running
    finally:
        assert running.stop() == 0, running.log_tail()


@pytest.fixture(scope="module")
def s3(old):
    with closing(old.client()) as client:
        yield client


def test_nothing_is_configured_of_a_new_bucket(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name)
    assert refused(s3.get_bucket_ownership_controls, Bucket=bucket_name) == (
        404,
        "OwnershipControlsNotFoundError",
    )
    assert refused(s3.get_public_access_block, Bucket=bucket_name) == (
        404,
        "NoSuchPublicAccessBlockConfiguration",
    )


def test_a_bucket_and_an_object_may_be_made_public_at_once(s3, old, bucket_name):
    from botocore import UNSIGNED

    s3.create_bucket(Bucket=bucket_name, ACL="public-read")
    s3.put_object(Bucket=bucket_name, Key="key", Body=b"body", ACL="public-read")
    s3.put_bucket_policy(Bucket=bucket_name, Policy=policy(statement(bucket_name, "s3:GetBucketLocation")))
    assert (ALL_USERS, "READ") in grants_of(s3.get_bucket_acl(Bucket=bucket_name))
    with closing(old.client(signature_version=UNSIGNED)) as anonymous:
        assert anonymous.list_objects_v2(Bucket=bucket_name)["KeyCount"] == 1
        assert anonymous.get_object(Bucket=bucket_name, Key="key")["Body"].read() == b"body"
        anonymous.get_bucket_location(Bucket=bucket_name)


def test_owners_and_grantees_have_names(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name)
    s3.put_object(Bucket=bucket_name, Key="key", Body=b"body")
    acl = s3.get_object_acl(Bucket=bucket_name, Key="key")
    assert acl["Owner"]["DisplayName"] == "root"
    assert acl["Grants"][0]["Grantee"]["DisplayName"] == "root"
    assert s3.list_buckets()["Owner"]["DisplayName"] == "root"
    (listed,) = s3.list_objects(Bucket=bucket_name)["Contents"]
    assert listed["Owner"]["DisplayName"] == "root"
    (version,) = s3.list_object_versions(Bucket=bucket_name)["Versions"]
    assert version["Owner"]["DisplayName"] == "root"
    s3.create_multipart_upload(Bucket=bucket_name, Key="key")
    (upload,) = s3.list_multipart_uploads(Bucket=bucket_name)["Uploads"]
    assert upload["Owner"]["DisplayName"] == upload["Initiator"]["DisplayName"] == "root"
