"""Addresses that are never connected to, whatever a name or URL says."""

import asyncio
import socket

import pytest

from objstore.events.targets import Message, TargetError
from objstore.events.webhook import Webhook
from objstore.outbound import GuardedResolver, is_permitted
from tests.support.receiver import Receiver


@pytest.mark.parametrize(
    ("address", "host", "permitted"),
    [
        ("93.184.216.34", "example.org", True),
        ("2606:2800:220:1:248:1893:25c8:1946", "example.org", True),
        ("10.1.2.3", "hooks.internal", True),
        ("192.168.1.1", "hooks.internal", True),
        ("fd00::1", "hooks.internal", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "localhost", True),
        ("127.0.0.1", "example.org", False),
        ("127.0.0.1", "2130706433", False),
        ("127.0.0.1", "127.1", False),
        ("::1", "example.org", False),
        ("::ffff:127.0.0.1", "example.org", False),
        ("169.254.169.254", "example.org", False),
        ("169.254.169.254", "169.254.169.254", False),
        ("::ffff:169.254.169.254", "example.org", False),
        ("2002:a9fe:a9fe::1", "example.org", False),
        ("fe80::1%eth0", "example.org", False),
        ("0.0.0.0", "example.org", False),
        ("0.0.0.0", "0.0.0.0", False),
        ("::", "::", False),
        ("224.0.0.1", "example.org", False),
        ("junk", "example.org", False),
    ],
)
def test_which_addresses_may_be_connected_to(address: str, host: str, permitted: bool) -> None:
    assert is_permitted(address, host) is permitted


def test_a_name_that_leads_to_this_machine_is_not_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(host: str, port: int, *args: object, **more: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    async def resolve() -> list[str]:
        resolver = GuardedResolver()
        return [found["host"] for found in await resolver.resolve("hooks.example.org", 80)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    addresses = ["127.0.0.1", "169.254.169.254"]
    with pytest.raises(OSError, match=r"hooks.example.org"):
        asyncio.run(resolve())
    addresses = ["127.0.0.1", "93.184.216.34"]
    assert asyncio.run(resolve()) == ["93.184.216.34"]


def send(url: str) -> None:
    async def once() -> None:
        hook = Webhook(url)
        try:
            await hook.send(Message(b"{}", "bucket/key", "1"))
        finally:
            await hook.close()

    asyncio.run(once())


@pytest.mark.parametrize("status", [200, 201, 204, 301, 307, 400, 403, 404, 429, 500, 503])
def test_only_2xx_means_taken_and_redirects_are_not_followed(status: int) -> None:
    receiver = Receiver()
    receiver.status = lambda document: status
    try:
        if status < 300:
            send(receiver.url)
        else:
            with pytest.raises(TargetError, match=str(status)):
                send(receiver.url)
        assert len(receiver.documents) == (status < 300)
    finally:
        receiver.close()


def test_a_user_name_in_the_url_authenticates() -> None:
    receiver = Receiver()
    try:
        send(receiver.url.replace("http://", "http://me:secret@"))
        assert receiver.headers[0]["authorization"] == "Basic bWU6c2VjcmV0"
    finally:
        receiver.close()


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://0.0.0.0:1/", "http://127.0.0.1:1/"])
def test_a_target_that_cannot_be_reached(url: str) -> None:
    with pytest.raises(TargetError):
        send(url)
