"""The outbox and its dispatcher: at least once, in the order of each key, and nothing lost in between."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY

from objstore import clock
from objstore.events import dispatcher as module
from objstore.events.dispatcher import Dispatcher
from objstore.events.records import Origin, about, live_notices
from objstore.events.targets import Message, TargetError
from objstore.meta import commands, queries
from objstore.meta.commands import (
    Announced,
    Deleted,
    DeleteVersion,
    Notice,
    PutVersion,
    SetNotification,
    WriteConditions,
)
from objstore.meta.commands.events import LIVE
from objstore.meta.interface import ConditionFailed, Unavailable
from objstore.model import Attributes, Bucket, Versioning
from tests.jobs.fakes import OWNER, START_MS, LocalMetadata

RETRY_S = 3600.0


class FakeTarget:
    """Remembers what it took; `refuses` tells what it does not take."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.refuses: Callable[[dict[str, Any]], bool] = lambda document: False

    async def send(self, message: Message) -> None:
        await asyncio.sleep(0)
        parsed = json.loads(message.document)
        if self.refuses(parsed):
            raise TargetError("no")
        self.taken.append(parsed)

    async def close(self) -> None:
        pass

    @property
    def keys(self) -> list[str]:
        return [document["Records"][0]["s3"]["object"]["key"] for document in self.taken]


class Scene:
    def __init__(self, advance: Callable[[int], None]) -> None:
        self.metadata = LocalMetadata()
        self.advance = advance
        self.bucket = Bucket(self.metadata.bucket_id, "bucket", OWNER, "us-east-1", 0)
        self.targets = {"one": FakeTarget(), "two": FakeTarget()}
        self.now_s = 0.0
        self.restart()

    def restart(self) -> None:
        self.dispatcher = Dispatcher(self.metadata, self.targets, RETRY_S)

    def deliver(self) -> None:
        asyncio.run(self.dispatcher.deliver())

    def notice(self, event: str = "s3:ObjectCreated:Put", target: str = "one") -> Notice:
        return Notice(event, target, about(Origin(event, "p", "ip", "r", "h"), self.bucket, "c"))

    def put(self, key: str, *targets: str, **given: Any) -> Any:
        command = PutVersion(self.bucket.id, key, 0, "etag", OWNER, Attributes(), version_id="v", **given)
        notices = tuple(self.notice(target=target) for target in targets or ("one",))
        return self.metadata.apply(Announced(self.bucket.id, key, commands.encode(command), notices))

    def delete(self, key: str, **given: Any) -> Any:
        command = DeleteVersion(self.bucket.id, key, OWNER, **given)
        events = ("s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated")
        notices = tuple(map(self.notice, events))
        return self.metadata.apply(Announced(self.bucket.id, key, commands.encode(command), notices))

    @property
    def waiting(self) -> int:
        return sum(self.metadata.ask(queries.events_waiting).values())


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with clock.held(START_MS) as advance:
        made = Scene(advance)
        monkeypatch.setattr(clock, "monotonic_s", lambda: made.now_s)
        yield made


def test_events_go_out_once_and_leave_the_outbox(scene: Scene) -> None:
    version = scene.put("a", "one", "two")
    assert version.key == "a", "the command's own answer"
    scene.put("b")
    assert scene.waiting == 3
    scene.deliver()
    assert (scene.targets["one"].keys, scene.targets["two"].keys) == (["a", "b"], ["a"])
    assert scene.waiting == 0
    scene.deliver()
    assert len(scene.targets["one"].taken) == 2


def test_a_refused_command_leaves_no_event(scene: Scene) -> None:
    scene.put("a")
    with pytest.raises(ConditionFailed):
        scene.put("a", conditions=WriteConditions(if_none_match="*"))
    assert scene.waiting == 1


def test_who_listens_is_told_and_nothing_of_it_is_kept(scene: Scene) -> None:
    events = ("s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated")
    origin = Origin(events[0], "p", "ip", "r", "h")
    scene.put("a")
    command = commands.encode(DeleteVersion(scene.bucket.id, "a", OWNER))
    told = live_notices(scene.bucket, events, origin)
    scene.metadata.apply(Announced(scene.bucket.id, "a", command, told))
    scene.metadata.apply(Announced(scene.bucket.id, "a", command, told))  # nothing is there any more
    (row,) = scene.metadata.db.told
    assert (row[1], row[3], row[4]) == (LIVE, b"a", "s3:ObjectRemoved:Delete")
    assert scene.waiting == 1


