"""Targets as settings and ARNs name them: what is wrong is said at start, and without secrets."""

import asyncio
import importlib
import sys
from typing import Any

import pytest

from objstore.events.broker import Broker
from objstore.events.kinds import BY_SCHEME, KINDS, TargetsError, kinds_of, make_targets
from objstore.events.target_url import TargetUrl
from objstore.events.targets import Message, TargetError, arn_of, is_target, target_of

MESSAGE = Message(b"{}", "bucket/key", "1")
GOOD = {
    "webhook": "https://me:s3cret@hooks.example.org/in?x=1",
    "redis": "rediss://me:s3cret@h:1/3?stream=s&length_max=10",
    "nats": "nats+tls://me:s3cret@one:1,two?subject=s3.events&stream=all",
    "amqp": "amqps://me:s3cret@h/vhost?exchange=e&routing_key=k",
    "mqtt": "mqtts://me:s3cret@h?topic=a/b&client_id=me",
    "kafka": "kafka+tls://me:s3cret@one,two:3?topic=t&mechanism=SCRAM-SHA-256",
    "postgresql": "postgresql://me:s3cret@one,two/db?table=s3.events&sslmode=verify-full",
}


def test_there_is_a_good_url_of_every_kind() -> None:
    assert set(GOOD) == {kind.name for kind in KINDS}
    made = make_targets(f"{name}={url}" for name, url in GOOD.items())
    assert list(made) == list(GOOD)
    assert kinds_of(f"{name}={url}" for name, url in GOOD.items()) == {name: name for name in GOOD}
    asyncio.run(_close(made.values()))


async def _close(targets: Any) -> None:
    for target in targets:
        await target.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://h", "must begin with one of"),
        ("http://", "must have a host"),
        ("http://h:99999", "ports from 1"),
        ("http://a,b/", "takes one host"),
        ("redis://h", "stream=… and list=…"),
        ("redis://h?stream=a&list=b", "stream=… and list=…"),
        ("redis://h/x?list=a", "number of a database"),
        ("redis://h?list=a&length_max=1", "no parameter length_max"),
        ("redis://h?stream=a&length_max=0", "length_max must be"),
        ("redis://h?stream=a&stream=b", "given twice"),
        ("redis://h?list=a&ca=/x", "no parameter ca"),
        ("rediss://h?list=a&ca=/nowhere", "no certificates"),
        ("redis://a,b?list=a", "takes one host"),
        ("nats://h", "needs the parameter subject"),
        ("nats://h?subject=a.*", "without wildcards"),
        ("nats://h?subject=a..b", "without wildcards"),
        ("amqp://h?exchange=e", "needs the parameter routing_key"),
        ("amqp://h?routing_key=k&queue=q", "no parameter queue"),
        ("mqtt://h?topic=a/%23", "without wildcards"),
        ("mqtt://h?topic=a#b", "written as %23"),
        ("kafka://h", "needs the parameter topic"),
        ("kafka://h?topic=t&mechanism=GSSAPI", "mechanism must be one of"),
        ("postgresql://h/db", "needs the parameter table"),
        ("postgresql://h/db?table=a;b", "plain name"),
        ("postgresql://h?table=a", "name of a database"),
        ("postgresql://h/db?table=a&sslmode=maybe", "sslmode must be one of"),
    ],
)
def test_a_url_that_cannot_be_is_refused_at_start_without_its_password(url: str, says: str) -> None:
    url = url.replace("://", "://me:s3cret@", 1)
    with pytest.raises(TargetsError, match=r"target audit") as refused:
        make_targets([f"audit={url}"])
    assert says in str(refused.value) and "s3cret" not in str(refused.value)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.library], ids=lambda kind: kind.name)
def test_a_missing_client_library_is_said_at_start(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    library = {"nats-py": "nats", "aio-pika": "aio_pika"}.get(kind.library, kind.library)
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, f"objstore.events.{kind.name}", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Hides(library), *sys.meta_path])
    with pytest.raises(TargetsError, match=rf"pip install 'objstore\[{kind.name}\]'"):
        make_targets([f"x={GOOD[kind.name]}"])


class _Hides:
    """Finds that a library is not there."""

    def __init__(self, library: str) -> None:
        self._library = library

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == self._library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_every_scheme_has_its_class() -> None:
    for kind in BY_SCHEME.values():
        assert getattr(importlib.import_module(f"objstore.events.{kind.name}"), kind.type)


def test_what_a_url_says() -> None:
    url = TargetUrl.parse("amqp://m%40e:s%3Acret@[::1]:5,h/a%2Fb?x=%26&y=", 7)
    assert (url.username, url.password, url.hosts) == ("m@e", "s:cret", (("::1", 5), ("h", 7)))
    assert (url.path, url.parameters) == ("a/b", {"x": "&", "y": ""})
    assert "s:cret" not in repr(url) and "s%3Acret" not in repr(url)


class Fails(Broker[str]):
    """A broker whose library raises what it was never said to raise."""

    def __init__(self) -> None:
        super().__init__(TargetUrl.parse("redis://me:s3cret@h", 1))
        self.log: list[str] = []

    async def open(self) -> str:
        self.log.append("open")
        return "connection"

    async def hand_over(self, connection: str, message: Message) -> None:
        raise KeyError(self.url.text, self.url.password)

    async def shut(self, connection: str) -> None:
        self.log.append("shut")
        raise RuntimeError


def test_whatever_a_library_raises_costs_the_connection_and_shows_no_password() -> None:
    broker = Fails()

    async def send_twice() -> None:
        for _ in range(2):
            with pytest.raises(TargetError, match=r"KeyError") as failed:
                await broker.send(MESSAGE)
            assert "s3cret" not in str(failed.value) and failed.value.__cause__ is None

    asyncio.run(send_twice())
    assert broker.log == ["open", "shut"] * 2


@pytest.mark.parametrize(
    "url",
    [
        "redis://me:s3cret@127.0.0.1:1?list=a",
        "nats://me:s3cret@127.0.0.1:1,127.0.0.1:1?subject=a",
        "amqp://me:s3cret@127.0.0.1:1?routing_key=k",
        "mqtt://me:s3cret@127.0.0.1:1?topic=a",
        "kafka://me:s3cret@127.0.0.1:1,127.0.0.1:1?topic=t",
        "postgresql://me:s3cret@127.0.0.1:1/db?table=t",
    ],
)
def test_a_broker_that_is_not_there_fails_in_time_and_without_secrets(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def send() -> None:
        (made,) = make_targets([f"x={url}"]).values()
        with pytest.raises(TargetError) as failed:
            await made.send(MESSAGE)
        await made.close()
        assert "s3cret" not in str(failed.value)

    asyncio.run(send())
    assert "s3cret" not in caplog.text


def test_arns() -> None:
    kinds = {"a": "redis"}
    assert target_of(arn_of("a", "us-east-1")) == "a"
    assert target_of("arn:aws:lambda:us-east-1:000000000000:function:a") == "a"
    assert is_target("arn:aws:sns:us-east-1:000000000000:a", kinds)
    assert is_target("arn:minio:sqs::a:redis", kinds) and target_of("arn:minio:sqs::a:redis") == "a"
    assert is_target("arn:minio:sqs:us-east-1:a:redis", kinds)
    assert not is_target("arn:minio:sqs::a:webhook", kinds)
    assert not is_target("arn:minio:sqs::b:redis", kinds)
    assert not is_target("arn:aws:sqs:us-east-1:000000000000:b", kinds)
