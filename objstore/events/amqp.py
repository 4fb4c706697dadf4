"""Events to RabbitMQ and other brokers of AMQP 0.9.1:
`amqp://user:password@host:5672/vhost?exchange=NAME&routing_key=KEY`, `amqps://` with TLS.

Taken means the publisher confirm of a persistent message. Messages are mandatory: one that no queue takes
comes back, and counts as not taken.
"""

from dataclasses import dataclass
from typing import Final

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractExchange

from objstore.events.broker import CONNECT_S, SEND_S, Broker
from objstore.events.target_url import CA, TargetUrl
from objstore.events.targets import Message

PORT: Final = 5672
TLS_PORT: Final = 5671


@dataclass(frozen=True, slots=True)
class Channel:
    """A connection with a channel of its own that has publisher confirms, and the exchange."""

    connection: AbstractConnection
    exchange: AbstractExchange


class _Connection(aio_pika.Connection):
    """One that the garbage collector, which may run in any thread, does not try to close on an event loop."""

    def __del__(self) -> None:
        pass


class Amqp(Broker[Channel]):
    """A message to one exchange; without, to the queue that the routing key names."""

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        is_secure = text.startswith("amqps:")
        url = TargetUrl.parse(text, TLS_PORT if is_secure else PORT)
        super().__init__(url)
        url.require_one_host()
        url.require_parameters(("routing_key",), ("exchange", CA) if is_secure else ("exchange",))
        self._exchange = url.parameters.get("exchange", "")
        self._routing_key = url.parameters["routing_key"]
        self._tls = url.tls() if is_secure else None

    async def open(self) -> Channel:
        """See `Broker.open`. The exchange must be there."""
        url = self.url
        connection = await aio_pika.connect(
            host=url.host,
            port=url.port,
            login=url.username or "guest",
            password=url.password or "guest",
            virtualhost=url.path or "/",
            ssl=self._tls is not None,
            ssl_context=self._tls,
            timeout=CONNECT_S,
            client_properties={"connection_name": "objstore"},
            connection_class=_Connection,
        )
        try:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            exchange = channel.default_exchange
            if self._exchange:
                exchange = await channel.get_exchange(self._exchange)
        except BaseException:
            await connection.close()
            raise
        return Channel(connection, exchange)

    async def hand_over(self, connection: Channel, message: Message) -> None:
        """See `Broker.hand_over`."""
        await connection.exchange.publish(
            aio_pika.Message(
                message.document,
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                message_id=message.id,
                app_id="objstore",
            ),
            self._routing_key,
            mandatory=True,
            timeout=SEND_S,
        )

    async def shut(self, connection: Channel) -> None:
        """See `Broker.shut`."""
        await connection.connection.close()