def test_a_delete_tells_what_came_of_it(scene: Scene) -> None:
    assert scene.delete("a") == Deleted(None, False, False)
    assert scene.waiting == 0, "nothing was there"
    scene.put("a")
    scene.delete("a")
    scene.metadata.apply(commands.SetVersioning(scene.bucket.id, Versioning.ENABLED))
    marker = scene.delete("a", new_version_id="m")
    scene.delete("a", version_id=marker.version_id)
    scene.delete("a", version_id="gone")
    scene.deliver()
    names = [document["Records"][0]["eventName"] for document in scene.targets["one"].taken]
    assert names == [
        "ObjectCreated:Put",
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRemoved:Delete",
    ]


def test_events_of_a_key_stay_in_order_while_some_fail(scene: Scene) -> None:
    one = scene.targets["one"]
    for _ in range(4):
        scene.put("a")
        scene.put("b")
    sequencers: list[str] = []

    def refuses(document: dict[str, Any]) -> bool:
        about_object = document["Records"][0]["s3"]["object"]
        sequencers.append(about_object["sequencer"])
        return (
            about_object["key"] == "a" and len([s for s in sequencers if s == about_object["sequencer"]]) < 3
        )

    one.refuses = refuses
    for _ in range(20):
        scene.deliver()
        scene.now_s += 100
    assert scene.waiting == 0
    for key in "ab":
        taken = [
            d["Records"][0]["s3"]["object"]
            for d in one.taken
            if d["Records"][0]["s3"]["object"]["key"] == key
        ]
        order = [each["sequencer"] for each in taken]
        assert len(order) == 4 and order == sorted(order)


def test_a_target_that_fails_is_left_alone_for_growing_pauses_and_holds_up_no_other(scene: Scene) -> None:
    tries = []
    scene.targets["one"].refuses = lambda document: bool(tries.append(scene.now_s)) or True
    scene.put("a", "one", "two")
    for _ in range(100):
        scene.deliver()
        scene.now_s += 0.5
    assert tries == [0, 1, 3, 7, 15, 31]
    assert scene.targets["two"].keys == ["a"]


