"""Events as POST requests to a URL: any 2xx answer means that one was taken."""

from typing import Final

import aiohttp

from objstore.events.target_url import TargetUrl
from objstore.events.targets import Message, TargetError
from objstore.outbound import client_session, is_address, is_permitted

PORT: Final = 80
TIMEOUT_S: Final = 10.0


class Webhook:
    """One URL. A user name and password in it go as basic authentication."""

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        self._url = TargetUrl.parse(text, PORT)
        self._url.require_one_host()
        self._session: aiohttp.ClientSession | None = None

    async def send(self, message: Message) -> None:
        """See `Target.send`."""
        if self._session is None:
            self._session = client_session(TIMEOUT_S)
        host = self._url.host
        if is_address(host) and not is_permitted(host, host):
            raise TargetError(f"{host} may not be connected to")  # it never reaches the resolver
        headers = {"content-type": "application/json"}
        try:
            async with self._session.post(
                self._url.text, data=message.document, headers=headers, allow_redirects=False
            ) as answer:
                if not 200 <= answer.status < 300:
                    raise TargetError(f"HTTP status {answer.status}")
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise TargetError(self._url.redact(f"{type(exc).__name__}: {exc}")) from None

    async def close(self) -> None:
        """See `Target.close`."""
        if self._session is not None:
            await self._session.close()
