"""What of a bucket's configuration decides who may do what in it: read once per bucket and epoch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from objstore.iam import acl
from objstore.iam.acl import Acl
from objstore.iam.policy import Policy, parse_policy
from objstore.meta import queries
from objstore.model import Bucket
from objstore.s3 import xml
from objstore.s3.documents.access import AbacStatus, OwnershipControls, PublicAccessBlockConfiguration
from objstore.s3.documents.payment import RequestPaymentConfiguration
from objstore.s3.documents.tagging import Tagging

CACHE_MAX: Final = 1000
"""Buckets whose access is remembered per process; past it the cache starts anew."""
ENFORCED: Final = "BucketOwnerEnforced"
PREFERRED: Final = "BucketOwnerPreferred"
OBJECT_WRITER: Final = "ObjectWriter"
"""Who owns new objects where nothing is configured."""

POLICY: Final = "policy"
ACL: Final = "acl"
"""Kinds of bucket subresources; the other ones below are called like their query flags, too."""


class Reader(Protocol):
    """The part of `meta.client.Metadata` that is used here."""

    def read_now(self, query: Any, *args: Any) -> Any:
        """The answer of a point lookup, inline."""
        ...


class Epoch(Protocol):
    """The part of `SharedState` that is used here."""

    @property
    def epoch(self) -> int:
        """Moves when configuration changed."""
        ...


@dataclass(frozen=True, slots=True)
class PublicAccessBlock:
    """What is blocked, by the bucket's configuration or by its owner's account."""

    public_acls: bool = False
    """ACLs that let the public in cannot be put."""
    public_policy: bool = False
    """Policies that let the public in cannot be put."""
    ignores_acls: bool = False
    """Those there are count for nothing."""
    restricts_buckets: bool = False
    """A policy that lets the public in allows nothing to anyone but the bucket's owner."""

    @classmethod
    def of(cls, *documents: bytes | None) -> "PublicAccessBlock":
        """What any of these configurations blocks."""
        parsed = [xml.parse(PublicAccessBlockConfiguration, each) for each in documents if each is not None]
        return cls(
            public_acls=any(each.block_public_acls for each in parsed),
            public_policy=any(each.block_public_policy for each in parsed),
            ignores_acls=any(each.ignore_public_acls for each in parsed),
            restricts_buckets=any(each.restrict_public_buckets for each in parsed),
        )


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """Who may do what in a bucket, but for what its objects say themselves."""

    policy: Policy | None
    acl: Acl
    ownership: str
    block: PublicAccessBlock
    requester_pays: bool
    tags: Mapping[str, str]
    """The bucket's own, as far as they decide anything: with ABAC enabled."""

    @property
    def has_acls(self) -> bool:
        """ACLs count: they are not turned off by BucketOwnerEnforced."""
        return self.ownership != ENFORCED


class Accesses:
    """The access rules of all buckets, as one process sees them."""

    def __init__(self, facts: Reader, shared: Epoch) -> None:
        self._facts = facts
        self._shared = shared
        self._known: dict[int, BucketAccess] = {}
        self._epoch = -1

    def of(self, bucket: Bucket) -> BucketAccess:
        """The rules of a bucket as they are now. Raises Unavailable."""
        epoch = self._shared.epoch  # read before the rows: what is read later can only be newer
        if epoch != self._epoch or len(self._known) >= CACHE_MAX:
            self._known.clear()
            self._epoch = epoch
        access = self._known.get(bucket.id)
        if access is None:
            access = self._known[bucket.id] = self._read(bucket)
        return access

    def _read(self, bucket: Bucket) -> BucketAccess:
        found: dict[str, bytes] = self._facts.read_now(queries.subresources, bucket.id)
        account = self._facts.read_now(queries.account_public_access_block, bucket.owner_id)
        controls, payment = found.get("ownershipControls"), found.get("requestPayment")
        policy = found.get(POLICY)
        return BucketAccess(
            policy=None if policy is None else parse_policy(policy, bucket.name),
            acl=acl.unpack(found.get(ACL), bucket.owner_id),
            ownership=OBJECT_WRITER
            if controls is None
            else xml.parse(OwnershipControls, controls).rules[0].object_ownership,
            block=PublicAccessBlock.of(found.get("publicAccessBlock"), account),
            requester_pays=payment is not None
            and xml.parse(RequestPaymentConfiguration, payment).payer == "Requester",
            tags=_deciding_tags(found.get("abac"), found.get("tagging")),
        )


def _deciding_tags(abac: bytes | None, tagging: bytes | None) -> Mapping[str, str]:
    if abac is None or tagging is None or xml.parse(AbacStatus, abac).status != "Enabled":
        return {}
    return {tag.key: tag.value for tag in xml.parse(Tagging, tagging).tags}
