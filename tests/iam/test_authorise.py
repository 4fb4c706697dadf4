"""Who may do what, without a server: owners, root, others, objects of others, caching."""

import asyncio
import json
from typing import Any

import pytest

from objstore.iam.access import ENFORCED, OBJECT_WRITER
from objstore.iam.circumstances import Asked, Circumstances
from objstore.iam.permissions import AccessRules, Permissions, WantedAcl
from objstore.meta.commands import (
    CreateBucket,
    CreateUpload,
    PutVersion,
    SetAccountPublicAccessBlock,
    SetSubresource,
)
from objstore.model import (
    ANONYMOUS,
    INITIATOR,
    Attributes,
    Bucket,
    Encryption,
    EncryptionMethod,
    Identity,
)
from objstore.s3 import xml
from objstore.s3.documents import inventory
from objstore.s3.documents.access import (
    AbacStatus,
    OwnershipControls,
    OwnershipControlsRule,
    PublicAccessBlockConfiguration,
)
from objstore.s3.documents.control import TagResourceRequest
from objstore.s3.documents.locking import LegalHold, Retention
from objstore.s3.documents.tagging import Tag, Tagging
from objstore.s3.errors import AccessDenied, InvalidBucketAclWithBlockPublicAccess
from tests.service.support import LocalFacts

OWNER = Identity("a" * 64, "owner", "", access_key="AKOWNER")
OTHER = Identity("b" * 64, "other", "", access_key="AKOTHER")
THIRD = Identity("c" * 64, "third", "", access_key="AKTHIRD")
ROOT = Identity("f" * 64, "root", "", access_key="AKROOT", is_root=True)
EVERYBODY = (OWNER, OTHER, THIRD, ROOT, ANONYMOUS)


class Epoch:
    """An epoch that moves when told to."""

    def __init__(self) -> None:
        self.epoch = 0


class World:
    """One bucket of OWNER's, with objects `own` (of OWNER) and `theirs` (of OTHER)."""

    def __init__(self, ownership: str = ENFORCED, canned: str = "private") -> None:
        self.facts, self.shared = LocalFacts(), Epoch()
        self.permissions = Permissions(self.facts, self.shared, AccessRules(blocks_new_buckets=False))
        wanted = None if canned == "private" else WantedAcl(canned)
        kinds = asyncio.run(self.permissions.for_new_bucket(OWNER.user_id, ownership, wanted))
        command = CreateBucket("bucket", OWNER.user_id, "here", subresources=kinds)
        self.bucket: Bucket = self.write(command)
        for key, owner in (("own", OWNER), ("theirs", OTHER)):
            attributes = Attributes()
            self.write(PutVersion(self.bucket.id, key, 0, "etag", owner.user_id, attributes))

    def write(self, command: Any) -> Any:
        self.shared.epoch += 1
        return asyncio.run(self.facts.write(command))

    def put_policy(self, *statements: dict[str, Any]) -> None:
        document = json.dumps({"Version": "2012-10-17", "Statement": statements}).encode()
        self.write(SetSubresource(self.bucket.id, "policy", document))

    def allows(self, identity: Identity, action: str, key: str | None = None, **about: Any) -> bool:
        asked = Asked(identity, action, self.bucket, key, about=Circumstances(**about))
        return self.permissions.authoriser.is_allowed(asked)

    def allowed(self, action: str, key: str | None = None) -> set[str]:
        return {identity.name for identity in EVERYBODY if self.allows(identity, action, key)}


def statement(effect: str, action: str, principal: Any = "*") -> dict[str, Any]:
    resources = ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"]
    return {"Effect": effect, "Action": action, "Principal": principal, "Resource": resources}


@pytest.mark.parametrize("ownership", [ENFORCED, OBJECT_WRITER])
def test_a_bucket_is_its_owners_and_roots_alone(ownership: str) -> None:
    world = World(ownership)
    for action, key in (
        ("s3:ListBucket", None),
        ("s3:DeleteBucket", None),
        ("s3:PutBucketPolicy", None),
        ("s3:GetObject", "own"),
        ("s3:GetObject", "none"),
        ("s3:PutObject", "own"),
        ("s3:DeleteObject", "theirs"),
    ):
        assert world.allowed(action, key) == {"owner", "root"}, action


