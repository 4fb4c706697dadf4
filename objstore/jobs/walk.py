"""Walking all blobs here that something refers to, and remembering how far a job has come."""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

from objstore.meta import queries
from objstore.meta.client import Metadata
from objstore.meta.commands import SetState
from objstore.model import BlobRef
from objstore.remote.tier_store import is_at_tier

PAGE_BLOBS: Final = 500


async def pages(
    metadata: Metadata, after: bytes = b"", page_blobs: int = PAGE_BLOBS
) -> AsyncIterator[list[BlobRef]]:
    """Every blob known to the metadata whose id is above `after`, by id, in pages that are not empty.

    Those at a tier are left out: no drive of ours concerns them.

    A snapshot per page: a blob let go of since may still come, one moved since may come with its old
    locator, one made since comes if its id is still ahead.
    """
    while page := await metadata.read(queries.blobs_after, after, page_blobs):
        after = page[-1].id
        here = [ref for ref in page if not is_at_tier(ref)]
        if here:
            yield here


async def blobs(metadata: Metadata, after: bytes = b"") -> AsyncIterator[BlobRef]:
    """The same, one by one."""
    async for page in pages(metadata, after):
        for ref in page:
            yield ref


async def load(metadata: Metadata, name: str) -> dict[str, Any]:
    """What `save` stored under this name; empty when there is nothing that can be read."""
    value = await metadata.read(queries.state, name)
    try:
        state = json.loads(value) if value is not None else {}
    except ValueError:
        return {}
    return state if isinstance(state, dict) else {}


async def save(metadata: Metadata, name: str, state: dict[str, Any]) -> None:
    """Keep `state` (plain JSON values) in the metadata, so that a restart goes on from it."""
    await metadata.write(SetState(name, json.dumps(state, sort_keys=True).encode()))
