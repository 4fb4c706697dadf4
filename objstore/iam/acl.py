"""Access control lists: canned ones, grants, and what they allow. Pure.

An ACL belongs to a bucket or to one version of an object, whose owner it names; stored it is without the
owner, as text (`pack`). No text at all is the canned ACL "private".
Source: Amazon S3 User Guide, "Access control list (ACL) overview".
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from objstore.model import Identity
from objstore.s3.documents.acl import Permission

GRANTS_MAX: Final = 100
ALL_USERS: Final = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS: Final = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
LOG_DELIVERY: Final = "http://acs.amazonaws.com/groups/s3/LogDelivery"
GROUPS: Final = frozenset({ALL_USERS, AUTHENTICATED_USERS, LOG_DELIVERY})
PUBLIC_GROUPS: Final = frozenset({ALL_USERS, AUTHENTICATED_USERS})
EC2_BUNDLES: Final = "6aa5a366c34c1cbe25dc49211496e913e0351eb0e8c37aa3477e40942ec6b97c"
"""The canonical id that aws-exec-read lets read: Amazon EC2, for its machine images."""

GRANT_HEADERS: Final[Mapping[str, Permission]] = {
    "x-amz-grant-read": "READ",
    "x-amz-grant-write": "WRITE",
    "x-amz-grant-read-acp": "READ_ACP",
    "x-amz-grant-write-acp": "WRITE_ACP",
    "x-amz-grant-full-control": "FULL_CONTROL",
}

BUCKET_PERMISSIONS: Final[Mapping[str, Permission]] = {
    "s3:ListBucket": "READ",
    "s3:ListBucketVersions": "READ",
    "s3:ListBucketMultipartUploads": "READ",
    "s3:PutObject": "WRITE",
    "s3:DeleteObject": "WRITE",
    "s3:ListMultipartUploadParts": "WRITE",
    "s3:AbortMultipartUpload": "WRITE",
    "s3:GetBucketAcl": "READ_ACP",
    "s3:PutBucketAcl": "WRITE_ACP",
}
"""The permission in a bucket's ACL that allows an action; an action not named here none allows."""
OBJECT_PERMISSIONS: Final[Mapping[str, Permission]] = {
    "s3:GetObject": "READ",
    "s3:GetObjectVersion": "READ",
    "s3:GetObjectAttributes": "READ",
    "s3:GetObjectVersionAttributes": "READ",
    "s3:GetObjectAcl": "READ_ACP",
    "s3:GetObjectVersionAcl": "READ_ACP",
    "s3:PutObjectAcl": "WRITE_ACP",
    "s3:PutObjectVersionAcl": "WRITE_ACP",
}
"""The same, in an object's ACL."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One permission for a user (by canonical id) or a group (by URI)."""

    kind: Literal["user", "group"]
    grantee: str
    permission: Permission

    def is_for(self, identity: Identity) -> bool:
        """Whether `identity` is the user, or one of the group."""
        if self.kind == "user":
            return self.grantee == identity.user_id and not identity.is_anonymous
        if self.grantee == ALL_USERS:
            return True
        return self.grantee == AUTHENTICATED_USERS and not identity.is_anonymous

    @property
    def is_public(self) -> bool:
        """Whether it is for people nobody named."""
        return self.kind == "group" and self.grantee in PUBLIC_GROUPS


@dataclass(frozen=True, slots=True)
class Acl:
    """Who may do what, besides what the owner always may (read and change the ACL itself)."""

    owner_id: str
    grants: tuple[Grant, ...]

    def allows(self, identity: Identity, permission: Permission, *, ignores_public: bool = False) -> bool:
        """Whether `identity` is granted `permission`; public grants may be left out of account."""
        is_own = identity.user_id == self.owner_id and not identity.is_anonymous
        if is_own and permission in ("READ_ACP", "WRITE_ACP"):
            return True
        return any(
            grant.permission in (permission, "FULL_CONTROL")
            and grant.is_for(identity)
            and not (ignores_public and grant.is_public)
            for grant in self.grants
        )

    @property
    def is_public(self) -> bool:
        """Whether any grant is for people nobody named."""
        return any(grant.is_public for grant in self.grants)

    @property
    def is_owners_alone(self) -> bool:
        """Whether it grants nothing to anybody but the owner."""
        return all((grant.kind, grant.grantee) == ("user", self.owner_id) for grant in self.grants)

    def pack(self) -> str | None:
        """The grants as text for `unpack`; None for a private ACL."""
        if self == private(self.owner_id):
            return None
        array = [[grant.kind, grant.grantee, grant.permission] for grant in self.grants]
        return json.dumps(array, separators=(",", ":"))


def unpack(text: str | bytes | None, owner_id: str) -> Acl:
    """The ACL that `pack` wrote."""
    if text is None:
        return private(owner_id)
    return Acl(owner_id, tuple(Grant(*array) for array in json.loads(text)))


def private(owner_id: str) -> Acl:
    """What everything has that was given no other: full control for its owner."""
    return Acl(owner_id, (Grant("user", owner_id, "FULL_CONTROL"),))


def canned(name: str, owner_id: str, bucket_owner_id: str) -> Acl | None:
    """The canned ACL of this name for an object (or bucket) of `owner_id`; None for an unknown name.

    Groups come first and the bucket's owner last, which is where clients that compare lists, not sets,
    expect them.
    """
    extra = _CANNED.get(name)
    if extra is None:
        return None
    grants = [*extra, *private(owner_id).grants]
    if bucket_owner_id != owner_id:
        if name == "bucket-owner-read":
            grants.append(Grant("user", bucket_owner_id, "READ"))
        elif name == "bucket-owner-full-control":
            grants.append(Grant("user", bucket_owner_id, "FULL_CONTROL"))
    return Acl(owner_id, tuple(grants))


def _groups(*pairs: tuple[str, Permission]) -> tuple[Grant, ...]:
    return tuple(Grant("group", group, permission) for group, permission in pairs)


_CANNED: Final[Mapping[str, Iterable[Grant]]] = {
    "private": (),
    "public-read": _groups((ALL_USERS, "READ")),
    "public-read-write": _groups((ALL_USERS, "READ"), (ALL_USERS, "WRITE")),
    "authenticated-read": _groups((AUTHENTICATED_USERS, "READ")),
    "aws-exec-read": (Grant("user", EC2_BUNDLES, "READ"),),
    "bucket-owner-read": (),
    "bucket-owner-full-control": (),
    "log-delivery-write": _groups((LOG_DELIVERY, "WRITE"), (LOG_DELIVERY, "READ_ACP")),
}