def test_the_service_is_for_whoever_has_said_who_they_are() -> None:
    authoriser = World().permissions.authoriser
    for identity in EVERYBODY:
        asked = Asked(identity, "s3:ListAllMyBuckets", None)
        assert authoriser.is_allowed(asked) is not identity.is_anonymous


def test_what_belongs_to_others_is_theirs_while_acls_are_on() -> None:
    assert World(OBJECT_WRITER).allowed("s3:GetObject", "theirs") == {"other", "root"}
    assert World(OBJECT_WRITER).allowed("s3:PutObjectAcl", "theirs") == {"other", "root"}
    assert World(ENFORCED).allowed("s3:GetObject", "theirs") == {"owner", "root"}


def test_bucket_acls_allow_listing_and_writing_but_not_reading() -> None:
    world = World(OBJECT_WRITER, "public-read-write")
    everybody = {identity.name for identity in EVERYBODY}
    assert world.allowed("s3:ListBucket") == world.allowed("s3:PutObject", "new") == everybody
    assert world.allowed("s3:GetObject", "own") == {"owner", "root"}
    assert world.allowed("s3:GetObject", "none") == everybody, "to be told that there is none"
    assert world.allowed("s3:PutBucketAcl") == {"owner", "root"}
    assert world.allowed("s3:PutLifecycleConfiguration") == {"owner", "root"}


def test_a_policy_allows_what_it_says() -> None:
    world = World()
    world.put_policy(statement("Allow", "s3:GetObject", {"CanonicalUser": OTHER.user_id}))
    assert world.allowed("s3:GetObject", "own") == {"owner", "other", "root"}
    assert world.allowed("s3:ListBucket") == {"owner", "root"}


def test_a_deny_holds_for_owner_and_root_but_not_upon_the_policy() -> None:
    world = World()
    world.put_policy(statement("Deny", "s3:*"))
    assert world.allowed("s3:GetObject", "own") == set()
    assert world.allowed("s3:PutBucketPublicAccessBlock") == set()
    for action in ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"):
        assert world.allowed(action) == {"owner", "root"}


def test_who_is_to_pay_must_say_so_and_be_known() -> None:
    world = World()
    world.put_policy(statement("Allow", "s3:GetObject"))
    payment = b"<RequestPaymentConfiguration><Payer>Requester</Payer></RequestPaymentConfiguration>"
    world.write(SetSubresource(world.bucket.id, "requestPayment", payment))
    assert world.allowed("s3:GetObject", "own") == {"owner", "root"}
    agreed = {"headers": {"x-amz-request-payer": "requester"}}
    assert world.allows(OTHER, "s3:GetObject", "own", **agreed)
    assert world.allows(OTHER, "s3:GetObject", "own", query={"x-amz-request-payer": "requester"})
    assert not world.allows(OTHER, "s3:GetObject", "own", headers={"x-amz-request-payer": "yes"})
    assert not world.allows(ANONYMOUS, "s3:GetObject", "own", **agreed)


def begin(world: World, identity: Identity, encryption: Encryption | None = None) -> dict[str, Any]:
    """Have `identity` begin an upload to the key "new"; what a request that belongs to it says."""
    attributes = Attributes(extra={INITIATOR: identity.user_id}, encryption=encryption)
    world.write(CreateUpload(world.bucket.id, "new", "1" * 32, OWNER.user_id, attributes))
    return {"query": {"uploadId": "1" * 32}}


def test_who_began_an_upload_may_abort_it_and_list_its_parts() -> None:
    world = World()
    about = begin(world, OTHER)
    for action in ("s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"):
        assert world.allows(OTHER, action, "new", **about)
        assert not world.allows(OTHER, action, "else", **about)
        assert not world.allows(OTHER, action, "new", query={"uploadId": "2" * 32})
        assert not world.allows(THIRD, action, "new", **about)
    assert not world.allows(OTHER, "s3:PutObject", "new", **about)
    world.put_policy(statement("Deny", "s3:AbortMultipartUpload", {"CanonicalUser": OTHER.user_id}))
    assert not world.allows(OTHER, "s3:AbortMultipartUpload", "new", **about)
    assert world.allows(OTHER, "s3:ListMultipartUploadParts", "new", **about)
    anonymously = World()
    about = begin(anonymously, ANONYMOUS)
    assert not anonymously.allows(ANONYMOUS, "s3:AbortMultipartUpload", "new", **about)


