"""Bucket subresources: read, replace and remove one piece of a bucket's configuration.

Most of them are a document that is kept and given back. What distinguishes one kind from another is a
row of SUBRESOURCES; the generic handlers (`api/handlers/bucket_subresources.py`) ask nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from objstore.meta import queries
from objstore.meta.commands import SetSubresource
from objstore.model import Bucket
from objstore.s3 import errors, xml
from objstore.s3.documents.access import OwnershipControls, PublicAccessBlockConfiguration
from objstore.s3.documents.payment import RequestPaymentConfiguration
from objstore.s3.errors import MalformedXML, S3Error
from objstore.service.facts import Facts

CACHE_MAX: Final = 10_000
"""Documents remembered per process; past it the cache starts anew."""


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


SUBRESOURCES: Final[Mapping[str, Subresource]] = {
    "ownershipControls": Subresource(OwnershipControls, errors.OwnershipControlsNotFound, _check_ownership),
    "publicAccessBlock": Subresource(
        PublicAccessBlockConfiguration, errors.NoSuchPublicAccessBlockConfiguration
    ),
    "requestPayment": Subresource(
        RequestPaymentConfiguration, RequestPaymentConfiguration(payer="BucketOwner")
    ),
}


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
