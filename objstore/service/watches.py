"""What is watched of the requests for a bucket: its access log, and its metrics configurations.

Asked for with every request, so it is one lookup in a dictionary while no configuration changes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final

from objstore.meta import queries
from objstore.meta.interface import Unavailable
from objstore.model import Bucket
from objstore.s3 import xml
from objstore.s3.documents.logging import BucketLoggingStatus, LoggingEnabled
from objstore.s3.documents.metrics import MetricsConfiguration
from objstore.service.facts import Facts
from objstore.service.subresources import CONFIGURATIONS_MAX, Epoch

CACHE_MAX: Final = 10_000
"""Buckets remembered per process; past it the cache starts anew."""
LOGGING: Final = "logging"
METRICS: Final = "metrics"


@dataclass(frozen=True, slots=True)
class Watch:
    """What is watched in one bucket."""

    log_head: str | None
    """What the delivery of its log must know (`LogHead`), as one line; None: there is no log."""
    filters: tuple[MetricsConfiguration, ...] = ()


@dataclass(frozen=True, slots=True)
class LogHead:
    """Whose log some lines belong to, and where it goes, as it was when the requests came."""

    bucket: str
    bucket_id: int
    owner_id: str
    region: str
    document: str
    """The bucket's BucketLoggingStatus."""

    def pack(self) -> str:
        """One line for `unpack`."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def unpack(cls, text: str) -> "LogHead":
        """What `pack` wrote. Raises ValueError."""
        try:
            return cls(**json.loads(text))
        except TypeError as exc:
            raise ValueError(text) from exc

    @property
    def target(self) -> LoggingEnabled:
        """Where the log goes. Raises MalformedXML."""
        enabled = xml.parse(BucketLoggingStatus, self.document.encode()).logging_enabled
        assert enabled is not None, "there are no heads of buckets without a log"
        return enabled


class Watches:
    """What is watched in all buckets, as one process sees it."""

    def __init__(self, facts: Facts, shared: Epoch) -> None:
        self._facts = facts
        self._shared = shared
        self._known: dict[int, Watch | None] = {}
        self._epoch = -1

    def of(self, bucket: Bucket) -> Watch | None:
        """What is watched in a bucket; None for nothing, and while that cannot be looked up."""
        epoch = self._shared.epoch  # read before the rows: what is read later can only be newer
        if epoch != self._epoch or len(self._known) >= CACHE_MAX:
            self._known.clear()
            self._epoch = epoch
        try:
            return self._known[bucket.id]
        except KeyError:
            pass
        try:
            watch = self._known[bucket.id] = self._read(bucket)
        except Unavailable:
            return None
        return watch

    def _read(self, bucket: Bucket) -> Watch | None:
        status = self._facts.read_now(queries.subresource, bucket.id, LOGGING)
        rows = self._facts.read_now(
            queries.subresources_between, bucket.id, f"{METRICS}/", f"{METRICS}0", CONFIGURATIONS_MAX
        )
        filters = tuple(_parsed(document) for _, document in rows)
        head = None if status is None else _log_head(bucket, status)
        return None if head is None and not filters else Watch(head, filters)


@lru_cache(maxsize=4096)
def _parsed(document: bytes) -> MetricsConfiguration:
    return xml.parse(MetricsConfiguration, document)


def _log_head(bucket: Bucket, status: bytes) -> str | None:
    if xml.parse(BucketLoggingStatus, status).logging_enabled is None:
        return None
    return LogHead(bucket.name, bucket.id, bucket.owner_id, bucket.region, status.decode()).pack()


def is_counted(one: MetricsConfiguration, key: str, tags: Mapping[str, str] | None) -> bool:
    """Whether a configuration counts a request for `key` ("": for the bucket itself).

    `tags` are those of the object that was read or written, None where there was none: what only tags
    could tell is then not counted. There are no access points here, so nothing comes through one.
    """
    wanted = one.filter
    if wanted is None:
        return True
    parts: Any = wanted if wanted.and_ is None else wanted.and_
    needed = [wanted.tag] if wanted.tag is not None else [] if wanted.and_ is None else list(wanted.and_.tags)
    if parts.access_point_arn is not None or not key:
        return False
    if parts.prefix is not None and not key.startswith(parts.prefix):
        return False
    return not needed or (tags is not None and all(tags.get(tag.key) == tag.value for tag in needed))
