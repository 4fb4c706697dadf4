"""Events to Kafka: `kafka://user:password@host:9092,host:9092?topic=NAME`, `kafka+tls://` with TLS.

Taken means that all in-sync replicas have it (`acks=all`). The message key is `bucket/key`, so the events of
an object stay in one partition, in order.
"""

from typing import Any, Final

from aiokafka import AIOKafkaProducer

from objstore.events.broker import CONNECT_S, SEND_S, Broker
from objstore.events.target_url import CA, TargetUrl
from objstore.events.targets import Message

PORT: Final = 9092
MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
REQUEST_S: Final = 6.0
"""How long the producer tries by itself: less than we wait, so that it never sends what we gave up."""
assert max(REQUEST_S, CONNECT_S) < SEND_S


class Kafka(Broker[AIOKafkaProducer]):
    """A message to one topic, with the header `id`. A user name goes by SASL `mechanism`."""

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        url = TargetUrl.parse(text, PORT)
        super().__init__(url)
        is_secure = url.scheme == "kafka+tls"
        url.require_parameters(("topic",), ("mechanism", CA) if is_secure else ("mechanism",))
        self._topic = url.parameters["topic"]
        mechanism = url.parameters.get("mechanism", MECHANISMS[0])
        if mechanism not in MECHANISMS:
            raise ValueError(f"the mechanism must be one of {', '.join(MECHANISMS)}")
        self._access: dict[str, Any] = {"security_protocol": "SSL" if is_secure else "PLAINTEXT"}
        if url.username is not None:
            self._access = {
                "security_protocol": "SASL_SSL" if is_secure else "SASL_PLAINTEXT",
                "sasl_mechanism": mechanism,
                "sasl_plain_username": url.username,
                "sasl_plain_password": url.password or "",
            }
        if is_secure:
            self._access["ssl_context"] = url.tls()

    async def open(self) -> AIOKafkaProducer:
        """See `Broker.open`."""
        producer = AIOKafkaProducer(
            bootstrap_servers=[f"{host}:{port}" for host, port in self.url.hosts],
            client_id="objstore",
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=int(REQUEST_S * 1000),
            **self._access,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def hand_over(self, connection: AIOKafkaProducer, message: Message) -> None:
        """See `Broker.hand_over`."""
        await connection.send_and_wait(
            self._topic,
            message.document,
            key=message.key.encode(),
            headers=[("id", message.id.encode())],
        )

    async def shut(self, connection: AIOKafkaProducer) -> None:
        """See `Broker.shut`."""
        await connection.stop()
