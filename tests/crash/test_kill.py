"""kill -9 of the ledger, of a worker and of the whole group under eight mixed clients.

Every acknowledged write is whole afterwards; every unacknowledged one is old or new; nothing is torn.
OBJSTORE_TEST_KILLS sets how many kills (50 in CI, 2,000 before a release: `make test-crash-full`).
"""

import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.server import Server
from tests.support.workload import Client, check_all

pytestmark = pytest.mark.crash

KILLS = int(os.environ.get("OBJSTORE_TEST_KILLS", "50"))
CLIENTS = 8
VICTIMS = ("group", "ledger", "worker")
RESTART_S = 10.0


def strike(server: Server, victim: str) -> None:
    """Kill -9 one kind of process and see to it that the server runs again."""
    if victim == "group":
        server.kill()
        return
    struck = server.children()[victim][0]
    os.kill(struck, signal.SIGKILL)


def recover(server: Server, victim: str, before: dict[str, list[int]]) -> None:
    if victim == "group":
        server.start()
        return
    deadline = time.monotonic() + RESTART_S
    while time.monotonic() < deadline:
        now = server.children()
        if len(now.get(victim, ())) == len(before[victim]) and now[victim] != before[victim]:
            break
        time.sleep(0.02)
    else:
        raise AssertionError(f"the {victim} was not restarted within {RESTART_S} s\n{server.log_tail()}")
    server.wait_ready()


def test_no_acknowledged_write_is_lost_or_torn(tmp_path: Path, seeded: random.Random) -> None:
    server = Server(tmp_path).start()
    try:
        server.client().create_bucket(Bucket="crash")
        clients = [Client(number, "crash", random.Random(seeded.random())) for number in range(CLIENTS)]
        fired: dict[str, int] = dict.fromkeys(VICTIMS, 0)
        for kill in range(KILLS):
            victim = VICTIMS[kill % len(VICTIMS)]
            stop = threading.Event()
            s3 = server.client(connect_timeout=5, read_timeout=20)
            threads = [threading.Thread(target=client.run, args=(s3, stop)) for client in clients]
            for thread in threads:
                thread.start()
            time.sleep(seeded.uniform(0.05, 0.6))
            before = server.children()
            strike(server, victim)
            fired[victim] += 1
            if victim != "group":
                time.sleep(seeded.uniform(0.0, 0.3))  # requests caught in between must not get a false answer
            stop.set()
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive(), "a client hangs"
            recover(server, victim, before)
            check_all(clients, server.client())
        print(
            json.dumps(
                {
                    "kills": fired,
                    "acknowledged": sum(client.acknowledged for client in clients),
                    "unanswered": sum(client.failed for client in clients),
                    "violations": 0,
                }
            )
        )
        assert all(fired.values()) or len(VICTIMS) > KILLS
        assert sum(client.acknowledged for client in clients) > KILLS
        assert server.stop() == 0
    finally:
        if server.process is not None:
            server.kill()
