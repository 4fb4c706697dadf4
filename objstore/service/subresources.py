"""Bucket subresources: read, replace and remove one piece of a bucket's configuration.

Most of them are a document that is kept and given back. What distinguishes one kind from another is a
row of SUBRESOURCES; the generic handlers (`api/handlers/bucket_subresources.py`) ask nothing else.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from objstore.meta import queries
from objstore.meta.commands import SetSubresource
from objstore.meta.interface import Conflict
from objstore.model import Bucket
from objstore.s3 import errors, xml
from objstore.s3.documents import (
    acceleration,
    access,
    analytics,
    cors,
    encryption,
    filtering,
    inventory,
    logging,
    metrics,
    tagging,
    tiering,
    website,
)
from objstore.s3.documents.access import OwnershipControls, PublicAccessBlockConfiguration
from objstore.s3.documents.inventory import InventoryConfiguration
from objstore.s3.documents.lifecycle import LifecycleConfiguration
from objstore.s3.documents.locking import ObjectLockConfiguration
from objstore.s3.documents.notification import NotificationConfiguration
from objstore.s3.documents.payment import RequestPaymentConfiguration
from objstore.s3.documents.replication import ReplicationConfiguration
from objstore.s3.errors import (
    IdMismatch,
    MalformedXML,
    NoSuchConfiguration,
    S3Error,
    TooManyConfigurations,
)
from objstore.service.facts import Facts

CACHE_MAX: Final = 10_000
"""Documents remembered per process; past it the cache starts anew."""
CHANGE_ATTEMPTS: Final = 5
"""How often a change is made again because the document was replaced under it."""
CONFIGURATIONS_MAX: Final = 1000
"""Configurations of one kind that are told apart by an id, per bucket."""
CONFIGURATIONS_PAGE: Final = 100


class Epoch(Protocol):
    """The part of `SharedState` that is used here."""

    @property
    def epoch(self) -> int:
        """Moves when a bucket's configuration changed."""
        ...


@dataclass(frozen=True, slots=True)
class Subresource:
    """What is to be known of one kind of configuration. Its name is the query flag that asks for it."""

    document: type[Any]
    absent: type[S3Error] | Any
    """What answers a GET where nothing was configured: an error, or a document."""
    check: Callable[[Any, Bucket], None] | None = None
    """Raises the S3 error of a document that may not be kept for this bucket."""
    put_status: int = 200


def _check_ownership(document: OwnershipControls, bucket: Bucket) -> None:
    if len(document.rules) != 1:
        raise MalformedXML


