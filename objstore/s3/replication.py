"""What a version says of its own replication: kept with it, shown in x-amz-replication-status.

Kept is one text (`Attributes.extra[EXTRA]`): "REPLICA" of a version that came from elsewhere; else
for each destination `STATUS ARN VERSION`, VERSION being what it is called there ("-" while that is not
known), all separated by spaces, which ARNs and version ids have none of.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

from objstore.model import Attributes

EXTRA: Final = "replication"
HEADER: Final = "x-amz-replication-status"
REPLICA: Final = "REPLICA"

VERSION_HEADER: Final = "x-objstore-replication-version-id"
"""Between servers of ours: which version a request is about. Its sender must be allowed to replicate."""
MODIFIED_HEADER: Final = "x-objstore-replication-modified"
"""Between servers of ours: when the version was made, in milliseconds since the epoch."""
PROBE_HEADER: Final = "x-objstore-replication"
"""Asked of a bucket and answered by servers of ours alone."""

Status = Literal["PENDING", "COMPLETED", "FAILED"]
_NO_VERSION: Final = "-"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a version's way to one destination is."""

    status: Status
    version_id: str | None = None
    """What the version is called there."""


def is_replica(attributes: Attributes) -> bool:
    """Whether a version came from elsewhere."""
    return attributes.extra.get(EXTRA) == REPLICA


def progress_of(attributes: Attributes) -> dict[str, Progress]:
    """By the ARN of each destination; empty for a replica."""
    return dict(_entries(attributes.extra.get(EXTRA, "")))


def as_text(progress: Mapping[str, Progress]) -> str:
    """What is kept of it."""
    return " ".join(f"{one.status} {arn} {one.version_id or _NO_VERSION}" for arn, one in progress.items())


def status_of(attributes: Attributes) -> str | None:
    """What the header says: COMPLETED when it is everywhere, FAILED when it failed anywhere."""
    text = attributes.extra.get(EXTRA)
    if not text or text == REPLICA:
        return text or None
    statuses = {one.status for _, one in _entries(text)}
    return next(status for status in ("FAILED", "PENDING", "COMPLETED") if status in statuses)


def _entries(text: str) -> Iterator[tuple[str, Progress]]:
    words = text.split(" ") if text and text != REPLICA else []
    for status, arn, version_id in zip(words[::3], words[1::3], words[2::3], strict=True):
        yield arn, Progress(cast(Status, status), None if version_id == _NO_VERSION else version_id)
