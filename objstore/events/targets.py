"""Where events can go: the targets that the operator named, and only those.

A client picks a target by an ARN that has its name in it; it can never name an address.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

ACCOUNT: Final = "000000000000"
_OF_MINIO: Final = re.compile(r"arn:minio:sqs:[^:]*:([^:]*):([^:]*)")


class TargetError(Exception):
    """An event was not taken; it may be sent again. The message holds no secret."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event, as targets are given it."""

    document: bytes
    """JSON, in UTF-8."""
    key: str
    """`bucket/key`: messages that share it keep their order. What partitions are chosen by."""
    id: str
    """The same each time this event is sent, and no other event's: what duplicates are known by."""


class Target(Protocol):
    """Something that takes events."""

    async def send(self, message: Message) -> None:
        """Hand over one event; it was taken, as far as this target can say so, when this returns.

        Returns or raises within a bounded time. Several may be under way at once, never two of the same
        key. Raises TargetError.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def target_of(arn: str) -> str:
    """The name of the target that an ARN stands for.

    That is its last part, or, as MinIO writes them (`arn:minio:sqs:REGION:NAME:KIND`), the one before.
    """
    match = _OF_MINIO.fullmatch(arn)
    return match[1] if match is not None else arn.rpartition(":")[2]


def is_target(arn: str, kinds: Mapping[str, str]) -> bool:
    """Whether an ARN stands for one of the targets whose kinds are given by name."""
    kind = kinds.get(target_of(arn))
    match = _OF_MINIO.fullmatch(arn)
    return kind is not None and (match is None or match[2] == kind)


def arn_of(name: str, region: str) -> str:
    """An ARN for a target, as a client may write it."""
    return f"arn:aws:sqs:{region}:{ACCOUNT}:{name}"