def _check_inventory(document: InventoryConfiguration, bucket: Bucket) -> None:
    """Raise NotImplemented for files that would never be written."""
    inventory.check(document, bucket)
    form = document.destination.s3_bucket_destination.format
    if form == "ORC":
        raise errors.NotImplemented("Inventories are written in CSV and Parquet, not in ORC.")
    if form == "Parquet" and importlib.util.find_spec("duckdb") is None:
        raise errors.NotImplemented(
            "Inventories in Parquet need DuckDB, which is not installed: pip install 'objstore[select]'."
        )


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of which a bucket has many, each under an id."""

    document: type[Any]
    listing: type[Any]
    """What a list of them is answered with."""
    check: Callable[[Any, Bucket], None]


SUBRESOURCES: Final[Mapping[str, Subresource]] = {
    "abac": Subresource(access.AbacStatus, access.AbacStatus(status="Disabled"), access.check_abac),
    "accelerate": Subresource(
        acceleration.AccelerateConfiguration, acceleration.AccelerateConfiguration(), acceleration.check
    ),
    # Answered by handlers of its own: the server's settings have a say.
    "encryption": Subresource(
        encryption.ServerSideEncryptionConfiguration,
        errors.ServerSideEncryptionConfigurationNotFound,
        encryption.check,
    ),
    "cors": Subresource(cors.CORSConfiguration, errors.NoSuchCORSConfiguration, cors.check),
    # Put and answered by handlers of its own: rules get ids, and a header comes along.
    "lifecycle": Subresource(LifecycleConfiguration, errors.NoSuchLifecycleConfiguration),
    "logging": Subresource(logging.BucketLoggingStatus, logging.BucketLoggingStatus(), logging.check),
    "metadataConfiguration": Subresource(type(None), errors.MetadataConfigurationNotFound),
    "metadataTable": Subresource(type(None), errors.MetadataConfigurationNotFound),
    "notification": Subresource(NotificationConfiguration, NotificationConfiguration()),
    # Put and answered by handlers of its own: the bucket's own row has a say.
    "object-lock": Subresource(ObjectLockConfiguration, errors.ObjectLockConfigurationNotFound),
    "tagging": Subresource(tagging.Tagging, errors.NoSuchTagSet, tagging.check_bucket_tags, put_status=204),
    # Put by a handler of its own: it may name other buckets and servers.
    "replication": Subresource(ReplicationConfiguration, errors.ReplicationConfigurationNotFound),
    "website": Subresource(website.WebsiteConfiguration, errors.NoSuchWebsiteConfiguration, website.check),
    "ownershipControls": Subresource(OwnershipControls, errors.OwnershipControlsNotFound, _check_ownership),
    "publicAccessBlock": Subresource(
        PublicAccessBlockConfiguration, errors.NoSuchPublicAccessBlockConfiguration
    ),
    "requestPayment": Subresource(
        RequestPaymentConfiguration, RequestPaymentConfiguration(payer="BucketOwner")
    ),
}

FAMILIES: Final[Mapping[str, Family]] = {
    "analytics": Family(
        analytics.AnalyticsConfiguration, analytics.ListAnalyticsConfigurationsResult, analytics.check
    ),
    "intelligent-tiering": Family(
        tiering.IntelligentTieringConfiguration,
        tiering.ListIntelligentTieringConfigurationsResult,
        tiering.check,
    ),
    "inventory": Family(
        InventoryConfiguration, inventory.ListInventoryConfigurationsResult, _check_inventory
    ),
    "metrics": Family(metrics.MetricsConfiguration, metrics.ListMetricsConfigurationsResult, metrics.check),
}
"""One of a family is kept as the kind `<family>/<id>`."""
_STRICT_ABOUT_IDS: Final = frozenset({"analytics", "intelligent-tiering"})
"""Families whose documents S3 calls malformed where the request names another id."""


class Subresources:
    """The configuration of all buckets, as one process sees it."""

    def __init__(self, facts: Facts, shared: Epoch) -> None:
        self._facts = facts
        self._shared = shared
        self._known: dict[tuple[int, str], Any] = {}
        self._epoch = -1

    def find(self, bucket: Bucket, kind: str) -> Any:
        """The parsed document of this kind; None where nothing was configured. Raises Unavailable."""
        epoch = self._shared.epoch  # read before the row: what is read later can only be newer
        if epoch != self._epoch or len(self._known) >= CACHE_MAX:
            self._known.clear()
            self._epoch = epoch
        slot = (bucket.id, kind)
        if slot not in self._known:
            stored = self._facts.read_now(queries.subresource, bucket.id, kind)
            self._known[slot] = None if stored is None else xml.parse(SUBRESOURCES[kind].document, stored)
        return self._known[slot]

    def get(self, bucket: Bucket, kind: str) -> Any:
        """The document that answers a GET. Raises the kind's error where nothing was configured."""
        document = self.find(bucket, kind)
        if document is not None:
            return document
        absent = SUBRESOURCES[kind].absent
        if isinstance(absent, type) and issubclass(absent, S3Error):
            raise absent(BucketName=bucket.name)
        return absent

    async def put(self, bucket: Bucket, kind: str, document: Any) -> None:
        """Check and keep a document. Raises what the kind's check raises; Refusal, MetadataError."""
        check = SUBRESOURCES[kind].check
        if check is not None:
            check(document, bucket)
        await self.set(bucket, kind, xml.dumps(document))

    async def set(self, bucket: Bucket, kind: str, document: bytes | None) -> None:
        """Keep these bytes, or (None) nothing, which is no error where there was nothing."""
        await self._facts.write(SetSubresource(bucket.id, kind, document))

    async def change(self, bucket: Bucket, kind: str, change: Callable[[Any], Any]) -> None:
        """Replace a document by what `change` makes of it; None stands for no document, before and after.

        Tried again when someone else changes it meanwhile. Raises what `change` and the kind's check raise;
        Refusal, MetadataError.
        """
        about = SUBRESOURCES[kind]
        for attempt in range(1, CHANGE_ATTEMPTS + 1):
            stored = self._facts.read_now(queries.subresource, bucket.id, kind)
            document = change(None if stored is None else xml.parse(about.document, stored))
            if document is not None and about.check is not None:
                about.check(document, bucket)
            data = None if document is None else xml.dumps(document)
            try:
                await self._facts.write(SetSubresource(bucket.id, kind, data, replaces=stored or b""))
                return
            except Conflict:
                if attempt == CHANGE_ATTEMPTS:
                    raise

    # One of a family

    def get_one(self, bucket: Bucket, family: str, configuration_id: str) -> Any:
        """The configuration of this id. Raises InvalidConfigurationId, NoSuchConfiguration."""
        filtering.check_id(configuration_id)
        stored = self._facts.read_now(queries.subresource, bucket.id, f"{family}/{configuration_id}")
        if stored is None:
            raise NoSuchConfiguration(BucketName=bucket.name, Id=configuration_id)
        return xml.parse(FAMILIES[family].document, stored)

    async def put_one(self, bucket: Bucket, family: str, configuration_id: str, document: Any) -> None:
        """Check and keep one configuration. Raises what the check raises, IdMismatch,
        MalformedXML, TooManyConfigurations; Refusal, MetadataError."""
        filtering.check_id(configuration_id)
        if document.id != configuration_id:
            raise MalformedXML if family in _STRICT_ABOUT_IDS else IdMismatch
        FAMILIES[family].check(document, bucket)
        others = await self._page(bucket, family, "", CONFIGURATIONS_MAX)
        if len(others) >= CONFIGURATIONS_MAX and all(one.id != configuration_id for one in others):
            raise TooManyConfigurations
        await self.set(bucket, f"{family}/{configuration_id}", xml.dumps(document))

    async def remove_one(self, bucket: Bucket, family: str, configuration_id: str) -> None:
        """Remove one configuration. Raises InvalidConfigurationId, NoSuchConfiguration; Refusal."""
        self.get_one(bucket, family, configuration_id)
        await self.set(bucket, f"{family}/{configuration_id}", None)

    async def list_family(self, bucket: Bucket, family: str, after: str) -> tuple[list[Any], bool]:
        """A page of a family's configurations by id, those after `after`; and whether there are more."""
        found = await self._page(bucket, family, after, CONFIGURATIONS_PAGE + 1)
        return found[:CONFIGURATIONS_PAGE], len(found) > CONFIGURATIONS_PAGE

    async def _page(self, bucket: Bucket, family: str, after: str, limit: int) -> list[Any]:
        rows = await self._facts.read(
            queries.subresources_between, bucket.id, f"{family}/{after}", f"{family}0", limit
        )
        return [xml.parse(FAMILIES[family].document, document) for _, document in rows]
