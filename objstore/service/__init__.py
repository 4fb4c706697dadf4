"""What S3 operations mean: no HTTP, no XML, no SQL."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from objstore.encryption.envelope import Envelopes
from objstore.s3.expiry import Calendar
from objstore.service.annotations import Annotations
from objstore.service.buckets import BucketRules, Buckets
from objstore.service.copy import Copies
from objstore.service.deleting import Deletions
from objstore.service.encryption import EncryptionRules, Encryptions
from objstore.service.facts import Facts
from objstore.service.listeners import NO_FEED, Feed, Listeners
from objstore.service.listing import Listings
from objstore.service.locks import Locks
from objstore.service.multipart import Uploads
from objstore.service.notifications import Notifications
from objstore.service.objects import Objects
from objstore.service.reader import Reader, ReadsUnderWay
from objstore.service.renaming import Renames
from objstore.service.replication import Replications
from objstore.service.restores import Restores
from objstore.service.selections import Selections, SelectLimits
from objstore.service.subresources import Subresources
from objstore.service.watches import Watches
from objstore.service.writer import Writer
from objstore.shared_state import SharedState
from objstore.storage.interface import BlobStore

SELECT_LIMITS = SelectLimits()


@dataclass(frozen=True, slots=True)
class Services:
    """The services that handlers use."""

    buckets: Buckets
    listings: Listings
    objects: Objects
    copies: Copies
    deletions: Deletions
    uploads: Uploads
    subresources: Subresources
    locks: Locks
    notifications: Notifications
    listeners: Listeners
    restores: Restores
    encryptions: Encryptions
    replications: Replications
    watches: Watches
    selections: Selections
    renames: Renames
    annotations: Annotations
    _writer: Writer

    async def drain(self) -> None:
        """Wait until what was begun is decided: at the end of a worker, before the stores close."""
        await self._writer.drain()
        await self.encryptions.close()


def build_services(
    facts: Facts,
    store: BlobStore,
    shared: SharedState,
    worker: int,
    rules: BucketRules,
    envelopes: Envelopes,
    encryption: EncryptionRules,
    targets: Mapping[str, str] = MappingProxyType({}),
    lifecycle_day_s: float = 0.0,
    remotes: Mapping[str, Collection[str]] | None = None,
    select: SelectLimits = SELECT_LIMITS,
    feed: Feed = NO_FEED,
) -> Services:
    """The services of one worker (0-based number `worker`) over its metadata, blob store and keys.

    `targets` are the names of those that events can go to, and their kinds; `remotes` those of other servers
    that buckets can be replicated to, and by whom. `lifecycle_day_s`: how long a day of restored copies is;
    0: a day. `feed`: where events come from that somebody listens to.
    """
    writer = Writer(facts, store)
    reader = Reader(facts, store, ReadsUnderWay(shared, worker))
    subresources = Subresources(facts, shared)
    buckets = Buckets(facts, shared, rules)
    replications = Replications(facts, subresources, buckets, remotes or {})
    notifications = Notifications(facts, shared, subresources, targets, replications)
    encryptions = Encryptions(envelopes, subresources, encryption)
    objects = Objects(facts, writer, reader, notifications, encryptions)
    return Services(
        buckets=buckets,
        listings=Listings(facts),
        objects=objects,
        deletions=Deletions(objects),
        copies=Copies(facts, writer, reader, objects, notifications, encryptions),
        uploads=Uploads(facts, writer, notifications, encryptions),
        subresources=subresources,
        locks=Locks(facts, subresources, notifications),
        notifications=notifications,
        listeners=Listeners(feed),
        restores=Restores(facts, notifications, Calendar.of(lifecycle_day_s)),
        encryptions=encryptions,
        replications=replications,
        watches=Watches(facts, shared),
        selections=Selections(objects, select),
        renames=Renames(facts, notifications),
        annotations=Annotations(facts, writer, objects, encryptions, notifications),
        _writer=writer,
    )
