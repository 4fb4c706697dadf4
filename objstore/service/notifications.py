"""Who is told of what is done to an object: put with a bucket, asked for with every change."""

from collections.abc import Mapping
from typing import Final, TypeVar, cast

from objstore.events import records
from objstore.events.records import TEST_EVENT, Origin, live_notices, notices
from objstore.events.targets import is_target, target_of
from objstore.meta import commands
from objstore.meta.commands import Announced, Candidate, Notice, SetNotification
from objstore.meta.interface import Command
from objstore.model import Bucket
from objstore.s3 import xml
from objstore.s3.documents.notification import (
    NotificationConfiguration,
    Subscription,
    checked,
    subscriptions,
)
from objstore.service.facts import Facts
from objstore.service.replication import Replications
from objstore.service.subresources import Subresources
from objstore.shared_state import SharedState

R = TypeVar("R")

KIND: Final = "notification"
_OUTCOMES: Final = {
    "s3:ObjectRemoved:Delete": ("s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated"),
}
"""What an operation may turn out to be, where that is not known before it is done."""


class Notifications:
    """The notification configurations of all buckets, as one process sees them."""

    def __init__(
        self,
        facts: Facts,
        shared: SharedState,
        subresources: Subresources,
        targets: Mapping[str, str],
        replications: Replications | None = None,
    ) -> None:
        """`targets`: the kinds of those that there are, by name."""
        self._facts = facts
        self._shared = shared
        self._replications = replications
        self._subresources = subresources
        self._targets = targets

    def announced(
        self,
        command: Command[R],
        bucket: Bucket,
        key: str,
        origin: Origin | None,
        *,
        is_replicated: bool = False,
    ) -> Command[R]:
        """The command, with word of it to all who want it and to where the bucket is replicated; itself
        where there is nobody. What is replicated to here is not replicated on.

        Raises Unavailable.
        """
        wanted = () if origin is None else self.notices(bucket, key, origin)
        candidates: tuple[Candidate, ...] = ()
        if self._replications is not None and not is_replicated:
            candidates = self._replications.candidates(bucket, key)
        if not wanted and not candidates:
            return command
        return cast(Command[R], Announced(bucket.id, key, commands.encode(command), wanted, candidates))

    def notices(self, bucket: Bucket, key: str, origin: Origin) -> tuple[Notice, ...]:
        """Whom to tell of what `origin` does to a key. Raises Unavailable."""
        document: NotificationConfiguration | None = self._subresources.find(bucket, KIND)
        is_heard = self._shared.listener_count > 0
        if document is None and not is_heard:
            return ()
        events = _OUTCOMES.get(origin.event, (origin.event,))
        wanted = () if document is None else notices(document, bucket, key, events, origin)
        return (*wanted, *live_notices(bucket, events, origin)) if is_heard else wanted

    async def put(
        self, bucket: Bucket, document: NotificationConfiguration, origin: Origin, *, is_unchecked: bool
    ) -> None:
        """Keep a document, and send a test event to every target that it names.

        `is_unchecked`: targets need not be there. Raises InvalidArgument; Refusal.
        """
        document = checked(document, lambda arn: is_unchecked or is_target(arn, self._targets))
        told: dict[str, Subscription] = {}
        for one in subscriptions(document):
            if is_target(one.arn, self._targets):
                told.setdefault(one.arn, one)
        tests = tuple(
            Notice(TEST_EVENT, target_of(arn), records.about(origin, bucket, one.id))
            for arn, one in told.items()
        )
        is_empty = not any(subscriptions(document)) and document.event_bridge_configuration is None
        stored = None if is_empty else xml.dumps(document)
        await self._facts.write(SetNotification(bucket.id, stored, tests))
