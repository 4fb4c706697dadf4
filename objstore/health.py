"""Health and metrics pages: what a load balancer, an orchestrator and Prometheus ask.

- `/health/live`: the event loop turns. When it does not, restart the server.
- `/health/ready`: requests are answered: the ledger can be reached and objects can be read. The body
  says "read-only" where writes are refused (too few drives or journals); reads must not stop for that.
- `/health/writable`: 200 only while objects can be written, too.

The bucket names `health` and `metrics` are refused (s3/names.py). Health pages are for everyone and say no
more than what works; `/metrics` says more and is for those whom `Readers` lets in.
"""

import asyncio
import functools
import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from objstore import metrics
from objstore.api.exchange import Request
from objstore.meta import queries
from objstore.meta.interface import MetadataError
from objstore.service.watches import METRICS
from objstore.storage.interface import BlobStore, DriveState

LEDGER_ANSWER_S: Final = 2.0
"""A ledger that has not answered a question about itself by then counts as away."""
OBSERVE_S: Final = 5.0

Page = Callable[[Request], Awaitable[tuple[int, str, bytes]]]


class Ledger(Protocol):
    """The part of `meta.client.Metadata` that is used here."""

    async def ledger_status(self) -> dict[str, Any]:
        """How the ledger stands."""
        ...

    async def read(self, query: Any, *args: Any) -> Any:
        """What a query finds."""
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


@dataclass(frozen=True, slots=True)
class Readers:
    """Who may read /metrics: everyone, whoever has the token, or (without either) this machine."""

    is_everyone: bool = False
    token: str | None = None

    def may_read(self, request: Request) -> bool:
        """Whether this request is from one of them; what a proxy passes on is not this machine's."""
        if self.is_everyone:
            return True
        headers = {name.lower(): value for name, value in request.headers}
        if self.token is None:
            return _is_loopback(request.remote) and _PROXIED.isdisjoint(headers)
        scheme, _, said = headers.get("authorization", "").partition(" ")
        is_right = hmac.compare_digest(said.strip().encode(), self.token.encode())
        return scheme.lower() == "bearer" and is_right


class _Filters:
    """Which metrics configurations there are; while that cannot be read, which there were."""

    def __init__(self, metadata: Ledger) -> None:
        self._metadata = metadata
        self.known: frozenset[tuple[str, str]] = frozenset()

    async def refresh(self) -> None:
        """Look again."""
        found: set[tuple[str, str]] = set()
        after = ("", "")
        try:
            while page := await self._metadata.read(queries.family_members, METRICS, after):
                found.update((bucket.name, id_) for bucket, id_, _ in page)
                after = (page[-1][0].name, page[-1][1])
        except MetadataError:
            return
        self.known = frozenset(found)


_PROXIED: Final = frozenset({"forwarded", "via", "x-forwarded-for", "x-real-ip"})
_FORBIDDEN: Final = (
    b"/metrics is for this machine, or for whom the settings metrics_token or metrics_public let in.\n"
)


def _is_loopback(remote: str) -> bool:
    try:
        address = ipaddress.ip_address(remote)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def pages(ledger: Ledger, store: BlobStore, readers: Readers) -> Mapping[str, Page]:
    """What answers the paths beside S3; /metrics only to `readers`."""

    filters = _Filters(ledger)

    async def live(request: Request) -> tuple[int, str, bytes]:
        return 200, "application/json", b'{"status": "live"}\n'

    async def ready(request: Request) -> tuple[int, str, bytes]:
        now = await standing(ledger, store)
        return now.answer(200 if now.may_read else 503)

    async def writable(request: Request) -> tuple[int, str, bytes]:
        now = await standing(ledger, store)
        return now.answer(200 if now.may_write else 503)

    async def numbers(request: Request) -> tuple[int, str, bytes]:
        if not readers.may_read(request):
            return 403, "text/plain; charset=utf-8", _FORBIDDEN
        await filters.refresh()
        show = functools.partial(metrics.page, filters.known)
        content_type, body = await asyncio.get_running_loop().run_in_executor(None, show)
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
