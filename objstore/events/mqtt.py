"""Events to an MQTT broker: `mqtt://user:password@host:1883?topic=NAME`, `mqtts://` with TLS.

Taken means PUBACK: every event is sent with QoS 1. MQTT 3.1.1, which all brokers speak.
"""

from typing import Final

from aiomqtt import Client

from objstore.events.broker import CONNECT_S, SEND_S, Broker
from objstore.events.target_url import CA, TargetUrl
from objstore.events.targets import Message

PORT: Final = 1883
TLS_PORT: Final = 8883
AT_LEAST_ONCE: Final = 1


class Mqtt(Broker[Client]):
    """A message to one topic."""

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        is_secure = text.startswith("mqtts:")
        url = TargetUrl.parse(text, TLS_PORT if is_secure else PORT)
        super().__init__(url)
        url.require_one_host()
        url.require_parameters(("topic",), ("client_id", CA) if is_secure else ("client_id",))
        self._topic = url.parameters["topic"]
        if set("+#\0") & set(self._topic):
            raise ValueError("the topic must be without wildcards")
        self._tls = url.tls() if is_secure else None

    async def open(self) -> Client:
        """See `Broker.open`."""
        url = self.url
        client = Client(
            url.host,
            url.port,
            username=url.username,
            password=url.password,
            identifier=url.parameters.get("client_id"),
            tls_context=self._tls,
            timeout=CONNECT_S,
        )
        await client.__aenter__()
        return client

    async def hand_over(self, connection: Client, message: Message) -> None:
        """See `Broker.hand_over`."""
        await connection.publish(self._topic, message.document, qos=AT_LEAST_ONCE, timeout=SEND_S)

    async def shut(self, connection: Client) -> None:
        """See `Broker.shut`."""
        await connection.__aexit__(None, None, None)
