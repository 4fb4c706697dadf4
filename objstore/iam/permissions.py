"""Policies, ACLs and ownership as clients put and get them. What they mean for a request: iam/authorise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, Protocol, cast

from objstore.iam import acl
from objstore.iam.access import ACL, ENFORCED, OBJECT_WRITER, POLICY, PREFERRED, Epoch, PublicAccessBlock
from objstore.iam.acl import GRANT_HEADERS, GRANTS_MAX, Acl, Grant
from objstore.iam.authorise import OBJECT_ACL, Authoriser, object_acl, owns
from objstore.iam.policy import parse_policy
from objstore.iam.services import may_deliver_logs
from objstore.meta import queries
from objstore.meta.commands import SetAccountPublicAccessBlock, SetExtraAttribute, SetSubresource
from objstore.meta.interface import Command
from objstore.model import ANONYMOUS, Attributes, Bucket, Identity, ObjectVersion, User
from objstore.s3 import xml
from objstore.s3.documents.access import (
    OwnershipControls,
    OwnershipControlsRule,
    PublicAccessBlockConfiguration,
)
from objstore.s3.documents.acl import AccessControlPolicy, Grantee, Permission
from objstore.s3.documents.logging import LoggingEnabled
from objstore.s3.errors import (
    AccessControlListNotSupported,
    AccessDenied,
    InvalidArgument,
    InvalidBucketAclWithBlockPublicAccess,
    InvalidBucketAclWithObjectOwnership,
    InvalidRequest,
    InvalidTargetBucketForLogging,
    MalformedACL,
    NoSuchBucketPolicy,
    NoSuchPublicAccessBlockConfiguration,
    UnresolvableGrantByEmailAddress,
)

Kind = Literal["id", "uri", "emailAddress"]
_KINDS: Final[Mapping[str, Kind]] = {"id": "id", "uri": "uri", "emailaddress": "emailAddress"}
_BUCKET_OWNER_FULL_CONTROL: Final = "bucket-owner-full-control"
_OBJECTS_ONLY: Final = frozenset({"bucket-owner-read", _BUCKET_OWNER_FULL_CONTROL})


ACL_HEADERS: Final = frozenset({"x-amz-acl", *GRANT_HEADERS})
"""The headers that say what an ACL shall be."""


class WantedGrant(NamedTuple):
    """A grant as a client writes it, the grantee not looked up yet."""

    kind: Kind
    grantee: str
    permission: Permission


@dataclass(frozen=True, slots=True)
class WantedAcl:
    """An ACL as a client asks for it: a canned one, or grants."""

    canned: str | None = None
    grants: tuple[WantedGrant, ...] = ()
    is_document: bool = False
    """Asked for in a document, not in headers: refusals name the elements."""


@dataclass(frozen=True, slots=True)
class NewObjectAccess:
    """Who owns a new object, and its packed ACL (None: private)."""

    owner_id: str
    acl: str | None = None

    def added_to(self, attributes: Attributes) -> Attributes:
        """The attributes of the object, its ACL among them."""
        if self.acl is None:
            return attributes
        return replace(attributes, extra={**attributes.extra, OBJECT_ACL: self.acl})


@dataclass(frozen=True, slots=True)
class AccessRules:
    """What this server gives and shows."""

    blocks_new_buckets: bool = True
    """A new bucket has ACLs off and public access blocked, as on AWS since April 2023."""
    shows_display_names: bool = False
    """Owners and grantees have a DisplayName, as on AWS until November 2025."""


class Facts(Protocol):
    """The part of `meta.client.Metadata` that is used here."""

    async def write(self, command: Any) -> Any:
        """Have a command decided and committed; its result."""
        ...

    async def read(self, query: Any, *args: Any) -> Any:
        """What a query finds."""
        ...

    def read_now(self, query: Any, *args: Any) -> Any:
        """The same, inline: for point lookups."""
        ...


class Permissions:
    """Who may do what in all buckets, as far as clients configure it."""

    def __init__(
        self,
        facts: Facts,
        shared: Epoch,
        rules: AccessRules = AccessRules(),
    ) -> None:
        self.authoriser = Authoriser(facts, shared)
        self._facts = facts
        self._shared = shared
        self._rules = rules
        self._names: dict[str, str | None] = {}
        self._names_epoch = -1

    # Policies

    def policy(self, bucket: Bucket) -> bytes:
        """The bucket's policy, as it was put. Raises NoSuchBucketPolicy."""
        document: bytes | None = self._facts.read_now(queries.subresource, bucket.id, POLICY)
        if document is None:
            raise NoSuchBucketPolicy(BucketName=bucket.name)
        return document

    def policy_is_public(self, bucket: Bucket) -> bool:
        """Whether the bucket's policy lets the public in. Raises NoSuchBucketPolicy."""
        policy = self.authoriser.access_of(bucket).policy
        if policy is None:
            raise NoSuchBucketPolicy(BucketName=bucket.name)
        return policy.is_public

    async def put_policy(self, bucket: Bucket, document: bytes) -> None:
        """Keep a policy. Raises MalformedPolicy; AccessDenied for a public one where these are blocked."""
        policy = parse_policy(document, bucket.name)
        if policy.is_public and self.authoriser.access_of(bucket).block.public_policy:
            raise AccessDenied
        await self._facts.write(SetSubresource(bucket.id, POLICY, document))

    async def delete_policy(self, bucket: Bucket) -> None:
        """Forget the bucket's policy; none there is no error."""
        await self._facts.write(SetSubresource(bucket.id, POLICY, None))

    # Ownership and public access

    def check_ownership(self, bucket: Bucket, document: OwnershipControls) -> None:
        """ACLs cannot be turned off while the bucket's grants others something.

        Raises InvalidBucketAclWithObjectOwnership.
        """
        if not any(rule.object_ownership == ENFORCED for rule in document.rules):
            return
        if not self.authoriser.access_of(bucket).acl.is_owners_alone:
            raise InvalidBucketAclWithObjectOwnership

    def account_block(self, owner_id: str) -> PublicAccessBlockConfiguration:
        """What is blocked in all of an owner's buckets. Raises NoSuchPublicAccessBlockConfiguration."""
        document = self._facts.read_now(queries.account_public_access_block, owner_id)
        if document is None:
            raise NoSuchPublicAccessBlockConfiguration
        return xml.parse(PublicAccessBlockConfiguration, document)

    def _account_blocks_acls(self, owner_id: str) -> bool:
        document = self._facts.read_now(queries.account_public_access_block, owner_id)
        return PublicAccessBlock.of(document).public_acls

    async def set_account_block(self, owner_id: str, document: PublicAccessBlockConfiguration | None) -> None:
        """Block public access to all of an owner's buckets, or (None) no longer."""
        packed = None if document is None else xml.dumps(document)
        await self._facts.write(SetAccountPublicAccessBlock(owner_id, packed))

    # New buckets and objects

    async def for_new_bucket(
        self, owner_id: str, ownership: str | None, wanted: WantedAcl | None
    ) -> dict[str, bytes]:
        """The configuration that a bucket has from the first moment, by kind.

        `ownership` None: this server's default. Raises InvalidBucketAclWithObjectOwnership,
        InvalidBucketAclWithBlockPublicAccess, and what `resolve` raises.
        """
        blocks = self._rules.blocks_new_buckets
        if ownership is None and blocks:
            ownership = ENFORCED
        given: dict[str, bytes] = {}
        if ownership is not None:
            given["ownershipControls"] = xml.dumps(_ownership(ownership))
        if blocks:
            given["publicAccessBlock"] = xml.dumps(_ALL_BLOCKED)
        if wanted is None or wanted == WantedAcl(canned="private"):
            return given
        made = await self._resolve(wanted, owner_id, owner_id)
        if ownership == ENFORCED:
            raise InvalidBucketAclWithObjectOwnership
        if made.is_public and (blocks or self._account_blocks_acls(owner_id)):
            raise InvalidBucketAclWithBlockPublicAccess
        packed = made.pack()
        return given if packed is None else {**given, ACL: packed.encode()}

    async def for_new_object(
        self, bucket: Bucket, identity: Identity, wanted: WantedAcl | None
    ) -> NewObjectAccess:
        """Who owns an object that `identity` puts, and its ACL.

        Raises AccessControlListNotSupported, AccessDenied (public where that is blocked), and what `resolve`
        raises.
        """
        access = self.authoriser.access_of(bucket)
        if not access.has_acls:
            if wanted is not None:
                _check_without_acls(wanted, bucket, identity)
            return NewObjectAccess(bucket.owner_id)
        owner_id = identity.user_id
        if (
            access.ownership == PREFERRED
            and wanted is not None
            and wanted.canned == _BUCKET_OWNER_FULL_CONTROL
        ):
            owner_id = bucket.owner_id
        if wanted is None:
            return NewObjectAccess(owner_id)
        made = await self._resolve(wanted, owner_id, bucket.owner_id)
        if made.is_public and access.block.public_acls:
            raise AccessDenied
        return NewObjectAccess(owner_id, made.pack())

    # Access logs

    async def check_log_target(self, source: Bucket, target: Bucket, wanted: LoggingEnabled) -> None:
        """Refuse a target where ACLs count and which does not let logs be delivered.

        Raises InvalidTargetBucketForLogging; AccessControlListNotSupported (grants, where ACLs are turned
        off), and what `resolve` raises.
        """
        access = self.authoriser.access_of(target)
        if not access.has_acls:
            if wanted.target_grants:
                raise AccessControlListNotSupported
            return
        await self._resolve(_of_target_grants(wanted), target.owner_id, target.owner_id)
        if not may_deliver_logs(self.authoriser, source, target, wanted.target_prefix):
            raise InvalidTargetBucketForLogging(
                "You must give the log-delivery group WRITE and READ_ACP permissions to the target bucket",
                TargetBucket=target.name,
            )

    async def for_new_log(self, target: Bucket, wanted: LoggingEnabled) -> NewObjectAccess:
        """Who owns an object with lines of an access log, and its ACL: its bucket's owner's, and the grants
        that the configuration asks for, where ACLs count. Raises what `resolve` raises."""
        if not wanted.target_grants or not self.authoriser.access_of(target).has_acls:
            return NewObjectAccess(target.owner_id)
        made = await self._resolve(_of_target_grants(wanted), target.owner_id, target.owner_id)
        grants = (*acl.private(target.owner_id).grants, *made.grants)
        return NewObjectAccess(target.owner_id, Acl(target.owner_id, tuple(dict.fromkeys(grants))).pack())

    # ACLs

    def bucket_acl(self, bucket: Bucket) -> Acl:
        """The bucket's ACL; where ACLs are off, its owner's alone."""
        access = self.authoriser.access_of(bucket)
        return access.acl if access.has_acls else acl.private(bucket.owner_id)

    def object_acl(self, bucket: Bucket, version: ObjectVersion) -> Acl:
        """A version's ACL; where ACLs are off, the bucket owner's alone."""
        has_acls = self.authoriser.access_of(bucket).has_acls
        return object_acl(version) if has_acls else acl.private(bucket.owner_id)

    def shown_owner(self, bucket: Bucket, owner_id: str) -> str:
        """Whose an object of `owner_id` is: where ACLs are off, everything is the bucket owner's."""
        return owner_id if self.authoriser.access_of(bucket).has_acls else bucket.owner_id

    async def put_bucket_acl(self, bucket: Bucket, wanted: WantedAcl | AccessControlPolicy) -> None:
        """Replace the bucket's ACL.

        Raises AccessControlListNotSupported, AccessDenied (public where that is blocked, another owner),
        InvalidArgument, MalformedACL, UnresolvableGrantByEmailAddress.
        """
        if isinstance(wanted, WantedAcl) and wanted.canned in _OBJECTS_ONLY:
            raise _unknown_canned(wanted.canned)
        made = await self._new_acl(bucket, bucket.owner_id, wanted)
        packed = made.pack()
        document = None if packed is None else packed.encode()
        await self._facts.write(SetSubresource(bucket.id, ACL, document))

    async def put_object_acl(
        self,
        bucket: Bucket,
        version: ObjectVersion,
        wanted: WantedAcl | AccessControlPolicy,
        announced: Callable[[SetExtraAttribute], Command[ObjectVersion]],
    ) -> None:
        """Replace a version's ACL. `announced` adds who is told of it: nobody, of one that stays as it was.
        Raises as `put_bucket_acl` does."""
        made = await self._new_acl(bucket, version.owner_id, wanted)
        command = SetExtraAttribute(bucket.id, version.key, version.version_id, OBJECT_ACL, made.pack())
        is_changed = made != self.object_acl(bucket, version)
        await self._facts.write(announced(command) if is_changed else command)

    async def _new_acl(self, bucket: Bucket, owner_id: str, wanted: WantedAcl | AccessControlPolicy) -> Acl:
        access = self.authoriser.access_of(bucket)
        if isinstance(wanted, AccessControlPolicy):
            if wanted.owner is None or wanted.grants is None:
                raise MalformedACL
            if wanted.owner.id != (owner_id if access.has_acls else bucket.owner_id):
                await self._check_known(wanted.owner.id or "", "CanonicalUser/ID")
                raise AccessDenied
            wanted = _of_document(wanted)
        made = await self._resolve(wanted, owner_id, bucket.owner_id)
        if not access.has_acls:
            if not wanted.is_document:
                raise AccessControlListNotSupported
            _check_without_acls(wanted, bucket, ANONYMOUS)  # s3cmd puts back what it got: that holds
            return acl.private(bucket.owner_id)
        if made.is_public and access.block.public_acls:
            raise AccessDenied
        return made

    async def _resolve(self, wanted: WantedAcl, owner_id: str, bucket_owner_id: str) -> Acl:
        """The ACL that is asked for, its grantees looked up.

        Raises InvalidArgument, MalformedACL (too many grants), UnresolvableGrantByEmailAddress.
        """
        if wanted.canned is not None:
            made = acl.canned(wanted.canned, owner_id, bucket_owner_id)
            if made is None:
                raise _unknown_canned(wanted.canned)
            return made
        if len(wanted.grants) > GRANTS_MAX:
            raise MalformedACL
        grants = [await self._grant(each, owner_id, wanted.is_document) for each in wanted.grants]
        return Acl(owner_id, tuple(dict.fromkeys(grants)))

    async def _grant(self, wanted: WantedGrant, owner_id: str, is_document: bool) -> Grant:
        if wanted.kind == "uri":
            if wanted.grantee not in acl.GROUPS:
                raise InvalidArgument(
                    "Invalid group uri",
                    ArgumentName="Group/URI" if is_document else "uri",
                    ArgumentValue=ascii(wanted.grantee)[1:-1],
                )
            return Grant("group", wanted.grantee, wanted.permission)
        if wanted.kind == "emailAddress":
            user: User | None = await self._facts.read(queries.user_by_email, wanted.grantee)
            if user is None:
                raise UnresolvableGrantByEmailAddress(
                    ArgumentName="email", ArgumentValue=ascii(wanted.grantee)[1:-1]
                )
            return Grant("user", user.id, wanted.permission)
        if wanted.grantee not in (owner_id, acl.EC2_BUNDLES):
            await self._check_known(wanted.grantee, "CanonicalUser/ID" if is_document else "id")
        return Grant("user", wanted.grantee, wanted.permission)

    async def _check_known(self, user_id: str, argument: str) -> None:
        """Raises InvalidArgument, naming `argument`, where nobody has this canonical id."""
        known: User | None = await self._facts.read(queries.user_by_id, user_id)
        if known is None:
            raise InvalidArgument("Invalid id", ArgumentName=argument, ArgumentValue=ascii(user_id)[1:-1])

    def display_name(self, user_id: str) -> str | None:
        """The name shown beside a canonical id; None where names are not shown, or nobody has the id."""
        if not self._rules.shows_display_names:
            return None
        epoch = self._shared.epoch
        if epoch != self._names_epoch:
            self._names.clear()
            self._names_epoch = epoch
        if user_id not in self._names:
            user: User | None = self._facts.read_now(queries.user_by_id, user_id)
            self._names[user_id] = None if user is None else user.display_name
        return self._names[user_id]


