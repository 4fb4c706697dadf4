"""Delivers events to the targets that the settings name."""

from typing import Final

from objstore.events.dispatcher import Dispatcher
from objstore.events.kinds import make_targets
from objstore.jobs.job import JobSettings
from objstore.meta.client import Metadata

LOOK_EVERY_S: Final = 0.25


class Delivery:
    """The delivery job."""

    name = "delivery"

    def __init__(self, metadata: Metadata, settings: JobSettings) -> None:
        """Raises TargetsError."""
        self._dispatcher = Dispatcher(metadata, make_targets(settings.targets), settings.events_retry_s)

    async def run(self) -> float:
        """Deliver what waits."""
        await self._dispatcher.deliver()
        return LOOK_EVERY_S

    async def close(self) -> None:
        """Let go of the targets."""
        await self._dispatcher.close()