def test_an_event_nobody_takes_is_given_up_after_a_time(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.targets["one"].refuses = lambda document: True
    scene.put("a")
    scene.put("b", "unknown")
    scene.advance(int(RETRY_S * 1000))
    scene.deliver()
    assert scene.waiting == 2
    scene.advance(1)
    scene.now_s += 100
    scene.deliver()
    assert scene.waiting == 0
    assert caplog.text.count("event given up") == 2 and '"key":"a"' in caplog.text


def test_what_was_sent_and_not_forgotten_is_sent_again(scene: Scene) -> None:
    scene.put("a")

    def fail(command: object) -> None:
        raise Unavailable("no")

    scene.metadata.fail = fail
    with pytest.raises(Unavailable):
        scene.deliver()
    scene.metadata.fail = lambda command: None
    scene.restart()
    scene.deliver()
    assert scene.targets["one"].keys == ["a", "a"] and scene.waiting == 0


def test_pages(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE_EVENTS", 10)
    for number in range(25):
        scene.put(f"{number % 7}")
    scene.deliver()
    assert len(scene.targets["one"].taken) == 25


def test_a_test_event_goes_with_the_configuration(scene: Scene) -> None:
    scene.metadata.apply(SetNotification(scene.bucket.id, b"<x/>", (scene.notice("s3:TestEvent"),)))
    assert scene.metadata.ask(queries.subresource, scene.bucket.id, "notification") == b"<x/>"
    scene.deliver()
    (document,) = scene.targets["one"].taken
    assert document == {
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": "2023-11-14T22:13:20.000Z",
        "Bucket": "bucket",
        "RequestId": "r",
        "HostId": "h",
    }


def test_a_target_that_hangs_holds_up_no_other(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.05)
    hangs = asyncio.Event()

    async def hang(message: Message) -> None:
        await hangs.wait()

    monkeypatch.setattr(scene.targets["one"], "send", hang)
    scene.put("a", "one", "two")

    async def look_twice() -> None:
        await scene.dispatcher.deliver()
        scene.put("b", "one", "two")
        await scene.dispatcher.deliver()
        assert scene.targets["two"].keys == ["a", "b"]
        await scene.dispatcher.close()

    asyncio.run(look_twice())
    assert scene.waiting == 2, "what hung is sent again another time"


def test_a_target_that_is_down_is_not_tried_with_every_event(scene: Scene) -> None:
    tries = []
    scene.targets["one"].refuses = lambda document: bool(tries.append(document)) or True
    for number in range(50):
        scene.put(f"{number}")
    scene.deliver()
    assert len(tries) <= module.FAILURES_MAX + module.KEYS_AT_ONCE
    scene.advance(int(RETRY_S * 1000) + 1)
    scene.now_s += 100
    scene.deliver()
    assert scene.waiting == 0 and len(tries) <= 2 * (module.FAILURES_MAX + module.KEYS_AT_ONCE)


def test_one_event_that_is_never_taken_holds_up_its_own_key_only(scene: Scene) -> None:
    one = scene.targets["one"]
    one.refuses = lambda document: document["Records"][0]["s3"]["object"]["key"] == "bad"
    for key in ("bad", "a", "bad", "b", "c"):
        scene.put(key)
    scene.deliver()
    assert one.keys == ["a", "b", "c"] and scene.waiting == 2
    scene.put("d")
    scene.now_s += module.BACK_OFF_S
    scene.deliver()
    assert one.keys == ["a", "b", "c", "d"]


def test_all_that_is_too_late_for_a_target_that_is_down_is_given_up_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_EVENTS", 10)
    tries = []
    scene.targets["one"].refuses = lambda document: bool(tries.append(document)) or True
    for number in range(55):
        scene.put(f"{number}")
    scene.advance(int(RETRY_S * 1000) + 1)
    scene.put("new")
    scene.deliver()
    assert scene.waiting == 1 and len(tries) <= module.PAGE_EVENTS


def is_bad(document: dict[str, Any]) -> bool:
    return bool(document["Records"][0]["s3"]["object"]["key"].startswith("bad"))


def test_many_events_that_are_never_taken_hold_up_no_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_EVENTS", 10)
    one = scene.targets["one"]
    one.refuses = is_bad
    for number in range(60):
        scene.put(f"bad/{number % 30}")
    for number in range(25):
        scene.put(f"good/{number % 5}")
    for _ in range(30):
        scene.deliver()
        scene.now_s += module.BACK_OFF_S
    assert len(one.keys) == 25 and scene.waiting == 60
    scene.put("good/new")
    scene.deliver()
    assert one.keys[-1] == "good/new", "no pause of others is its own"


def test_what_was_not_taken_is_when_it_can_be_and_in_order(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_EVENTS", 10)
    one = scene.targets["one"]
    one.refuses = is_bad
    for number in range(120):
        scene.put(f"bad/{number % 40}")
        scene.put(f"good/{number}")
    for _ in range(30):
        scene.deliver()
        scene.now_s += module.BACK_OFF_S
    one.refuses = lambda document: False
    for number in range(200):
        if not scene.waiting:
            break
        scene.put(f"good/{number}")
        scene.deliver()
        scene.now_s += module.BACK_OFF_S_MAX
    assert scene.waiting == 0
    orders: dict[str, list[str]] = {}
    for document in one.taken:
        about_object = document["Records"][0]["s3"]["object"]
        orders.setdefault(about_object["key"], []).append(about_object["sequencer"])
    assert all(order == sorted(set(order)) for order in orders.values())
    assert sum(len(order) for key, order in orders.items() if key.startswith("bad")) == 120


def test_a_key_that_is_taken_again_does_not_wait_for_those_that_never_are(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE_EVENTS", 10)
    one = scene.targets["one"]
    for _ in range(50):
        scene.put("bad")
    for number in range(8):
        scene.put(f"bad/{number}")
    scene.put("later")
    one.refuses = lambda document: is_bad(document) or scene.now_s < 1
    for _ in range(20):
        scene.deliver()
        scene.now_s += module.BACK_OFF_S_MAX
    assert one.keys == ["later"]


def test_dead_letters_are_counted_by_target(scene: Scene) -> None:
    def count(target: str, outcome: str) -> float:
        labels = {"target": target, "outcome": outcome}
        return REGISTRY.get_sample_value("objstore_events_total", labels) or 0.0

    before = {
        (name, outcome): count(name, outcome) for name in ("one", "two") for outcome in ("dead", "delivered")
    }
    scene.targets["one"].refuses = lambda document: True
    scene.put("a", "one", "two")
    scene.advance(int(RETRY_S * 1000) + 1)
    scene.deliver()
    after = {key: count(*key) - before[key] for key in before}
    assert after == {("one", "dead"): 1, ("one", "delivered"): 0, ("two", "dead"): 0, ("two", "delivered"): 1}
