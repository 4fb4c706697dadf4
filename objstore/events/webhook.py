"""Events as POST requests to a URL: any 2xx answer means that one was taken."""

from typing import Final

import aiohttp
from yarl import URL

from objstore.events.outbound import client_session, is_permitted
from objstore.events.targets import TargetError

TIMEOUT_S: Final = 10.0


class Webhook:
    """One URL. A user name and password in it go as basic authentication."""

    def __init__(self, url: str) -> None:
        self._url = URL(url)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, document: bytes) -> None:
        """See `Target.send`."""
        if self._session is None:
            self._session = client_session(TIMEOUT_S)
        host = self._url.host or ""
        if _is_address(host) and not is_permitted(host, host):  # addresses never reach the resolver
            raise TargetError(f"{host} may not be connected to")
        headers = {"content-type": "application/json"}
        try:
            async with self._session.post(
                self._url, data=document, headers=headers, allow_redirects=False
            ) as answer:
                if not 200 <= answer.status < 300:
                    raise TargetError(f"HTTP status {answer.status}")
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise TargetError(f"{type(exc).__name__}: {exc}") from exc

    async def close(self) -> None:
        """See `Target.close`."""
        if self._session is not None:
            await self._session.close()


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()
