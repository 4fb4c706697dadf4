"""Delivers events to the targets that the settings name."""

from typing import Final

from objstore.events.dispatcher import Dispatcher
from objstore.events.targets import NamedUrl
from objstore.events.webhook import Webhook
from objstore.jobs.job import JobSettings
from objstore.meta.client import Metadata

LOOK_EVERY_S: Final = 0.5
PAGES_PER_RUN: Final = 50


class Delivery:
    """The delivery job."""

    name = "delivery"

    def __init__(self, metadata: Metadata, settings: JobSettings) -> None:
        targets = {named.name: Webhook(named.url) for named in map(NamedUrl.parse, settings.webhooks)}
        self._dispatcher = Dispatcher(metadata, targets, settings.events_retry_s)

    async def run(self) -> float:
        """Deliver what waits."""
        pages = 0
        while await self._dispatcher.deliver() and pages < PAGES_PER_RUN:
            pages += 1
        return 0.0 if pages == PAGES_PER_RUN else LOOK_EVERY_S

    async def close(self) -> None:
        """Let go of the targets."""
        await self._dispatcher.close()