_ALL_BLOCKED: Final = PublicAccessBlockConfiguration(
    block_public_acls=True, ignore_public_acls=True, block_public_policy=True, restrict_public_buckets=True
)


def _ownership(name: str) -> OwnershipControls:
    assert name in (ENFORCED, PREFERRED, OBJECT_WRITER)
    return OwnershipControls(rules=(OwnershipControlsRule(object_ownership=cast(Any, name)),))


def _unknown_canned(name: str) -> InvalidArgument:
    return InvalidArgument(ArgumentName="x-amz-acl", ArgumentValue=ascii(name)[1:-1])


def _check_without_acls(wanted: WantedAcl, bucket: Bucket, identity: Identity) -> None:
    """Where ACLs are off, one may be given that says what holds anyway.

    Raises AccessControlListNotSupported, InvalidArgument.
    """
    if wanted.canned is not None:
        if acl.canned(wanted.canned, bucket.owner_id, bucket.owner_id) is None:
            raise _unknown_canned(wanted.canned)
        says_nothing_new = wanted.canned == _BUCKET_OWNER_FULL_CONTROL or (
            wanted.canned == "private" and owns(identity, bucket)
        )
    else:
        says_nothing_new = set(wanted.grants) == {WantedGrant("id", bucket.owner_id, "FULL_CONTROL")}
    if not says_nothing_new:
        raise AccessControlListNotSupported


