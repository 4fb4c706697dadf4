"""What services that act by themselves may put where."""

import json
from typing import Any

import pytest

from objstore.iam.authorise import Authoriser
from objstore.iam.principals import account_id
from objstore.iam.services import may_deliver_inventory, may_deliver_logs
from objstore.meta.commands import CreateBucket, SetSubresource
from objstore.model import Bucket
from tests.service.support import LocalFacts

OWNER, OTHER = "a" * 64, "b" * 64
SOURCE = Bucket(1, "source", OWNER, "us-east-1", 0)
LOGGING = {"Service": "logging.s3.amazonaws.com"}
STORAGE = {"Service": "s3.amazonaws.com"}
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"


class Still:
    """Configuration that never changes."""

    epoch = 0


def target(*statements: dict[str, Any], **given: bytes) -> tuple[Authoriser, Bucket]:
    """A bucket with these statements as its policy, and these subresources."""
    import asyncio

    facts = LocalFacts()

    async def make() -> Bucket:
        bucket: Bucket = await facts.write(CreateBucket("target", OWNER, "us-east-1"))
        documents = dict(given)
        if statements:
            documents["policy"] = json.dumps({"Version": "2012-10-17", "Statement": statements}).encode()
        for kind, document in documents.items():
            await facts.write(SetSubresource(bucket.id, kind, document))
        return bucket

    return Authoriser(facts, Still()), asyncio.run(make())


def statement(principal: Any, effect: str = "Allow", **changes: Any) -> dict[str, Any]:
    return {
        "Effect": effect,
        "Principal": principal,
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::target/*",
        **changes,
    }


def acl_is(name: str) -> dict[str, Any]:
    return {"StringEquals": {"s3:x-amz-acl": name}}


ARN = {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::source"}}
ACCOUNT = {"StringEquals": {"aws:SourceAccount": account_id(OWNER)}}
CASES = [
    ((), False, False),
    ((statement(LOGGING),), True, False),
    ((statement(STORAGE),), False, True),
    ((statement("*"),), True, True),
    ((statement({"AWS": f"arn:aws:iam::{account_id(OWNER)}:root"}),), False, False),
    ((statement(LOGGING, Condition=ARN),), True, False),
    ((statement(LOGGING, Condition={**ARN, **ACCOUNT}),), True, False),
    ((statement(LOGGING, Condition={"ArnLike": {"aws:SourceArn": "arn:aws:s3:::another"}}),), False, False),
    ((statement(LOGGING, Condition={"StringEquals": {"aws:SourceAccount": "1" * 12}}),), False, False),
    ((statement(LOGGING, Condition={"Bool": {"aws:PrincipalIsAWSService": "true"}}),), True, False),
    ((statement(LOGGING, Condition={"Bool": {"aws:SecureTransport": "true"}}),), True, False),
    ((statement(LOGGING, Condition={"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}),), False, False),
    ((statement(LOGGING, Resource="arn:aws:s3:::target/logs/*"),), True, False),
    ((statement(LOGGING, Resource="arn:aws:s3:::target/other/*"),), False, False),
    ((statement(LOGGING, Action="s3:GetObject"),), False, False),
    ((statement(LOGGING), statement("*", "Deny")), False, False),
    ((statement(LOGGING), statement(STORAGE, "Deny")), True, False),
    (
        (statement(STORAGE, Condition=acl_is("bucket-owner-full-control")),),
        False,
        True,
    ),
    ((statement(STORAGE, Condition=acl_is("private")),), False, False),
]


@pytest.mark.parametrize(("statements", "logs", "inventories"), CASES)
def test_the_policy_decides(statements, logs, inventories):
    authoriser, bucket = target(*statements)
    assert may_deliver_logs(authoriser, SOURCE, bucket, "logs/x") is logs
    assert may_deliver_inventory(authoriser, SOURCE, bucket, "logs/x") is inventories


def grants(*permissions: str) -> bytes:
    return json.dumps([["group", LOG_DELIVERY, permission] for permission in permissions]).encode()


@pytest.mark.parametrize(
    ("permissions", "expected"),
    [
        (("WRITE", "READ_ACP"), True),
        (("FULL_CONTROL",), True),
        (("WRITE",), False),
        (("READ_ACP",), False),
        (("READ", "READ_ACP"), False),
    ],
)
def test_the_log_delivery_group_s_grants(permissions, expected):
    authoriser, bucket = target(acl=grants(*permissions))
    assert may_deliver_logs(authoriser, SOURCE, bucket, "x") is expected
    assert not may_deliver_inventory(authoriser, SOURCE, bucket, "x")


def test_grants_count_for_nothing_where_acls_are_off_and_against_a_deny():
    rule = b"<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>"
    enforced = b"<OwnershipControls>" + rule + b"</OwnershipControls>"
    authoriser, bucket = target(acl=grants("WRITE", "READ_ACP"), ownershipControls=enforced)
    assert not may_deliver_logs(authoriser, SOURCE, bucket, "x")
    authoriser, bucket = target(statement(LOGGING, "Deny"), acl=grants("WRITE", "READ_ACP"))
    assert not may_deliver_logs(authoriser, SOURCE, bucket, "x")
