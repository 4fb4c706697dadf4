"""A client and a real ledger process: commands, reads, and every way of losing each other."""

import asyncio
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from objstore.meta import wire
from objstore.meta.client import ClientLimits, Metadata
from objstore.meta.interface import (
    Busy,
    CommandTooLong,
    ConditionFailed,
    MetadataError,
    OutcomeUnknown,
    Unavailable,
)
from tests.support.ledger import Defective, Put, Remove, WordsCodec, all_words, word
from tests.support.ledger_process import LedgerProcess

SEED = int(os.environ.get("OBJSTORE_TEST_SEED", "20261121"))


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LedgerProcess]:
    """A ledger that no test disturbs."""
    ledger = LedgerProcess(tmp_path_factory.mktemp("steady")).start()
    yield ledger
    ledger.stop()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerProcess]:
    """A ledger of the test's own."""
    made = LedgerProcess(tmp_path).start()
    yield made
    if made.process is not None:
        made.kill()


def with_client(
    process: LedgerProcess, body: Callable[[Metadata], Awaitable[None]], limits: ClientLimits | None = None
) -> None:
    async def main() -> None:
        client = await Metadata.connect(
            process.socket_path, process.shared, codec=WordsCodec(), limits=limits
        )
        try:
            await body(client)
        finally:
            await client.close()

    asyncio.run(main())


