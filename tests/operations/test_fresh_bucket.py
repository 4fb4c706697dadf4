"""What Terraform reads of a bucket it has just made: every configuration's own way to be absent."""

import pytest

from tests.operations.refusals import refused

ABSENT = {
    "get_bucket_encryption": "ServerSideEncryptionConfigurationNotFoundError",
    "get_bucket_cors": "NoSuchCORSConfiguration",
    "get_bucket_lifecycle": "NoSuchLifecycleConfiguration",
    "get_bucket_lifecycle_configuration": "NoSuchLifecycleConfiguration",
    "get_bucket_metadata_configuration": "MetadataConfigurationNotFound",
    "get_bucket_metadata_table_configuration": "MetadataConfigurationNotFound",
    "get_bucket_policy": "NoSuchBucketPolicy",
    "get_bucket_policy_status": "NoSuchBucketPolicy",
    "get_bucket_replication": "ReplicationConfigurationNotFoundError",
    "get_bucket_tagging": "NoSuchTagSet",
    "get_bucket_website": "NoSuchWebsiteConfiguration",
    "get_object_lock_configuration": "ObjectLockConfigurationNotFoundError",
}

EMPTY = {
    "get_bucket_accelerate_configuration": {},
    "get_bucket_abac": {"AbacStatus": {"Status": "Disabled"}},
    "get_bucket_location": {"LocationConstraint": None},
    "get_bucket_logging": {},
    "get_bucket_notification": {},
    "get_bucket_notification_configuration": {},
    "get_bucket_request_payment": {"Payer": "BucketOwner"},
    "get_bucket_versioning": {},
}

WITH_ID = [
    "get_bucket_analytics_configuration",
    "get_bucket_intelligent_tiering_configuration",
    "get_bucket_inventory_configuration",
    "get_bucket_metrics_configuration",
]

SINCE_2023 = {
    "get_bucket_ownership_controls": {
        "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    },
    "get_public_access_block": {
        "PublicAccessBlockConfiguration": {
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": True,
            "RestrictPublicBuckets": True,
        }
    },
}
"""What AWS configures by itself for every new bucket."""

DELETED = {
    "delete_bucket_ownership_controls": ("get_bucket_ownership_controls", "OwnershipControlsNotFoundError"),
    "delete_public_access_block": ("get_public_access_block", "NoSuchPublicAccessBlockConfiguration"),
}


def answered(answer):
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


@pytest.mark.parametrize(("name", "code"), ABSENT.items())
def test_absent_configurations(s3, bucket, name, code):
    call = getattr(s3, name)
    assert refused(call, Bucket=bucket) == (404, code)


@pytest.mark.parametrize(("name", "expected"), (EMPTY | SINCE_2023).items())
def test_configurations_that_are_never_absent(s3, bucket, name, expected):
    call = getattr(s3, name)
    assert answered(call(Bucket=bucket)) == expected


@pytest.mark.parametrize("name", WITH_ID)
def test_configurations_with_an_id(s3, bucket, name):
    assert refused(getattr(s3, name), Bucket=bucket, Id="any") == (404, "NoSuchConfiguration")


@pytest.mark.parametrize(("remove", "read"), DELETED.items())
def test_what_was_configured_by_itself_can_be_removed(s3, bucket, remove, read):
    getattr(s3, remove)(Bucket=bucket)
    name, code = read
    assert refused(getattr(s3, name), Bucket=bucket) == (404, code)


def test_the_acl_is_the_owners(s3, bucket):
    answer = answered(s3.get_bucket_acl(Bucket=bucket))
    assert [grant["Permission"] for grant in answer["Grants"]] == ["FULL_CONTROL"]
    assert answer["Grants"][0]["Grantee"]["ID"] == answer["Owner"]["ID"]


def test_every_get_of_a_bucket_stands_here(s3):
    told = {*ABSENT, *EMPTY, *SINCE_2023, *WITH_ID, "get_bucket_acl"}
    gets = {name for name in dir(s3) if name.startswith("get_bucket_")}
    assert gets <= told
