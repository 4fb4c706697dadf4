"""What a version says of its own replication: kept with it, shown in x-amz-replication-status.

Kept is one text (`Attributes.extra[EXTRA]`): "REPLICA" of a version that came from elsewhere; else
for each destination `STATUS ARN VERSION`, VERSION being what it is called there (percent-encoded; "-" while
that is not known), all separated by spaces.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, cast
from urllib.parse import quote, unquote

from objstore.model import Attributes, EncryptionMethod

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
VERSION_CHARACTERS_MAX: Final = 1024


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


def is_unsent(attributes: Attributes) -> bool:
    """Whether a version is still to go somewhere, or failed to: its bytes are needed here.

    Not of one whose key only its owner has: it can never be sent.
    """
    encryption = attributes.encryption
    if encryption is not None and encryption.method is EncryptionMethod.CUSTOMER:
        return False
    return any(one.status != "COMPLETED" for one in progress_of(attributes).values())


def as_new(attributes: Attributes) -> Attributes:
    """The attributes of another version that is made of one: what became of that one is not its own."""
    if EXTRA not in attributes.extra:
        return attributes
    return replace(attributes, extra={name: one for name, one in attributes.extra.items() if name != EXTRA})


def as_text(progress: Mapping[str, Progress]) -> str:
    """What is kept of it."""
    return " ".join(f"{one.status} {arn} {_encoded(one.version_id)}" for arn, one in progress.items())


def status_of(attributes: Attributes) -> str | None:
    """What the header says: COMPLETED when it is everywhere, FAILED when it failed anywhere."""
    text = attributes.extra.get(EXTRA)
    if not text or text == REPLICA:
        return text or None
    statuses = {one.status for _, one in _entries(text)}
    return next(status for status in ("FAILED", "PENDING", "COMPLETED") if status in statuses)


def _encoded(version_id: str | None) -> str:
    """Of any text whatsoever, for it is another server's."""
    if not version_id or len(version_id) > VERSION_CHARACTERS_MAX:
        return _NO_VERSION
    return quote(version_id, safe="").replace("-", "%2D")


def _entries(text: str) -> Iterator[tuple[str, Progress]]:
    words = text.split(" ") if text and text != REPLICA else []
    for status, arn, version_id in zip(words[::3], words[1::3], words[2::3], strict=True):
        yield arn, Progress(cast(Status, status), None if version_id == _NO_VERSION else unquote(version_id))
