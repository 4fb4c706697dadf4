"""Events of what jobs do to objects by themselves, told with the change like those of clients."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from objstore.events.records import RULES, Origin, notices
from objstore.meta import commands, queries
from objstore.meta.client import Metadata
from objstore.meta.commands import Announced
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
) -> Command[R]:
    """The command on `key`, with word of it to all who want it; itself where nobody does."""
    document = await metadata.read(queries.subresource, bucket.id, NOTIFICATION)
    if document is None:
        return command
    configuration = xml.parse(NotificationConfiguration, document)
    wanted = notices(configuration, bucket, key, (event,), Origin(event, RULES, RULES, "", ""), data)
    if not wanted:
        return command
    return cast(Command[R], Announced(bucket.id, key, commands.encode(command), wanted))
