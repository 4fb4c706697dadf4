"""Events at real brokers: at least once, in the order of each key, past the death of broker or server."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus
from uuid import uuid4

import pytest

from tests.support import brokers
from tests.support.brokers import Broker
from tests.support.server import Server

WITHIN_S = 60.0
"""After a broker came back, events may wait out a pause of the dispatcher, and the machine may be busy."""


class Inbox:
    """What arrived at one target. `read` finds documents; those that are consumed by it are kept here."""

    def __init__(self, kind: type[Broker], **parameters: str) -> None:
        self.kind = kind
        self.parameters = parameters

    async def prepare(self, broker: Broker) -> None:
        """Make what the operator makes: stream, queue, topic."""

    async def read(self, broker: Broker) -> list[bytes | str]:
        raise NotImplementedError


class RedisStream(Inbox):
    async def read(self, broker: Broker) -> list[bytes | str]:
        from redis.asyncio import Redis

        async with Redis(port=broker.port, password="s3cret") as client:
            entries: Any = await client.xrange(self.parameters["stream"])
        for _, fields in entries:
            assert set(fields) == {b"event", b"key", b"id"}
        return [fields[b"event"] for _, fields in entries]


class RedisList(Inbox):
    async def read(self, broker: Broker) -> list[bytes | str]:
        from redis.asyncio import Redis

        async with Redis(port=broker.port, password="s3cret") as client:
            found: Any = client.lrange(self.parameters["list"], 0, -1)
            return list(await found)


class JetStream(Inbox):
    async def prepare(self, broker: Broker) -> None:
        client = await self._connect(broker)
        await client.jetstream().add_stream(name="events", subjects=["s3.>"])
        await client.close()

    async def read(self, broker: Broker) -> list[bytes | str]:
        client = await self._connect(broker)
        stream = client.jetstream()
        last = (await stream.stream_info("events")).state.last_seq
        found = [(await stream.get_msg("events", number)).data or b"" for number in range(1, last + 1)]
        await client.close()
        return [*found]

    async def _connect(self, broker: Broker) -> Any:
        import nats

        return await nats.connect(broker.url().partition("?")[0], allow_reconnect=False)


class AmqpQueue(Inbox):
    def __init__(self, kind: type[Broker], **parameters: str) -> None:
        super().__init__(kind, **parameters)
        self._taken: list[bytes | str] = []

    async def prepare(self, broker: Broker) -> None:
        import aio_pika

        async with await aio_pika.connect(broker.url().partition("?")[0]) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue("s3", durable=True)
            exchange = await channel.declare_exchange("events", "direct", durable=True)
            await queue.bind(exchange, self.parameters["routing_key"])

    async def read(self, broker: Broker) -> list[bytes | str]:
        import aio_pika

        async with await aio_pika.connect(broker.url().partition("?")[0]) as connection:
            queue = await (await connection.channel()).get_queue("s3")
            while (message := await queue.get(fail=False)) is not None:
                assert message.content_type == "application/json" and message.message_id
                self._taken.append(message.body)
                await message.ack()
        return self._taken


class MqttSession(Inbox):
    """A subscriber that is away keeps its place: the broker holds messages for its session."""

    def __init__(self, kind: type[Broker], **parameters: str) -> None:
        super().__init__(kind, **parameters)
        self._taken: list[bytes | str] = []

    async def prepare(self, broker: Broker) -> None:
        async with self._client(broker) as client:
            await client.subscribe(self.parameters["topic"], qos=1)

    async def read(self, broker: Broker) -> list[bytes | str]:
        async with self._client(broker) as client:
            try:
                async with asyncio.timeout(0.5):
                    async for message in client.messages:
                        self._taken.append(bytes(message.payload))
            except TimeoutError:
                pass
        return self._taken

    def _client(self, broker: Broker) -> Any:
        from aiomqtt import Client

        return Client("127.0.0.1", broker.port, identifier="reader", clean_session=False)


class KafkaTopic(Inbox):
    async def prepare(self, broker: Broker) -> None:
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic

        admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{broker.port}")
        await admin.start()
        await admin.create_topics([NewTopic(self.parameters["topic"], 3, 1)])
        await admin.close()

    async def read(self, broker: Broker) -> list[bytes | str]:
        from aiokafka import AIOKafkaConsumer, TopicPartition

        consumer = AIOKafkaConsumer(bootstrap_servers=f"127.0.0.1:{broker.port}")
        await consumer.start()
        try:
            partitions = [TopicPartition(self.parameters["topic"], number) for number in range(3)]
            ends = await consumer.end_offsets(partitions)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            found: list[bytes | str] = []
            async with asyncio.timeout(10):
                while len(found) < sum(ends.values()):
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        for record in records:
                            bucket_and_key = keyed(json.loads(record.value))
                            assert bucket_and_key is None or record.key.decode() == bucket_and_key
                            found.append(record.value)
            return found
        finally:
            await consumer.stop()


class Table(Inbox):
    async def read(self, broker: Broker) -> list[bytes | str]:
        import asyncpg

        connection = await asyncpg.connect(broker.url().partition("?")[0])
        try:
            if await connection.fetchval("SELECT to_regclass($1)", self.parameters["table"]) is None:
                return []
            return [row[0] for row in await connection.fetch("SELECT event FROM s3_events ORDER BY id")]
        finally:
            await connection.close()


def keyed(document: dict[str, Any]) -> str | None:
    """bucket/key of a document that has records."""
    if "Records" not in document:
        return None
    about = document["Records"][0]["s3"]
    return f"{about['bucket']['name']}/{unquote_plus(about['object']['key'])}"


INBOXES: dict[str, Callable[[], Inbox]] = {
    "redis-stream": lambda: RedisStream(brokers.RedisServer, stream="events", length_max="100000"),
    "redis-list": lambda: RedisList(brokers.RedisServer, list="events-list"),
    "nats": lambda: JetStream(brokers.NatsServer, subject="s3.events", stream="events"),
    "amqp": lambda: AmqpQueue(brokers.RabbitMq, exchange="events", routing_key="s3"),
    "mqtt": lambda: MqttSession(brokers.Mosquitto, topic="s3/events"),
    "kafka": lambda: KafkaTopic(brokers.Kafka, topic="s3-events"),
    "postgresql": lambda: Table(brokers.Postgresql, table="s3_events"),
}


@dataclass
class Scene:
    """A server whose targets are all brokers that are installed here."""

    directory: Any
    brokers: dict[type[Broker], Broker] = field(default_factory=dict)
    inboxes: dict[str, Inbox] = field(default_factory=dict)
    server: Server = field(init=False)

    def start(self) -> None:
        inboxes = {name: make() for name, make in INBOXES.items()}
        made: dict[type[Broker], Broker] = {}
        for inbox in inboxes.values():
            if inbox.kind not in made:
                made[inbox.kind] = inbox.kind()
        self.brokers = {kind: broker for kind, broker in made.items() if broker.find() is not None}
        for kind in made.keys() - self.brokers.keys():
            made[kind].close()
        self.inboxes = {name: inbox for name, inbox in inboxes.items() if inbox.kind in self.brokers}
        with ThreadPoolExecutor() as pool:
            list(pool.map(_begin, self.brokers.values()))
        for inbox in self.inboxes.values():
            run(inbox.prepare(self.brokers[inbox.kind]))
        targets = ",".join(
            f"{name}={self.brokers[inbox.kind].url(**inbox.parameters)}"
            for name, inbox in self.inboxes.items()
        )
        self.server = Server(self.directory, environment={"OBJSTORE_TARGETS": targets}).start()

    def broker(self, name: str) -> Broker:
        if name not in self.inboxes:
            pytest.skip(f"NOT TESTED: {INBOXES[name]().kind.program} is not installed")
        return self.brokers[self.inboxes[name].kind]

    def documents(self, name: str, bucket: str) -> list[dict[str, Any]]:
        """The documents about a bucket that arrived, in order, each once."""
        found = run(self.inboxes[name].read(self.broker(name)))
        parsed = [json.loads(each) for each in dict.fromkeys(found)]
        return [each for each in parsed if each.get("Bucket") == bucket or _bucket(each) == bucket]

    def wait_for(self, name: str, count: int, bucket: str) -> dict[str, list[int]]:
        """The sizes told of each key, once there are `count` records of the bucket."""

        async def wait() -> dict[str, list[int]]:
            async with asyncio.timeout(WITHIN_S):
                while True:
                    documents = await asyncio.to_thread(self.documents, name, bucket)
                    records = [record for each in documents for record in each.get("Records", ())]
                    if len(records) >= count:
                        break
                    await asyncio.sleep(0.1)
            assert len(records) == count, records
            sizes: dict[str, list[int]] = {}
            for record in records:
                about = record["s3"]["object"]
                sizes.setdefault(about["key"], []).append(about["size"])
            return sizes

        return asyncio.run(wait())


def _begin(broker: Broker) -> None:
    broker.prepare()
    broker.start()


def _bucket(document: dict[str, Any]) -> str | None:
    records = document.get("Records")
    return records[0]["s3"]["bucket"]["name"] if records else None


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("targets"))
    try:
        made.start()
        yield made
        assert made.server.stop() == 0, made.server.log_tail()
        log = made.server.log_path.read_text()
        assert "s3cret" not in log and "Traceback" not in log, log
    finally:
        if hasattr(made, "server") and made.server.process is not None:
            made.server.kill()
        for broker in made.brokers.values():
            broker.close()


def subscribe(scene: Scene, names: Sequence[str]) -> tuple[Any, str]:
    """A bucket that tells each target of the keys below its name."""
    client, bucket = scene.server.client(), f"bucket-{uuid4().hex[:8]}"
    client.create_bucket(Bucket=bucket)
    queues = [
        {
            "QueueArn": f"arn:aws:sqs:us-east-1:000000000000:{name}",
            "Events": ["s3:ObjectCreated:*"],
            "Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": f"{name}/"}]}},
        }
        for name in names
    ]
    client.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": queues}
    )
    return client, bucket


def put_rounds(client: Any, bucket: str, name: str, rounds: range) -> None:
    for size in rounds:
        for key in ("a", "b ü"):
            client.put_object(Bucket=bucket, Key=f"{name}/{key}", Body=b"x" * size)


def expected(name: str, count: int) -> dict[str, list[int]]:
    return {f"{name}/a": [*range(count)], f"{name}/b+%C3%BC": [*range(count)]}


@pytest.mark.parametrize("name", INBOXES)
def test_events_arrive_in_order_and_after_the_broker_was_away(scene: Scene, name: str) -> None:
    broker = scene.broker(name)
    client, bucket = subscribe(scene, [name])
    put_rounds(client, bucket, name, range(3))
    assert scene.wait_for(name, 6, bucket) == expected(name, 3)
    assert [each["Event"] for each in scene.documents(name, bucket) if "Event" in each] == ["s3:TestEvent"]
    broker.kill()
    put_rounds(client, bucket, name, range(3, 6))
    broker.start()
    assert scene.wait_for(name, 12, bucket) == expected(name, 6)


def test_what_was_committed_before_the_server_was_killed_is_delivered(scene: Scene) -> None:
    client, bucket = subscribe(scene, [*scene.inboxes])
    for broker in scene.brokers.values():
        broker.kill()
    for name in scene.inboxes:
        put_rounds(client, bucket, name, range(3))
    scene.server.kill()
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda broker: broker.start(), scene.brokers.values()))
    scene.server.start()
    for name in scene.inboxes:
        assert scene.wait_for(name, 6, bucket) == expected(name, 3), name
