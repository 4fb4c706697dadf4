"""Events of what jobs do to objects by themselves, told with the change like those of clients."""

from collections.abc import Collection, Mapping
from typing import Any, TypeVar, cast

from objstore.events.records import RULES, Origin, live_notices, notices
from objstore.meta import commands, queries
from objstore.meta.client import Metadata
from objstore.meta.commands import Announced, Notice
from objstore.meta.commands.events import NOTIFICATION
from objstore.meta.interface import Command
from objstore.model import Bucket
from objstore.s3 import xml
from objstore.s3.documents.notification import NotificationConfiguration

R = TypeVar("R")


async def announced(
    metadata: Metadata,
    bucket: Bucket,
    key: str,
    command: Command[R],
    event: str,
    data: Mapping[str, Any] | None = None,
    principal: str = RULES,
) -> Command[R]:
    """The command on `key`, with word of it to all who want it; itself where nobody does."""
    document = await metadata.read(queries.subresource, bucket.id, NOTIFICATION)
    configuration = None if document is None else xml.parse(NotificationConfiguration, document)
    wanted = wanted_of(
        metadata, configuration, bucket, key, (event,), Origin(event, principal, RULES, "", ""), data
    )
    if not wanted:
        return command
    return cast(Command[R], Announced(bucket.id, key, commands.encode(command), wanted))


def wanted_of(
    metadata: Metadata,
    configuration: NotificationConfiguration | None,
    bucket: Bucket,
    key: str,
    events: Collection[str],
    origin: Origin,
    data: Mapping[str, Any] | None = None,
) -> tuple[Notice, ...]:
    """Who wants to be told of these events: targets by the bucket's configuration, and whoever listens."""
    wanted = () if configuration is None else notices(configuration, bucket, key, events, origin, data)
    if metadata.is_anyone_listening:
        return (*wanted, *live_notices(bucket, events, origin, data))
    return wanted
