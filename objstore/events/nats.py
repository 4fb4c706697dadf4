"""Events to NATS JetStream: `nats://user:password@host:4222?subject=NAME`, `nats+tls://` with TLS.

Taken means JetStream's PubAck: a stream that the operator made has stored it. Each event has its
`Nats-Msg-Id`, by which the stream drops one that comes twice within its duplicate window.
"""

from typing import Final

import nats
from nats.aio.client import Client

from objstore.events.broker import CONNECT_S, SEND_S, Broker
from objstore.events.target_url import CA, TargetUrl
from objstore.events.targets import Message

PORT: Final = 4222


class Nats(Broker[Client]):
    """A message to one subject. A user name without password is a token."""

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        url = TargetUrl.parse(text, PORT)
        super().__init__(url)
        is_secure = url.scheme == "nats+tls"
        url.require_parameters(("subject",), ("stream", CA) if is_secure else ("stream",))
        self._subject = url.parameters["subject"]
        if any(part in ("", "*", ">") for part in self._subject.split(".")) or " " in self._subject:
            raise ValueError("the subject must be words with dots in between, without wildcards")
        self._tls = url.tls() if is_secure else None

    async def open(self) -> Client:
        """See `Broker.open`."""
        url = self.url
        is_token = url.username is not None and url.password is None
        return await nats.connect(
            [f"{'tls' if self._tls else 'nats'}://{_bracketed(host)}:{port}" for host, port in url.hosts],
            name="objstore",
            user=None if is_token else url.username,
            password=url.password,
            token=url.username if is_token else None,
            tls=self._tls,
            connect_timeout=int(CONNECT_S),
            allow_reconnect=False,
            error_cb=_ignore,  # what fails is raised where it is waited for as well
        )

    async def hand_over(self, connection: Client, message: Message) -> None:
        """See `Broker.hand_over`."""
        await connection.jetstream().publish(
            self._subject,
            message.document,
            timeout=SEND_S,
            stream=self.url.parameters.get("stream"),
            headers={"Nats-Msg-Id": message.id},
        )

    async def shut(self, connection: Client) -> None:
        """See `Broker.shut`."""
        await connection.close()


async def _ignore(exc: Exception) -> None:
    pass


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
