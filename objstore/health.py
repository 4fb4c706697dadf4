"""Health and metrics pages: what a load balancer, an orchestrator and Prometheus ask.

- `/health/live`: the event loop turns. When it does not, restart the server.
- `/health/ready`: requests are answered: the ledger can be reached and objects can be read. The body
  says "read-only" where writes are refused (too few drives or journals); reads must not stop for that.
- `/health/writable`: 200 only while objects can be written, too.

The bucket names `health` and `metrics` are refused (s3/names.py).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from objstore import metrics
from objstore.meta.interface import MetadataError
from objstore.storage.interface import BlobStore, DriveState

LEDGER_ANSWER_S: Final = 2.0
"""A ledger that has not answered a question about itself by then counts as away."""
OBSERVE_S: Final = 5.0

Page = Callable[[], Awaitable[tuple[int, str, bytes]]]


class Ledger(Protocol):
    """The part of `meta.client.Metadata` that is used here."""

    async def ledger_status(self) -> dict[str, Any]:
        """How the ledger stands."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """What can be done now, and why not the rest."""

    may_read: bool
    may_write: bool
    reasons: tuple[str, ...]

    def answer(self, status: int) -> tuple[int, str, bytes]:
        """A page with this status."""
        name = ("ready" if self.may_write else "read-only") if self.may_read else "not ready"
        said = {"status": name, "reasons": self.reasons}
        return status, "application/json", json.dumps(said).encode() + b"\n"


async def standing(ledger: Ledger, store: BlobStore) -> Standing:
    """Ask the ledger and the store. Takes at most LEDGER_ANSWER_S."""
    status = await store.status()
    may_read, may_write = status.may_read, status.may_write
    reasons = [status.reason] if status.reason else []
    try:
        async with asyncio.timeout(LEDGER_ANSWER_S):
            said = await ledger.ledger_status()
    except (TimeoutError, MetadataError) as exc:
        return Standing(
            False, False, (*reasons, f"the ledger does not answer: {str(exc) or 'no answer in time'}")
        )
    if not said["is_writable"]:
        may_write = False
        reasons.append(said["reason"] or "the ledger takes no commands")
    return Standing(may_read, may_read and may_write, tuple(reasons))


def pages(ledger: Ledger, store: BlobStore) -> Mapping[str, Page]:
    """What answers the paths beside S3."""

    async def live() -> tuple[int, str, bytes]:
        return 200, "application/json", b'{"status": "live"}\n'

    async def ready() -> tuple[int, str, bytes]:
        now = await standing(ledger, store)
        return now.answer(200 if now.may_read else 503)

    async def writable() -> tuple[int, str, bytes]:
        now = await standing(ledger, store)
        return now.answer(200 if now.may_write else 503)

    async def numbers() -> tuple[int, str, bytes]:
        content_type, body = await asyncio.get_running_loop().run_in_executor(None, metrics.page)
        return 200, content_type, body

    return {"/health/live": live, "/health/ready": ready, "/health/writable": writable, "/metrics": numbers}


async def observe(store: BlobStore) -> None:
    """Keep the gauges of the drives up to date. All workers say the same; the last one counts."""
    while True:
        for drive in (await store.status()).drives:
            label = str(drive.number) if drive.number >= 0 else drive.path
            metrics.DRIVE_TOTAL_BYTES.labels(label).set(drive.total_bytes)
            metrics.DRIVE_FREE_BYTES.labels(label).set(drive.free_bytes)
            for state in DriveState:
                metrics.DRIVE_STATE.labels(label, state.value).set(state is drive.state)
        await asyncio.sleep(OBSERVE_S)
