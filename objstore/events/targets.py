"""Where events can go: the targets that the operator named, and only those.

A client picks a target by an ARN whose last part is its name; it can never name an address.
"""

import re
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
ACCOUNT: Final = "000000000000"


class TargetError(Exception):
    """An event was not taken; it may be sent again."""


class Target(Protocol):
    """Something that takes events."""

    async def send(self, document: bytes) -> None:
        """Hand over one JSON document; it was taken when this returns. Raises TargetError."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class NamedUrl:
    """A target as the settings name it: `name=url`."""

    name: str
    url: str

    @classmethod
    def parse(cls, text: str) -> "NamedUrl":
        """Raises ValueError, whose message says what is allowed."""
        name, _, url = text.partition("=")
        if NAME.fullmatch(name) is None:
            raise ValueError(f"{name!r} is no name: 1 to 64 letters, digits, hyphens and underscores are")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the URL of {name} must be http:// or https:// with a host")
        return cls(name, url)


def target_of(arn: str) -> str:
    """The name of the target that an ARN stands for."""
    return arn.rpartition(":")[2]


def arn_of(name: str, region: str) -> str:
    """An ARN for a target, as a client may write it."""
    return f"arn:aws:sqs:{region}:{ACCOUNT}:{name}"
