"""PutBucketPolicy, and what policies allow and deny."""

import json

import pytest

from tests.operations.refusals import refused
from tests.operations.sharing import open_up, policy, statement, with_acls

DENIED = (403, "AccessDenied")


def account_of(user_id: str) -> str:
    from objstore.iam.principals import account_id

    return account_id(user_id)


@pytest.fixture
def shared(s3, bucket):
    open_up(s3, bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    s3.put_object(Bucket=bucket, Key="other/key", Body=b"body")
    return bucket


def test_nobody_else_gets_in_without_a_policy(shared, other, anonymous):
    for client in (other, anonymous):
        assert refused(client.get_object, Bucket=shared, Key="key") == DENIED
        assert refused(client.put_object, Bucket=shared, Key="new", Body=b"") == DENIED
        assert refused(client.list_objects_v2, Bucket=shared) == DENIED


def test_everyone_may_do_what_is_allowed_to_everyone_and_nothing_else(s3, shared, other, anonymous):
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, "s3:GetObject")))
    for client in (other, anonymous):
        assert client.get_object(Bucket=shared, Key="key")["Body"].read() == b"body"
        assert client.head_object(Bucket=shared, Key="key")["ContentLength"] == 4
        assert refused(client.delete_object, Bucket=shared, Key="key") == DENIED
        assert refused(client.list_objects_v2, Bucket=shared) == DENIED
        assert refused(client.get_bucket_policy, Bucket=shared) == DENIED
    assert s3.get_object(Bucket=shared, Key="key")["Body"].read() == b"body"


@pytest.mark.parametrize("form", ["account", "root", "user", "name", "canonical"])
def test_a_user_may_be_named_in_every_form(s3, shared, other, anonymous, other_id, form):
    account = account_of(other_id)
    principal = {
        "account": {"AWS": account},
        "root": {"AWS": f"arn:aws:iam::{account}:root"},
        "user": {"AWS": [f"arn:aws:iam::{account}:user/other"]},
        "name": {"AWS": "arn:aws:iam:::user/other"},
        "canonical": {"CanonicalUser": other_id},
    }[form]
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, "s3:PutObject", principal)))
    other.put_object(Bucket=shared, Key="new", Body=b"new")
    assert s3.get_object(Bucket=shared, Key="new")["Body"].read() == b"new"
    assert refused(anonymous.put_object, Bucket=shared, Key="new", Body=b"") == DENIED


def test_an_explicit_deny_wins_even_over_the_owner_who_may_still_take_the_policy_back(s3, shared, other):
    deny = {**statement(shared, "s3:*"), "Effect": "Deny"}
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, "s3:*"), deny))
    for client in (s3, other):
        assert refused(client.get_object, Bucket=shared, Key="key") == DENIED
        assert refused(client.list_objects_v2, Bucket=shared) == DENIED
    assert refused(other.delete_bucket_policy, Bucket=shared) == DENIED
    assert json.loads(s3.get_bucket_policy(Bucket=shared)["Policy"])["Statement"][1]["Effect"] == "Deny"
    s3.delete_bucket_policy(Bucket=shared)
    assert s3.get_object(Bucket=shared, Key="key")["Body"].read() == b"body"


def test_a_missing_key_is_told_of_only_to_those_who_may_list(s3, shared, anonymous):
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, "s3:GetObject")))
    assert refused(anonymous.get_object, Bucket=shared, Key="none") == DENIED
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, ["s3:GetObject", "s3:ListBucket"])))
    assert refused(anonymous.get_object, Bucket=shared, Key="none") == (404, "NoSuchKey")