# --- what clients write ------------------------------------------------------------------------------


def parse_acl_headers(headers: Mapping[str, str]) -> WantedAcl | None:
    """The ACL that x-amz-acl or the x-amz-grant-* headers ask for; None without them.

    Raises InvalidArgument, InvalidRequest (both at once).
    """
    if ACL_HEADERS.isdisjoint(headers):
        return None
    canned = headers.get("x-amz-acl")
    given = [(permission, headers[name]) for name, permission in GRANT_HEADERS.items() if name in headers]
    if canned is not None and given:
        raise InvalidRequest("Specifying both Canned ACLs and Header Grants is not allowed")
    grants = [grant for permission, text in given for grant in _grants_of_header(permission, text)]
    return WantedAcl(canned, tuple(grants))


def _grants_of_header(permission: Permission, text: str) -> Sequence[WantedGrant]:
    """`id="…", uri="…", emailAddress="…"`; the quotes may be missing."""
    grants = []
    for entry in text.split(","):
        kind, equals, value = entry.strip().partition("=")
        value = value.strip().removeprefix('"').removesuffix('"')
        if not equals or not value or kind.strip().lower() not in _KINDS:
            raise InvalidArgument(
                "Argument format not recognized",
                ArgumentName=next(name for name, each in GRANT_HEADERS.items() if each == permission),
                ArgumentValue=ascii(text)[1:-1],
            )
        grants.append(WantedGrant(_KINDS[kind.strip().lower()], value, permission))
    return grants


def _of_document(document: AccessControlPolicy) -> WantedAcl:
    """Raises MalformedACL for a grantee without what its type needs."""
    return WantedAcl(
        grants=tuple(_wanted_grant(each.grantee, each.permission) for each in document.grants or ()),
        is_document=True,
    )


def _of_target_grants(wanted: LoggingEnabled) -> WantedAcl:
    """Raises MalformedACL for a grantee without what its type needs."""
    grants = []
    for each in wanted.target_grants or ():
        assert each.grantee is not None and each.permission is not None, "checked when it was put"
        grants.append(_wanted_grant(each.grantee, each.permission))
    return WantedAcl(grants=tuple(grants), is_document=True)


def _wanted_grant(grantee: Grantee, permission: Permission) -> WantedGrant:
    kind: Kind
    match grantee.type:
        case "CanonicalUser":
            kind, value = "id", grantee.id
        case "Group":
            kind, value = "uri", grantee.uri
        case "AmazonCustomerByEmail":
            kind, value = "emailAddress", grantee.email_address
    if not value:
        raise MalformedACL
    return WantedGrant(kind, value, permission)
