"""ACLs: canned ones, what they allow, how they are stored."""

import pytest

from objstore.iam import acl
from objstore.iam.acl import ALL_USERS, AUTHENTICATED_USERS, Acl, Grant
from objstore.iam.permissions import WantedAcl, WantedGrant, parse_acl_headers
from objstore.model import ANONYMOUS, Identity
from objstore.s3.documents.acl import Permission
from objstore.s3.errors import InvalidArgument, InvalidRequest
from objstore.s3.object_headers import CANNED_ACLS

OWNER = Identity("o" * 64, "owner", "", access_key="AKOWNER")
BUCKET_OWNER = Identity("b" * 64, "bucket owner", "", access_key="AKBUCKET")
OTHER = Identity("x" * 64, "other", "", access_key="AKOTHER")


@pytest.mark.parametrize(
    ("name", "identity", "permission", "is_allowed"),
    [
        ("private", OWNER, "READ", True),
        ("private", OWNER, "WRITE_ACP", True),
        ("private", BUCKET_OWNER, "READ", False),
        ("private", ANONYMOUS, "READ", False),
        ("public-read", ANONYMOUS, "READ", True),
        ("public-read", ANONYMOUS, "WRITE", False),
        ("public-read", ANONYMOUS, "READ_ACP", False),
        ("public-read-write", ANONYMOUS, "WRITE", True),
        ("authenticated-read", ANONYMOUS, "READ", False),
        ("authenticated-read", OTHER, "READ", True),
        ("authenticated-read", OTHER, "WRITE", False),
        ("bucket-owner-read", BUCKET_OWNER, "READ", True),
        ("bucket-owner-read", BUCKET_OWNER, "WRITE_ACP", False),
        ("bucket-owner-read", OTHER, "READ", False),
        ("bucket-owner-full-control", BUCKET_OWNER, "WRITE_ACP", True),
        ("log-delivery-write", OTHER, "WRITE", False),
        ("aws-exec-read", OTHER, "READ", False),
    ],
)
def test_what_canned_acls_allow(
    name: str, identity: Identity, permission: Permission, is_allowed: bool
) -> None:
    made = acl.canned(name, OWNER.user_id, BUCKET_OWNER.user_id)
    assert made is not None
    assert made.allows(identity, permission) is is_allowed


def test_every_canned_acl_is_known_and_comes_back_from_its_text() -> None:
    for name in CANNED_ACLS:
        made = acl.canned(name, OWNER.user_id, BUCKET_OWNER.user_id)
        assert made is not None
        assert acl.unpack(made.pack(), OWNER.user_id) == made
        assert made.is_public is (name in ("public-read", "public-read-write", "authenticated-read"))
    assert acl.canned("everybody", OWNER.user_id, OWNER.user_id) is None


def test_a_private_acl_is_no_text() -> None:
    assert acl.private(OWNER.user_id).pack() is None
    assert acl.unpack(None, OWNER.user_id) == acl.private(OWNER.user_id)
    assert acl.canned("bucket-owner-full-control", OWNER.user_id, OWNER.user_id) == acl.private(OWNER.user_id)


def test_the_owner_can_always_change_the_acl_but_not_read_the_object() -> None:
    empty = Acl(OWNER.user_id, ())
    assert empty.allows(OWNER, "READ_ACP")
    assert empty.allows(OWNER, "WRITE_ACP")
    assert not empty.allows(OWNER, "READ")
    assert empty.is_owners_alone


def test_public_grants_may_be_left_out_of_account() -> None:
    for group in (ALL_USERS, AUTHENTICATED_USERS):
        made = Acl(OWNER.user_id, (Grant("group", group, "READ"),))
        assert made.allows(OTHER, "READ")
        assert not made.allows(OTHER, "READ", ignores_public=True)
        assert not made.is_owners_alone
    named = Acl(OWNER.user_id, (Grant("user", OTHER.user_id, "READ"),))
    assert named.allows(OTHER, "READ", ignores_public=True)


def test_a_grant_to_the_anonymous_id_is_a_grant_to_nobody() -> None:
    made = Acl(ANONYMOUS.user_id, (Grant("user", ANONYMOUS.user_id, "FULL_CONTROL"),))
    assert not made.allows(ANONYMOUS, "READ")
    assert not made.allows(ANONYMOUS, "WRITE_ACP")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"x-amz-meta-acl": "a"}, None),
        ({"x-amz-acl": "private"}, WantedAcl("private")),
        (
            {"x-amz-grant-read": 'id="a", uri="http://b/c" ,emailAddress=d@e.org'},
            WantedAcl(
                grants=(
                    WantedGrant("id", "a", "READ"),
                    WantedGrant("uri", "http://b/c", "READ"),
                    WantedGrant("emailAddress", "d@e.org", "READ"),
                )
            ),
        ),
        (
            {"x-amz-grant-write-acp": "ID=a", "x-amz-grant-full-control": 'id="b"'},
            WantedAcl(grants=(WantedGrant("id", "a", "WRITE_ACP"), WantedGrant("id", "b", "FULL_CONTROL"))),
        ),
    ],
)
def test_headers_are_read(headers: dict[str, str], expected: WantedAcl | None) -> None:
    assert parse_acl_headers(headers) == expected


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ({"x-amz-grant-read": ""}, InvalidArgument),
        ({"x-amz-grant-read": "a"}, InvalidArgument),
        ({"x-amz-grant-read": "id="}, InvalidArgument),
        ({"x-amz-grant-read": 'name="a"'}, InvalidArgument),
        ({"x-amz-grant-read": 'id="a",'}, InvalidArgument),
        ({"x-amz-grant-read": 'id="a"', "x-amz-acl": "private"}, InvalidRequest),
    ],
)
def test_headers_that_make_no_sense_are_refused(headers: dict[str, str], error: type[Exception]) -> None:
    with pytest.raises(error):
        parse_acl_headers(headers)
