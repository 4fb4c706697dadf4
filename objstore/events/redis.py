"""Events to Redis or Valkey: `redis://user:password@host:6379/0?stream=NAME` or `?list=NAME`.

Taken means that XADD or RPUSH was answered; whether it outlives a crash of Redis is for its `appendfsync`
to say.
"""

from typing import Any, Final

from redis.asyncio import Redis as Client
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from objstore.events.broker import CONNECT_S, SEND_S, Broker
from objstore.events.target_url import CA, TargetUrl
from objstore.events.targets import Message

PORT: Final = 6379
LENGTH_MAX: Final = "length_max"


class Redis(Broker[Client]):
    """An entry of a stream (fields `event`, `key` and `id`), or an element at the end of a list."""

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        url = TargetUrl.parse(text, PORT)
        super().__init__(url)
        url.require_one_host()
        self._stream, self._list = url.parameters.get("stream"), url.parameters.get("list")
        if bool(self._stream) is bool(self._list):
            raise ValueError(f"{url.scheme}:// needs one of the parameters stream=… and list=…")
        is_secure = url.scheme == "rediss"
        of_stream = {"stream", LENGTH_MAX} if self._stream else {"list"}
        url.require_parameters((), of_stream | ({CA} if is_secure else set()))
        if not (url.path or "0").isdigit():
            raise ValueError("the path must be the number of a database, as in /0")
        self._length_max = _count(url.parameters.get(LENGTH_MAX))
        self._tls: dict[str, Any] = {"ssl": True, "ssl_ca_certs": url.parameters.get(CA)} if is_secure else {}
        if is_secure:
            url.tls()

    async def open(self) -> Client:
        """See `Broker.open`: a pool, whose connections are made as they are needed."""
        url = self.url
        client: Client = Client(
            host=url.host,
            port=url.port,
            db=int(url.path or "0"),
            username=url.username,
            password=url.password,
            socket_connect_timeout=CONNECT_S,
            socket_timeout=SEND_S,
            retry=Retry(NoBackoff(), 0),
            client_name="objstore",
            **self._tls,
        )
        return client

    async def hand_over(self, connection: Client, message: Message) -> None:
        """See `Broker.hand_over`."""
        if self._stream:
            fields: dict[Any, Any] = {"event": message.document, "key": message.key, "id": message.id}
            await connection.xadd(self._stream, fields, maxlen=self._length_max)
        else:
            assert self._list is not None
            await connection.rpush(self._list, message.document)

    async def shut(self, connection: Client) -> None:
        """See `Broker.shut`."""
        await connection.aclose()


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or not int(text):
        raise ValueError(f"{LENGTH_MAX} must be a number of entries, 1 or more")
    return int(text)