def test_parts_are_encrypted_as_their_upload_said() -> None:
    world = World()
    deny = statement("Deny", "s3:PutObject")
    key, key_id = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
    world.put_policy(
        {**statement("Allow", "s3:PutObject", {"CanonicalUser": OTHER.user_id}), "Sid": "1"},
        {**deny, "Sid": "2", "Condition": {"StringNotEquals": {key: "aws:kms"}}},
        {**deny, "Sid": "3", "Condition": {"StringNotEquals": {key_id: "key"}}},
    )
    assert not world.allows(OTHER, "s3:PutObject", "new")
    about = begin(world, OTHER, Encryption(EncryptionMethod.KMS, b"", key_id="key"))
    assert world.allows(OTHER, "s3:PutObject", "new", **about)
    assert not world.allows(OTHER, "s3:PutObject", "new", query={"uploadId": "2" * 32})
    plain = World()
    plain.put_policy({**deny, "Condition": {"Null": {key: "true"}}})
    assert not plain.allows(OWNER, "s3:PutObject", "new", **begin(plain, OWNER))


def test_a_new_bucket_is_not_public_where_its_owner_blocks_that() -> None:
    world = World()
    public = WantedAcl("public-read")
    made = world.permissions.for_new_bucket(OWNER.user_id, OBJECT_WRITER, public)
    assert "acl" in asyncio.run(made)
    block = PublicAccessBlockConfiguration(block_public_acls=True)
    world.write(SetAccountPublicAccessBlock(OWNER.user_id, xml.dumps(block)))
    with pytest.raises(InvalidBucketAclWithBlockPublicAccess):
        asyncio.run(world.permissions.for_new_bucket(OWNER.user_id, OBJECT_WRITER, public))
    asyncio.run(world.permissions.for_new_bucket(OTHER.user_id, OBJECT_WRITER, public))
    private = WantedAcl("private")
    asyncio.run(world.permissions.for_new_bucket(OWNER.user_id, OBJECT_WRITER, private))


def test_rules_are_read_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    reads = 0
    read_now = world.facts.read_now

    def counted(query: Any, *args: Any) -> Any:
        nonlocal reads
        reads += 1
        return read_now(query, *args)

    monkeypatch.setattr(world.facts, "read_now", counted)
    for _ in range(10):
        assert world.allows(OWNER, "s3:GetObject", "own")
    assert reads == 2, "the bucket's configuration and the account's"
    world.shared.epoch += 1
    assert world.allows(OWNER, "s3:GetObject", "own")
    assert reads == 4


def test_require_says_no_more_than_that_it_is_denied() -> None:
    world = World()
    with pytest.raises(AccessDenied) as refused:
        world.permissions.authoriser.require(Asked(OTHER, "s3:GetObject", world.bucket, "own"))
    assert refused.value.message == "Access Denied"
    assert not refused.value.elements


# ------------------------------------------------------------------------- what conditions are told


def allowing(key: str, value: str, action: str, operator: str = "StringEquals") -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"CanonicalUser": OTHER.user_id},
        "Action": action,
        "Resource": ["arn:aws:s3:::bucket", "arn:aws:s3:::bucket/*"],
        "Condition": {operator: {key: value}},
    }


class Tls:
    """A connection of TLS 1.3."""

    def version(self) -> str:
        return "TLSv1.3"


