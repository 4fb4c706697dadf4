"""Who may read /metrics."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest

from objstore.api.exchange import Request
from objstore.health import Readers
from tests.support.server import Server

TOKEN = "a-long-random-text"


def request(remote: str, **headers: str) -> Request:
    return Request(
        "GET", "/metrics", [(name.replace("_", "-"), value) for name, value in headers.items()], remote
    )


@pytest.mark.parametrize("remote", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_unless_a_proxy_speaks_for_others(remote: str) -> None:
    assert Readers().may_read(request(remote))
    for header in ("X_Forwarded_For", "Forwarded", "Via", "X_Real_IP"):
        assert not Readers().may_read(request(remote, **{header: "192.0.2.1"}))


@pytest.mark.parametrize("remote", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", ""])
def test_other_machines_need_the_token_or_that_everyone_may(remote: str) -> None:
    assert not Readers().may_read(request(remote))
    assert not Readers().may_read(request(remote, Authorization=f"Bearer {TOKEN}"))
    assert Readers(token=TOKEN).may_read(request(remote, Authorization=f"Bearer {TOKEN}"))
    assert Readers(is_everyone=True).may_read(request(remote))


@pytest.mark.parametrize("said", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, "Bearer é"])
def test_with_a_token_nothing_else_will_do(said: str) -> None:
    assert not Readers(token=TOKEN).may_read(request("127.0.0.1", Authorization=said))
    assert not Readers(token=TOKEN).may_read(request("127.0.0.1"))


def test_a_server_with_a_token(tmp_path: Path) -> None:
    server = Server(tmp_path, workers=1, environment={"OBJSTORE_METRICS_TOKEN": TOKEN}).start()
    try:
        address = f"{server.endpoint}/metrics"
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(address, timeout=10)
        assert caught.value.code == 403
        caught.value.close()
        asked = urllib.request.Request(address, headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert b"objstore_connections" in answer.read()
        with urllib.request.urlopen(f"{server.endpoint}/health/live", timeout=10) as answer:
            assert answer.status == 200
    finally:
        assert server.stop() == 0
    assert TOKEN not in server.log_tail(1_000_000)
