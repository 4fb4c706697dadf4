"""Who listens: filters, bounds, and that nobody is kept who has gone."""

import asyncio
import json
from collections.abc import Callable
from urllib.parse import unquote

import pytest

from objstore.meta.commands.events import LIVE
from objstore.meta.queries import Event
from objstore.s3.documents.notification import Subscription
from objstore.s3.errors import SlowDown
from objstore.service import listeners as module
from objstore.service.listeners import Listener, Listeners

CREATED = Subscription("", "", ("s3:ObjectCreated:*",), "in/", ".jpg")


class FakeFeed:
    """Tells what it is told to tell."""

    def __init__(self) -> None:
        self.receive: Callable[[Event], None] | None = None

    async def open(self, receive: Callable[[Event], None]) -> None:
        self.receive = receive

    def close(self) -> None:
        self.receive = None

    def tell(self, key: str, bucket: str = "bucket", event: str = "s3:ObjectCreated:Put") -> None:
        assert self.receive is not None
        names = ("event", "principal_id", "source_ip", "request_id", "host_id", "owner_id", "region")
        facts = {**dict.fromkeys(names, ""), "bucket": bucket, "configuration_id": "listen"}
        about = json.dumps(facts).encode()
        self.receive(Event(1, LIVE, 1, key, event, about, None, 1, "etag", 0))


def anyone(bucket: str) -> bool:
    return True


def keys(taken: bytes) -> list[str]:
    records = [json.loads(line)["Records"][0] for line in taken.splitlines()]
    return [unquote(record["s3"]["object"]["key"]) for record in records]


def test_each_hears_what_it_asked_for() -> None:
    async def scene() -> None:
        feed = FakeFeed()
        every = Listeners(feed)
        one, everywhere = (
            await every.open("bucket", CREATED, anyone),
            await every.open(None, CREATED, lambda bucket: bucket != "secret"),
        )
        feed.tell("in/a.jpg")
        feed.tell("in/a.png")
        feed.tell("out/a.jpg")
        feed.tell("in/a.jpg", event="s3:ObjectRemoved:Delete")
        feed.tell("in/b.jpg", bucket="other")
        feed.tell("in/c.jpg", bucket="secret")
        assert keys(await one.take(1)) == ["in/a.jpg"]
        assert keys(await everywhere.take(1)) == ["in/a.jpg", "in/b.jpg"]
        assert await one.take(0.01) == b""

    asyncio.run(scene())


def test_who_does_not_keep_up_misses_what_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAITING_EVENTS_MAX", 3)

    async def scene() -> None:
        feed = FakeFeed()
        listener = await Listeners(feed).open("bucket", CREATED, anyone)
        for number in range(5):
            feed.tell(f"in/{number}.jpg")
        assert keys(await listener.take(1)) == ["in/0.jpg", "in/1.jpg", "in/2.jpg"]
        feed.tell("in/5.jpg")
        assert keys(await listener.take(1)) == ["in/5.jpg"]

    asyncio.run(scene())


def test_what_waits_is_bounded_in_bytes() -> None:
    async def scene() -> None:
        listener = Listener(None, CREATED, anyone)
        for _ in range(5):
            listener.put(b"x" * (module.WAITING_BYTES_MAX // 3))
        assert len(await listener.take(1)) == 3 * (module.WAITING_BYTES_MAX // 3)

    asyncio.run(scene())


def test_who_has_gone_is_not_kept_and_the_last_closes_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LISTENERS_MAX", 2)

    async def scene() -> None:
        feed = FakeFeed()
        every = Listeners(feed)
        first, second = (
            await every.open("bucket", CREATED, anyone),
            await every.open("bucket", CREATED, anyone),
        )
        with pytest.raises(SlowDown):
            await every.open("bucket", CREATED, anyone)
        del first
        third = await every.open("bucket", CREATED, anyone)
        del second, third
        feed.tell("in/a.jpg")
        assert feed.receive is None

    asyncio.run(scene())


def test_closing_ends_the_wait() -> None:
    async def scene() -> None:
        every = Listeners(FakeFeed())
        listener = await every.open("bucket", CREATED, anyone)
        waiting = asyncio.create_task(listener.take(10))
        await asyncio.sleep(0)
        every.close()
        assert await asyncio.wait_for(waiting, 1) == b"" and listener.is_closed
        assert (await every.open("bucket", CREATED, anyone)).is_closed

    asyncio.run(scene())