RETENTION = Retention(mode="GOVERNANCE", retain_until_date=1_893_456_000_000)  # 2030-01-01
TAGS = Tagging(tags=(Tag(key="team", value="a"),))
INVENTORY = inventory.InventoryConfiguration(
    id="list",
    is_enabled=True,
    included_object_versions="All",
    schedule=inventory.Schedule(frequency="Daily"),
    optional_fields=("Size",),
    destination=inventory.Destination(
        s3_bucket_destination=inventory.S3BucketDestination(bucket="arn:aws:s3:::lists", format="CSV")
    ),
)
TOLD = [
    # key, operator, value, action, object, what the request says
    ("s3:TlsVersion", "NumericGreaterThan", "1.2", "s3:GetObject", "own", {"tls": Tls()}),
    ("s3:x-amz-content-sha256", "StringEquals", "UNSIGNED-PAYLOAD", "s3:GetObject", "own",
     {"query": {"X-Amz-Signature": "0"}}),
    ("s3:authType", "StringEquals", "REST-HEADER", "s3:GetObject", "own",
     {"headers": {"authorization": "AWS4-HMAC-SHA256 …"}}),
    ("s3:if-none-match", "Null", "false", "s3:PutObject", "new", {"headers": {"if-none-match": "*"}}),
    ("s3:x-amz-storage-class", "StringEquals", "STANDARD", "s3:PutObject", "new",
     {"headers": {"x-amz-storage-class": "STANDARD"}}),
    ("s3:AnnotationName", "StringEquals", "note", "s3:GetObjectAnnotation", "own",
     {"query": {"annotationName": "note"}}),
    ("s3:RequestObjectTag/team", "StringEquals", "a", "s3:PutObjectTagging", "own", {"document": TAGS}),
    ("s3:RequestObjectTagKeys", "ForAllValues:StringEquals", "team", "s3:PutObjectTagging", "own",
     {"document": TAGS}),
    ("aws:RequestTag/team", "StringEquals", "a", "s3:PutBucketTagging", None, {"document": TAGS}),
    ("aws:RequestTag/team", "StringEquals", "a", "s3:TagResource", None,
     {"document": TagResourceRequest(tags=TAGS.tags)}),
    ("aws:TagKeys", "ForAnyValue:StringEquals", "team", "s3:TagResource", None,
     {"document": TagResourceRequest(tags=TAGS.tags)}),
    ("aws:TagKeys", "ForAnyValue:StringEquals", "team", "s3:UntagResource", None,
     {"query": {"tagKeys": "cost,team"}}),
    ("s3:object-lock-mode", "StringEquals", "GOVERNANCE", "s3:PutObjectRetention", "own",
     {"document": RETENTION}),
    ("s3:object-lock-retain-until-date", "DateLessThan", "2031-01-01T00:00:00Z", "s3:PutObjectRetention",
     "own", {"document": RETENTION}),
    ("s3:object-lock-remaining-retention-days", "NumericLessThan", "100000", "s3:PutObjectRetention", "own",
     {"document": RETENTION}),
    ("s3:object-lock-legal-hold", "StringEquals", "ON", "s3:PutObjectLegalHold", "own",
     {"document": LegalHold(status="ON")}),
    ("s3:x-amz-object-ownership", "StringEquals", "ObjectWriter", "s3:PutBucketOwnershipControls", None,
     {"document": OwnershipControls(rules=(OwnershipControlsRule(object_ownership="ObjectWriter"),))}),
    ("s3:InventoryAccessibleOptionalFields", "ForAllValues:StringEquals", "Size",
     "s3:PutInventoryConfiguration", None, {"document": INVENTORY}),
    ("aws:UserAgent", "StringLike", "curl/*", "s3:GetObject", "own", {"headers": {"user-agent": "curl/8"}}),
    ("aws:ResourceAccount", "StringNotEquals", "000000000000", "s3:GetObject", "own", {}),
    ("aws:PrincipalType", "StringEquals", "User", "s3:GetObject", "own", {}),
    ("aws:username", "StringEquals", "other", "s3:GetObject", "own", {}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "operator", "value", "action", "about_key", "about"), TOLD)
def test_a_condition_is_told_what_the_request_says(key, operator, value, action, about_key, about):
    world = World()
    world.put_policy(allowing(key, value, action, operator))
    assert world.allows(OTHER, action, about_key, **about)
    silent = ("aws:ResourceAccount", "aws:PrincipalType", "aws:username")
    if key not in silent and not operator.startswith("ForAll"):
        assert not world.allows(OTHER, action, about_key)


def test_tags_of_the_bucket_count_only_with_abac():
    world = World()
    for key in ("aws:ResourceTag/team", "s3:BucketTag/team"):
        world.put_policy(allowing(key, "a", "s3:ListBucket"))
        world.write(SetSubresource(world.bucket.id, "tagging", xml.dumps(TAGS)))
        world.write(SetSubresource(world.bucket.id, "abac", None))
        assert not world.allows(OTHER, "s3:ListBucket")
        world.write(SetSubresource(world.bucket.id, "abac", xml.dumps(AbacStatus(status="Enabled"))))
        assert world.allows(OTHER, "s3:ListBucket")
        world.write(SetSubresource(world.bucket.id, "tagging", None))
        assert not world.allows(OTHER, "s3:ListBucket")
