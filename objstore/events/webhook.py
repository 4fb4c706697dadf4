"""Events as POST requests to a URL: any 2xx answer means that one was taken."""

from typing import Final
from urllib.parse import urlsplit

import aiohttp

from objstore.events.targets import TargetError
from objstore.outbound import client_session, is_address, is_permitted

TIMEOUT_S: Final = 10.0


class Webhook:
    """One URL. A user name and password in it go as basic authentication."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._host = urlsplit(url).hostname or ""
        self._session: aiohttp.ClientSession | None = None

    async def send(self, document: bytes) -> None:
        """See `Target.send`."""
        if self._session is None:
            self._session = client_session(TIMEOUT_S)
        if is_address(self._host) and not is_permitted(self._host, self._host):
            raise TargetError(f"{self._host} may not be connected to")  # it never reaches the resolver
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
