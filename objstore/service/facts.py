"""What the services need of the metadata: one write, two reads. `meta.client.Metadata` is such a thing."""

from typing import ParamSpec, Protocol, TypeVar

from objstore.meta.interface import Command
from objstore.meta.sqlite import Query

P = ParamSpec("P")
R = TypeVar("R")


class Facts(Protocol):
    """Access to the metadata from one event loop."""

    async def write(self, command: Command[R]) -> R:
        """Have `command` decided and committed; its result, durable and visible to reads.

        Raises Refusal, Conflict, Busy, Unavailable, OutcomeUnknown.
        """
        ...

    async def read(self, query: Query[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What `query` finds, run off the event loop. Raises Unavailable."""
        ...

    def read_now(self, query: Query[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The same, inline: for point lookups of a few tens of microseconds."""
        ...