@pytest.mark.parametrize(
    ("condition", "arguments", "is_allowed"),
    [
        ({"StringEquals": {"s3:prefix": "other/"}}, {"Prefix": "other/"}, True),
        ({"StringEquals": {"s3:prefix": "other/"}}, {"Prefix": ""}, False),
        ({"StringEquals": {"s3:prefix": "other/"}}, {}, False),
        ({"StringLike": {"s3:prefix": "o*"}}, {"Prefix": "oth"}, True),
        ({"StringEquals": {"s3:delimiter": "/"}}, {"Delimiter": "/"}, True),
        ({"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"MaxKeys": 10}, True),
        ({"NumericLessThanEquals": {"s3:max-keys": "10"}}, {"MaxKeys": 11}, False),
        ({"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, {}, True),
        ({"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}, {}, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, {}, True),
        ({"Bool": {"aws:SecureTransport": "true"}}, {}, False),
        ({"DateGreaterThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, {}, True),
        ({"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}}, {}, False),
        ({"StringEquals": {"aws:username": "other"}}, {}, True),
        ({"StringEquals": {"aws:username": "another"}}, {}, False),
        ({"Null": {"aws:Referer": "true"}}, {}, True),
        ({"StringLike": {"aws:UserAgent": "*Boto3*"}}, {}, True),
        ({"StringEquals": {"s3:signatureversion": "AWS4-HMAC-SHA256"}}, {}, True),
    ],
)
def test_conditions_upon_a_listing(s3, shared, other, condition, arguments, is_allowed):
    s3.put_bucket_policy(
        Bucket=shared, Policy=policy(statement(shared, "s3:ListBucket", Condition=condition))
    )
    if is_allowed:
        other.list_objects_v2(Bucket=shared, **arguments)
    else:
        assert refused(other.list_objects_v2, Bucket=shared, **arguments) == DENIED


def test_each_user_gets_a_directory_by_a_policy_variable(s3, shared, other):
    resource = f"arn:aws:s3:::{shared}/${{aws:username}}/*"
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, "s3:GetObject", Resource=resource)))
    assert other.get_object(Bucket=shared, Key="other/key")["Body"].read() == b"body"
    assert refused(other.get_object, Bucket=shared, Key="key") == DENIED


def test_a_condition_may_ask_for_the_tags_an_object_has(s3, shared, other):
    s3.put_object(Bucket=shared, Key="open", Body=b"open", Tagging="security=public")
    s3.put_object(Bucket=shared, Key="secret", Body=b"secret", Tagging="security=private")
    condition = {"StringEquals": {"s3:ExistingObjectTag/security": "public"}}
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, "s3:GetObject", Condition=condition)))
    assert other.get_object(Bucket=shared, Key="open")["Body"].read() == b"open"
    for key in ("secret", "key"):
        assert refused(other.get_object, Bucket=shared, Key=key) == DENIED


def test_a_condition_may_ask_for_the_tags_an_object_would_get(s3, shared, other):
    condition = {"StringEquals": {"s3:RequestObjectTag/security": "public"}}
    actions = ["s3:PutObject", "s3:PutObjectTagging"]
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, actions, Condition=condition)))
    other.put_object(Bucket=shared, Key="new", Body=b"", Tagging="security=public")
    for tagging in ("security=private", ""):
        assert refused(other.put_object, Bucket=shared, Key="new", Body=b"", Tagging=tagging) == DENIED


def test_a_condition_may_ask_for_the_tags_an_object_is_to_have_instead(s3, shared, other):
    condition = {
        "StringEquals": {"s3:RequestObjectTag/security": "public"},
        "ForAllValues:StringEquals": {"s3:RequestObjectTagKeys": ["security", "team"]},
    }
    s3.put_bucket_policy(
        Bucket=shared, Policy=policy(statement(shared, "s3:PutObjectTagging", Condition=condition))
    )

    def tag(**tags):
        pairs = [{"Key": name, "Value": value} for name, value in tags.items()]
        other.put_object_tagging(Bucket=shared, Key="key", Tagging={"TagSet": pairs})

    tag(security="public")
    tag(security="public", team="a")
    assert refused(tag, security="private") == DENIED
    assert refused(tag, security="public", owner="a") == DENIED
    assert refused(tag) == DENIED
    tags = s3.get_object_tagging(Bucket=shared, Key="key")["TagSet"]
    assert {tag["Key"] for tag in tags} == {"security", "team"}


def test_uploads_may_be_held_to_headers(s3, shared, other):
    deny = {
        **statement(shared, "s3:PutObject", Resource=f"arn:aws:s3:::{shared}/*"),
        "Effect": "Deny",
        "Condition": {"StringNotEquals": {"s3:x-amz-storage-class": "STANDARD_IA"}},
    }
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, "s3:PutObject"), deny))
    other.put_object(Bucket=shared, Key="new", Body=b"", StorageClass="STANDARD_IA")
    assert refused(other.put_object, Bucket=shared, Key="new", Body=b"") == DENIED
    assert refused(s3.put_object, Bucket=shared, Key="new", Body=b"") == DENIED


def test_each_key_of_delete_objects_is_judged_by_itself(s3, shared, other):
    only = f"arn:aws:s3:::{shared}/other/*"
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, "s3:DeleteObject", Resource=only)))
    answer = other.delete_objects(Bucket=shared, Delete={"Objects": [{"Key": "key"}, {"Key": "other/key"}]})
    assert [deleted["Key"] for deleted in answer["Deleted"]] == ["other/key"]
    assert [(error["Key"], error["Code"]) for error in answer["Errors"]] == [("key", "AccessDenied")]
    assert s3.get_object(Bucket=shared, Key="key")["Body"].read() == b"body"


def test_a_copy_needs_the_source_read_and_the_target_written(s3, shared, other, bucket_name):
    own = f"{bucket_name}-own"
    other.create_bucket(Bucket=own)
    source = {"Bucket": shared, "Key": "key"}
    assert refused(other.copy_object, Bucket=own, Key="copy", CopySource=source) == DENIED
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, "s3:GetObject")))
    other.copy_object(Bucket=own, Key="copy", CopySource=source)
    assert refused(other.copy_object, Bucket=shared, Key="copy", CopySource=source) == DENIED
    condition = {"StringLike": {"s3:x-amz-copy-source": f"{shared}/other/*"}}
    s3.put_bucket_policy(
        Bucket=shared,
        Policy=policy(
            statement(shared, "s3:GetObject"), statement(shared, "s3:PutObject", Condition=condition)
        ),
    )
    assert refused(other.copy_object, Bucket=shared, Key="copy", CopySource=source) == DENIED
    other.copy_object(Bucket=shared, Key="copy", CopySource={"Bucket": shared, "Key": "other/key"})


