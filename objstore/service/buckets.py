"""Buckets: create, find, list and delete."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from objstore.meta import queries
from objstore.meta.commands import CreateBucket, DeleteBucket, SetVersioning
from objstore.meta.interface import BucketExists
from objstore.model import Bucket, MfaDelete, Versioning
from objstore.s3.errors import (
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    IllegalLocationConstraintException,
    InvalidLocationConstraint,
)
from objstore.s3.names import check_bucket_name
from objstore.service.facts import Facts

US_EAST_1: Final = "us-east-1"
"""S3's first region, whose buckets behave a little differently to this day."""
CACHE_MAX: Final = 10_000
"""Buckets remembered per process; past it the cache starts anew."""
_OLD_NAMES: Final = {"EU": "eu-west-1", "US": US_EAST_1}


class Epoch(Protocol):
    """The part of `SharedState` that is used here."""

    @property
    def epoch(self) -> int:
        """Moves when a bucket was created, changed or deleted."""
        ...


@dataclass(frozen=True, slots=True)
class BucketRules:
    """What this server allows of buckets; `regions` are those they may be in, its own first."""

    regions: Sequence[str] = (US_EAST_1,)
    per_owner_max: int = 10_000


@dataclass(frozen=True, slots=True)
class BucketPage:
    """Buckets by name, and whether there are more."""

    buckets: tuple[Bucket, ...]
    is_truncated: bool


class Buckets:
    """The buckets of all owners, as one process sees them."""

    def __init__(self, facts: Facts, shared: Epoch, rules: BucketRules) -> None:
        self._facts = facts
        self._shared = shared
        self._rules = rules
        self._known: dict[str, Bucket] = {}
        self._epoch = -1

    def find(self, name: str) -> Bucket | None:
        """The bucket that has this name now. Raises Unavailable.

        Names that nobody has are not remembered: they cost a point lookup, and no memory.
        """
        epoch = self._shared.epoch  # read before the row: what is read later can only be newer
        if epoch != self._epoch or len(self._known) >= CACHE_MAX:
            self._known.clear()
            self._epoch = epoch
        bucket = self._known.get(name)
        if bucket is None:
            bucket = self._facts.read_now(queries.bucket_by_name, name)
            if bucket is not None:
                self._known[name] = bucket
        return bucket

    async def list(
        self, owner_id: str, prefix: str = "", after: str = "", limit: int = 10_000, region: str = ""
    ) -> BucketPage:
        """An owner's buckets by name: those that begin with `prefix`, come after `after`, lie in `region`."""
        found = await self._facts.read(queries.buckets_of, owner_id, prefix, after, limit + 1, region)
        return BucketPage(tuple(found[:limit]), len(found) > limit)

    async def create(
        self,
        name: str,
        owner_id: str,
        location: str | None = None,
        *,
        object_lock: bool = False,
        subresources: Mapping[str, bytes] | None = None,
    ) -> Bucket:
        """Create a bucket in the region `location` (None: the server's own), with versioning if it is to
        have object lock, and with this configuration (by kind).

        To create one's own bucket again changes nothing; it is allowed in us-east-1 alone, and for the
        same bucket. Raises InvalidBucketName, InvalidLocationConstraint,
        IllegalLocationConstraintException, BucketAlreadyOwnedByYou, BucketAlreadyExists, TooManyBuckets.
        """
        check_bucket_name(name)
        region = self._region(location)
        try:
            return await self._facts.write(
                CreateBucket(
                    name, owner_id, region, object_lock, self._rules.per_owner_max, subresources or {}
                )
            )
        except BucketExists as exc:
            if exc.detail["owner_id"] != owner_id:
                raise BucketAlreadyExists(BucketName=name) from exc
            there = self.find(name)
            is_same = there is not None and (there.region, there.object_lock) == (region, object_lock)
            if there is None or region != US_EAST_1 or not is_same:
                raise BucketAlreadyOwnedByYou(BucketName=name) from exc
            return there

    async def delete(self, bucket: Bucket) -> None:
        """Delete an empty bucket and its configuration. Raises Refusal (BucketNotEmpty), MetadataError."""
        await self._facts.write(DeleteBucket(bucket.name))

    async def set_versioning(
        self,
        bucket: Bucket,
        state: Versioning,
        mfa_delete: MfaDelete | None = None,
        *,
        has_mfa: bool = False,
    ) -> None:
        """Enable or suspend versioning, and MFA delete unless it is to stay as it is.

        `has_mfa`: a device of the owner's proved to be at hand. Raises Refusal (MfaRequired,
        BucketStateInvalid), MetadataError.
        """
        await self._facts.write(SetVersioning(bucket.id, state, mfa_delete, has_mfa))

    def _region(self, location: str | None) -> str:
        if not location:
            return self._rules.regions[0]
        region = _OLD_NAMES.get(location, location)
        if region in self._rules.regions:
            return region
        if not region.isascii() or not region.replace("-", "").isalnum():
            raise InvalidLocationConstraint(LocationConstraint=ascii(location)[1:-1])
        raise IllegalLocationConstraintException(
            f"The {region} location constraint is incompatible for the region specific endpoint this request "
            "was sent to."
        )
