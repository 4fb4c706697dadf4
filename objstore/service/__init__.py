"""What S3 operations mean: no HTTP, no XML, no SQL."""

from dataclasses import dataclass

from objstore.service.facts import Facts
from objstore.service.objects import Objects
from objstore.service.reader import OldestRead, Reader, ReadsUnderWay
from objstore.service.writer import Writer
from objstore.storage.interface import BlobStore


@dataclass(frozen=True, slots=True)
class Services:
    """The services that handlers use."""

    objects: Objects
    _writer: Writer

    async def drain(self) -> None:
        """Wait until what was begun is decided: at the end of a worker, before the stores close."""
        await self._writer.drain()


def build_services(facts: Facts, store: BlobStore, shared: OldestRead, worker: int) -> Services:
    """The services of one worker (0-based number `worker`) over its metadata and blob store."""
    writer = Writer(facts, store)
    reader = Reader(facts, store, ReadsUnderWay(shared, worker))
    return Services(objects=Objects(facts, writer, reader), _writer=writer)