def test_versions_have_actions_of_their_own(s3, shared, other):
    s3.put_bucket_versioning(Bucket=shared, VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket=shared, Key="key", Body=b"2")["VersionId"]
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, "s3:GetObject")))
    other.get_object(Bucket=shared, Key="key")["Body"].read()
    assert refused(other.get_object, Bucket=shared, Key="key", VersionId=version) == DENIED
    condition = {"StringEquals": {"s3:VersionId": version}}
    s3.put_bucket_policy(
        Bucket=shared, Policy=policy(statement(shared, "s3:GetObjectVersion", Condition=condition))
    )
    assert other.get_object(Bucket=shared, Key="key", VersionId=version)["Body"].read() == b"2"
    assert refused(other.get_object, Bucket=shared, Key="key", VersionId="null") == DENIED


def test_a_policy_says_nothing_of_objects_that_belong_to_others(s3, shared, other, anonymous):
    with_acls(s3, shared)
    s3.put_bucket_acl(Bucket=shared, ACL="public-read-write")
    other.put_object(Bucket=shared, Key="theirs", Body=b"theirs")
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, "s3:GetObject")))
    assert anonymous.get_object(Bucket=shared, Key="key")["Body"].read() == b"body"
    assert refused(anonymous.get_object, Bucket=shared, Key="theirs") == DENIED


def test_public_policies_are_refused_where_they_are_blocked(s3, bucket, other_id):
    public = policy(statement(bucket, "s3:GetObject"))
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=public) == DENIED
    assert refused(s3.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")
    named = policy(statement(bucket, "s3:GetObject", {"CanonicalUser": other_id}))
    s3.put_bucket_policy(Bucket=bucket, Policy=named)


@pytest.mark.parametrize(
    "change",
    [
        {"Effect": "Maybe"},
        {"Action": "s3:NoSuchAction"},
        {"Action": "ec2:RunInstances"},
        {"Principal": {"AWS": "nobody"}},
        {"Principal": {"AWS": "arn:aws:iam::*:root"}},
        {"Resource": "arn:aws:s3:::another-bucket/*"},
        {"Resource": "another thing"},
        {"Condition": {"StringEqualz": {"s3:prefix": "a"}}},
        {"Condition": {"StringEquals": {"s3:no-such-key": "a"}}},
        {"Condition": {"IpAddress": {"aws:SourceIp": "not an address"}}},
        {"Condition": {"NumericEquals": {"s3:max-keys": "many"}}},
        {"NotAction": "s3:GetObject"},
        {"Unknown": "field"},
    ],
)
def test_what_is_not_understood_is_refused(s3, bucket, change):
    document = policy({**statement(bucket, "s3:GetObject"), **change})
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=document) == (400, "MalformedPolicy")
    assert refused(s3.get_bucket_policy, Bucket=bucket) == (404, "NoSuchBucketPolicy")


@pytest.mark.parametrize(
    "document", ["", "not json", "[]", "{}", '{"Version": "2012-10-17", "Statement": []}']
)
def test_what_is_no_policy_is_refused(s3, bucket, document):
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=document) == (400, "MalformedPolicy")


def test_a_policy_has_at_most_20_kilobytes_besides_white_space(s3, bucket, other_id):
    who = {"CanonicalUser": other_id}
    fits = json.loads(policy(statement(bucket, "s3:GetObject", who)))
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(fits) + " " * 30_000)
    fits["Id"] = "x" * 20_480
    assert refused(s3.put_bucket_policy, Bucket=bucket, Policy=json.dumps(fits)) == (400, "MalformedPolicy")


def test_what_nobody_may_without_signing_whatever_is_allowed_to_everybody(s3, shared, anonymous):
    s3.put_bucket_policy(Bucket=shared, Policy=policy(statement(shared, "s3:*")))
    anonymous.put_object(Bucket=shared, Key="key", Body=b"")
    assert refused(anonymous.get_bucket_policy, Bucket=shared) == (405, "MethodNotAllowed")
    assert refused(anonymous.put_bucket_policy, Bucket=shared, Policy="{}") == (405, "MethodNotAllowed")
    assert refused(anonymous.delete_bucket_policy, Bucket=shared) == (405, "MethodNotAllowed")
    assert refused(anonymous.put_bucket_acl, Bucket=shared, ACL="private") == DENIED
    assert refused(anonymous.put_object_acl, Bucket=shared, Key="key", ACL="private") == DENIED
    assert refused(anonymous.get_bucket_ownership_controls, Bucket=shared) == DENIED
    assert refused(anonymous.delete_bucket_ownership_controls, Bucket=shared) == DENIED


def test_only_the_owner_puts_one_unless_allowed(s3, bucket, other, anonymous, other_id):
    document = policy(statement(bucket, "s3:*", {"CanonicalUser": other_id}))
    for client in (other, anonymous):
        assert refused(client.put_bucket_policy, Bucket=bucket, Policy=document) == DENIED
    assert refused(s3.put_bucket_policy, Bucket="no-such-bucket-here", Policy=document) == (
        404,
        "NoSuchBucket",
    )