def test_each_command_gets_its_own_answer(steady: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        answers = await asyncio.gather(
            client.write(Put("a", "1")),
            client.write(Put("a", "2", only_new=True)),
            client.write(Defective()),
            client.write(Remove("absent")),
            return_exceptions=True,
        )
        assert isinstance(answers[0], int)
        assert isinstance(answers[1], ConditionFailed)
        assert answers[1].detail == {"condition": "If-None-Match", "key": "a"}
        assert isinstance(answers[2], MetadataError)
        assert answers[3] == 0

    with_client(steady, body)


def test_a_write_is_read_at_once_inline_and_in_threads_by_every_client(steady: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        other = await Metadata.connect(steady.socket_path, steady.shared, codec=WordsCodec())
        for number in range(50):
            await client.write(Put("b", str(number)))
            assert client.read_now(word, "b") == str(number)
            assert other.read_now(word, "b") == str(number)
            assert await other.read(word, "b") == str(number)
        await other.close()

    with_client(steady, body)


def test_commands_of_one_client_are_decided_in_the_order_sent(steady: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        given = await asyncio.gather(*(client.write(Put(f"c{number}", "x")) for number in range(1000)))
        assert given == sorted(given)

    with_client(steady, body)


def test_past_its_bound_a_client_is_busy(steady: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        answers = await asyncio.gather(
            *(client.write(Put("d", str(number))) for number in range(10)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [int] * 8 + [Busy] * 2
        assert isinstance(await client.write(Put("d", "later")), int)

    with_client(steady, body, ClientLimits(waiting_max=8))


def test_a_command_longer_than_any_may_be_is_refused_unsent(steady: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        with pytest.raises(CommandTooLong, match=r"Put of \d+ bytes; \d+ are allowed"):
            await client.write(Put("long", "x" * wire.COMMAND_BYTES_MAX))
        assert isinstance(await client.write(Put("short", "x")), int)

    with_client(steady, body)


def test_commands_too_long_for_one_frame_together_go_in_several(steady: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        length = wire.COMMAND_BYTES_MAX - 100
        await asyncio.gather(*(client.write(Put("long", str(n) * length)) for n in range(5)))
        assert client.read_now(word, "long") == "4" * length
        await client.write(Remove("long"))

    with_client(steady, body)


def test_the_index_is_built_anew_on_request(ledger: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        await client.write(Put("kept", "1"))
        before = (await client.ledger_status())["index_path"]
        await client.rebuild_index()
        assert ledger.process is not None
        await asyncio.to_thread(ledger.process.wait, 20)
        await asyncio.to_thread(ledger.start)
        assert await client.read(word, "kept") == "1"
        assert (await client.ledger_status())["index_path"] != before

    with_client(ledger, body, ClientLimits(unsent_s=20))


def test_a_caller_that_is_cancelled_disturbs_nobody(steady: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        first = asyncio.create_task(client.write(Put("e", "1")))
        await asyncio.sleep(0)
        first.cancel()
        assert isinstance(await client.write(Put("e", "2")), int)
        assert client.read_now(word, "e") == "2"

    with_client(steady, body)


def test_the_ledger_tells_how_it_stands(steady: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        status = await client.ledger_status()
        assert status["is_writable"] is True
        assert status["members"] == [1, 2, 3]

    with_client(steady, body)


def test_the_journal_is_verified_on_request(steady: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        await client.write(Put("h", "1"))
        assert await client.verify_journal() == []

    with_client(steady, body)


def test_a_defect_in_a_query_is_not_taken_for_a_damaged_index(steady: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        with pytest.raises(Exception, match="no such table") as info:
            await client.read(lambda db: db.rows("SELECT * FROM absent"))
        assert not isinstance(info.value, Unavailable)

    with_client(steady, body)


@pytest.mark.parametrize(
    "noise", [b"\xff" * 64, (1 << 31).to_bytes(4, "big"), b"\0\0\0\1\xc1", b"\0\0\0\2\x91\x01"]
)
def test_noise_on_the_socket_costs_only_the_connection_it_came_by(
    steady: LedgerProcess, noise: bytes
) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(steady.socket_path)
        stranger.sendall(noise)
        stranger.settimeout(5)
        while stranger.recv(1 << 16):
            pass

    async def body(client: Metadata) -> None:
        assert isinstance(await client.write(Put("f", "1")), int)

    with_client(steady, body)


def test_a_command_that_cannot_be_decoded_is_refused_alone(steady: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        good, bad = await asyncio.gather(
            client.write(Put("g", "1")), client._ask(b"\xc1"), return_exceptions=True
        )
        assert isinstance(good, int)
        assert isinstance(bad, MetadataError)

    with_client(steady, body)


# Losing each other


def test_without_a_ledger_connect_gives_up(tmp_path: Path) -> None:
    async def main() -> None:
        with pytest.raises(Unavailable):
            await Metadata.connect(
                str(tmp_path / "none"), codec=WordsCodec(), limits=ClientLimits(connect_s=0.2)
            )

    asyncio.run(main())


def test_commands_wait_for_a_ledger_that_comes_back(ledger: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        await client.write(Put("a", "1"))
        ledger.stop()
        await asyncio.sleep(0.1)
        assert client.read_now(word, "a") == "1", "reads go on"
        waiting = asyncio.create_task(client.write(Put("a", "2")))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(ledger.start)
        assert isinstance(await waiting, int)
        assert client.read_now(word, "a") == "2"

    with_client(ledger, body, ClientLimits(unsent_s=30))


def test_a_ledger_that_starts_has_everyone_drop_their_caches(ledger: LedgerProcess) -> None:
    """The one before may have died between a commit of configuration and moving the epoch on."""
    before = ledger.shared.epoch
    ledger.kill()
    ledger.start()
    assert ledger.shared.epoch > before


def test_commands_that_were_never_sent_are_given_up_as_not_written(ledger: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        ledger.stop()
        await asyncio.sleep(0.1)
        with pytest.raises(Unavailable) as info:
            await client.write(Put("a", "1"))
        assert not isinstance(info.value, OutcomeUnknown)
        assert not client._unsent

    with_client(ledger, body, ClientLimits(unsent_s=0.2, sweep_s=0.05))


def test_a_ledger_lost_after_it_was_sent_a_command_leaves_the_outcome_unknown(ledger: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        ledger.signal(signal.SIGSTOP)
        sent = asyncio.create_task(client.write(Put("a", "1")))
        await asyncio.sleep(0.05)
        ledger.kill()
        with pytest.raises(OutcomeUnknown):
            await sent

    with_client(ledger, body)


def test_a_silent_ledger_leaves_the_outcome_unknown_and_its_late_answer_is_dropped(
    ledger: LedgerProcess,
) -> None:
    async def body(client: Metadata) -> None:
        ledger.signal(signal.SIGSTOP)
        with pytest.raises(OutcomeUnknown):
            await client.write(Put("a", "1"))
        ledger.signal(signal.SIGCONT)
        assert isinstance(await client.write(Put("b", "2")), int)
        assert client.read_now(all_words) == {"a": "1", "b": "2"}

    with_client(ledger, body, ClientLimits(answer_s=0.3, sweep_s=0.05))


def test_an_index_rebuilt_elsewhere_is_found_and_nothing_acknowledged_is_missed(
    ledger: LedgerProcess,
) -> None:
    async def body(client: Metadata) -> None:
        await client.write(Put("a", "1"))
        ledger.kill()
        shutil.rmtree(ledger.roots[0])
        await asyncio.to_thread(ledger.start)
        other = await Metadata.connect(ledger.socket_path, ledger.shared, codec=WordsCodec())
        await other.write(Put("a", "2"))
        try:
            assert client.read_now(word, "a") == "2"
        except Unavailable:  # it has not heard the hello yet: it must say so rather than answer "1"
            assert await client.read(word, "a") == "2"
        assert await client.read(word, "a") == "2"
        await other.close()

    with_client(ledger, body)


def test_readers_of_an_index_that_moved_do_not_answer(ledger: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        ledger.shared.set_index_generation(1 << 60)
        with pytest.raises(Unavailable):
            client.read_now(word, "a")
        with pytest.raises(Unavailable):
            await client.read(word, "a")

    with_client(ledger, body, ClientLimits(unsent_s=0.2))


def overwrite(path: str) -> None:
    """Random bytes where the words were."""
    with open(path, "r+b") as file:
        file.seek(8192)
        file.write(os.urandom(os.fstat(file.fileno()).st_size - 8192))


def test_a_damaged_index_is_reported_and_rebuilt(ledger: LedgerProcess) -> None:
    async def body(client: Metadata) -> None:
        for number in range(300):
            await client.write(Put(f"w{number}", "x" * 300))
        ledger.stop()
        await asyncio.to_thread(ledger.start)
        status = await client.ledger_status()
        overwrite(status["index_path"])
        with pytest.raises(Unavailable):
            await client.read(all_words)
        assert ledger.process is not None
        assert await asyncio.to_thread(ledger.wait) == 3, ledger.log()
        await asyncio.to_thread(ledger.start)
        assert len(await client.read(all_words)) == 300

    with_client(ledger, body, ClientLimits(unsent_s=20))


@pytest.mark.crash
def test_killed_ten_times_under_load_a_ledger_keeps_every_acknowledged_write(ledger: LedgerProcess) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    acknowledged: dict[str, int] = {}
    possible: dict[str, int] = {}
    is_over = False

    async def writer(client: Metadata, name: str) -> None:
        number = 0
        while not is_over:
            number += 1
            possible[name] = number
            try:
                await client.write(Put(name, str(number)))
            except OutcomeUnknown:
                continue
            except Unavailable:
                possible[name] = number - 1 if acknowledged.get(name, 0) == number - 1 else possible[name]
                continue
            acknowledged[name] = number
            assert client_reads(client, name) >= number

    def client_reads(client: Metadata, name: str) -> int:
        try:
            return int(client.read_now(word, name) or 0)
        except Unavailable:
            return 1 << 60

    async def body(client: Metadata) -> None:
        nonlocal is_over
        other = await Metadata.connect(ledger.socket_path, ledger.shared, codec=WordsCodec())
        writers = [
            asyncio.create_task(writer(each, f"{owner}{number}"))
            for owner, each in (("first", client), ("second", other))
            for number in range(8)
        ]
        for cycle in range(10):
            await asyncio.sleep(rng.uniform(0.02, 0.2))
            ledger.kill()
            before = dict(acknowledged)
            boot_id = "this boot" if cycle % 2 else f"boot {cycle}"
            await asyncio.to_thread(ledger.start, boot_id)
            deadline = time.monotonic() + 10
            while any(acknowledged.get(name, 0) <= number for name, number in before.items()):
                assert time.monotonic() < deadline, "commits do not go on"
                await asyncio.sleep(0.02)
        is_over = True
        await asyncio.gather(*writers)
        found: dict[str, Any] = await client.read(all_words)
        for name, number in acknowledged.items():
            assert number <= int(found[name]) <= possible[name]
        await other.close()

    with_client(ledger, body, ClientLimits(unsent_s=20))
    assert len(acknowledged) == 16
    print(f"{sum(acknowledged.values())} writes acknowledged over 10 kills")
