"""Packs: group commit, torn tails, damage in the middle, the account of the dead, rolling."""

import asyncio
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from objstore import clock, durable
from objstore.erasure import frame
from objstore.storage import packs
from objstore.storage.drive import Drive, DriveSet
from objstore.storage.locator import Place
from objstore.storage.packs import HEADER_BYTES, PackReader, PackWriter
from tests.storage.support import Fault, directories, drives_in, flip, seeded


class Waiting:
    """Collects what a writer tells."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Place | OSError] = {}
        self.changed = asyncio.Event()

    def settle(self, shard: int, outcome: Place | OSError) -> None:
        self.outcomes[shard] = outcome
        self.changed.set()

    async def all(self, count: int) -> dict[int, Place | OSError]:
        async with asyncio.timeout(10):
            while len(self.outcomes) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.outcomes


def _frame(payload: bytes, blob_id: bytes | None = None) -> list[frame.Buffer]:
    return frame.build(
        data_shards=1,
        total_shards=1,
        shard=0,
        blob_id=blob_id or clock.new_id(),
        blob_size=len(payload),
        chunk=0,
        chunk_bytes=len(payload),
        chunk_checksum=frame.chunk_checksum(payload),
        payload=payload,
    )


async def _append(drive: Drive, payloads: list[bytes]) -> list[Place]:
    writer = PackWriter(drive, asyncio.get_running_loop())
    waiting = Waiting()
    for number, payload in enumerate(payloads):
        parts = _frame(payload)
        writer.append(waiting, number, parts, sum(map(len, parts)))
    outcomes = await waiting.all(len(payloads))
    await asyncio.to_thread(writer.close, 5.0)
    return [place for _, place in sorted(outcomes.items()) if isinstance(place, Place)]


def _one_drive(drives: DriveSet) -> Drive:
    return drives.drives[0]


def _path(drive: Drive, pack: int) -> Path:
    return Path(drive.path, "packs", packs.pack_name(pack))


def test_what_was_appended_is_where_it_was_said_and_in_order(tmp_path: Path) -> None:
    async def test() -> None:
        random = seeded()
        payloads = [random.randbytes(random.choice([1, 100, 4096, 70_000])) for _ in range(300)]
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            places = await _append(drive, payloads)
            pack = places[0].pack
            handle = PackReader(drive).open(pack)
            for place, payload in zip(places, payloads, strict=True):
                data = durable.read(handle.fd, place.offset, frame.frame_bytes(len(payload)))
                header = frame.parse_header(data)
                assert frame.open_frame(data, header.blob_id, 0, 0) == payload
            assert [found.offset for found in packs.scan(handle.fd)] == [place.offset for place in places]
            assert packs.check_header(durable.read(handle.fd, 0, HEADER_BYTES), pack)
            assert not packs.check_header(durable.read(handle.fd, 0, HEADER_BYTES), pack + 1)
            last = places[-1].offset + frame.frame_bytes(len(payloads[-1]))
            assert _path(drive, pack).stat().st_size == last, "what was allocated is given back"
            assert _path(drive, pack).stat().st_mode & 0o777 == 0o400

    asyncio.run(test())


def test_those_that_wait_together_are_written_and_synced_together(tmp_path: Path) -> None:
    async def test() -> None:
        synced: list[str] = []
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            writer = PackWriter(_one_drive(drives), asyncio.get_running_loop())
            waiting = Waiting()
            parts = _frame(b"x" * 100)
            writer.append(waiting, 0, parts, sum(map(len, parts)))
            await waiting.all(1)

            def observer(operation: str, path: str, details: tuple[object, ...]) -> None:
                if operation == "sync":
                    synced.append(path)

            with durable.observed(observer):
                for number in range(1, 400):
                    writer.append(waiting, number, parts, sum(map(len, parts)))
                await waiting.all(400)
            assert len(synced) == 1, "all of one turn of the loop share a sync"
            await asyncio.to_thread(writer.close, 5.0)

    asyncio.run(test())


def test_what_comes_during_a_write_is_written_after_it_in_one(tmp_path: Path) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            writer = PackWriter(_one_drive(drives), asyncio.get_running_loop())
            waiting = Waiting()
            parts = _frame(b"x" * 100)
            may_go_on = threading.Event()
            writes: list[str] = []

            def observer(operation: str, path: str, details: tuple[object, ...]) -> None:
                if operation == "write":
                    writes.append(path)
                    may_go_on.wait(10)

            with durable.observed(observer):
                for number in range(20):
                    writer.append(waiting, number, parts, sum(map(len, parts)))
                    await asyncio.sleep(0.001)
                may_go_on.set()
                await waiting.all(20)
            assert len(writes) <= 3, "the header of the pack, the first frame, all others"
            await asyncio.to_thread(writer.close, 5.0)

    asyncio.run(test())


def test_closing_waits_for_what_was_appended_a_moment_before(tmp_path: Path) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            writer = PackWriter(_one_drive(drives), asyncio.get_running_loop())
            waiting = Waiting()
            parts = _frame(b"x" * 100)
            writer.append(waiting, 0, parts, sum(map(len, parts)))
            await asyncio.to_thread(writer.close, 5.0)
            place = waiting.outcomes[0]
            assert isinstance(place, Place)
            assert _path(_one_drive(drives), place.pack).stat().st_mode & 0o777 == 0o400

    asyncio.run(test())


def test_a_pack_is_rolled_when_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs, "PACK_BYTES_MAX", 100_000)

    async def test() -> None:
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            writer = PackWriter(drive, asyncio.get_running_loop())
            waiting = Waiting()
            for number in range(30):
                parts = _frame(b"x" * 20_000)
                writer.append(waiting, number, parts, sum(map(len, parts)))
                await waiting.all(number + 1)
            used = packs.usage(drive.opened())
            assert len(used) == 8
            assert all(one.total_bytes <= 100_000 for one in used[:-1])
            assert [one.is_finished for one in used] == [True] * 7 + [False]
            await asyncio.to_thread(writer.close, 5.0)

    asyncio.run(test())


def test_after_an_error_another_pack_is_begun(tmp_path: Path) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            writer = PackWriter(drive, asyncio.get_running_loop())
            waiting = Waiting()
            parts = _frame(b"x")
            length = sum(map(len, parts))
            writer.append(waiting, 0, parts, length)
            await waiting.all(1)
            with Fault({"sync"}, ".pack", 5).active():
                writer.append(waiting, 1, parts, length)
                await waiting.all(2)
            writer.append(waiting, 2, parts, length)
            outcomes = await waiting.all(3)
            assert isinstance(outcomes[1], OSError)
            assert isinstance(outcomes[0], Place)
            assert isinstance(outcomes[2], Place)
            assert outcomes[0].pack != outcomes[2].pack
            await asyncio.to_thread(writer.close, 5.0)

    asyncio.run(test())


@pytest.mark.parametrize("torn", [b"", b"\0" * 5000, b"OSHD", b"OSHD" + b"\1" * 200, b"\xff" * 3000])
def test_what_a_crash_left_at_the_end_is_passed_over_and_only_zeros_are_cut(
    tmp_path: Path, torn: bytes
) -> None:
    async def test() -> None:
        random = seeded()
        payloads = [random.randbytes(500) for _ in range(5)] + [b"\0" * 700]
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            places = await _append(drive, payloads)
            path = _path(drive, places[0].pack)
            whole = path.read_bytes()
            path.chmod(0o600)
            with path.open("ab") as file:
                file.write(torn + bytes(1 << 20))
            handle = packs.open_pack(drive.opened(), places[0].pack)
            assert [found.offset for found in packs.scan(handle.fd)] == [place.offset for place in places]
            with clock.held(clock.now_ms() + 3_600_000):
                used = packs.usage(drive.opened())
            assert used[0].is_finished
            assert path.read_bytes() == whole + torn.rstrip(b"\0"), "a payload's own zeros stay"
            assert not os.access(path, os.W_OK) or path.stat().st_mode & 0o777 == 0o400

    asyncio.run(test())


def test_a_pack_that_is_written_now_is_not_finished_by_another_process(tmp_path: Path) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            writer = PackWriter(drive, asyncio.get_running_loop())
            waiting = Waiting()
            parts = _frame(b"x")
            writer.append(waiting, 0, parts, sum(map(len, parts)))
            await waiting.all(1)
            with clock.held(clock.now_ms() + 3_600_000):
                assert [one.is_finished for one in packs.usage(drive.opened())] == [False]
            await asyncio.to_thread(writer.close, 5.0)
            assert [one.is_finished for one in packs.usage(drive.opened())] == [True]

    asyncio.run(test())


def test_a_damaged_header_hides_one_frame_and_not_those_behind_it(tmp_path: Path) -> None:
    async def test() -> None:
        random = seeded()
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            places = await _append(drive, [random.randbytes(random.randrange(1, 300_000)) for _ in range(12)])
            path = _path(drive, places[0].pack)
            for hidden in (0, 5, 6, 11):
                flip(path, places[hidden].offset + random.randrange(56))
            handle = packs.open_pack(drive.opened(), places[0].pack)
            seen = [found.offset for found in packs.scan(handle.fd)]
            assert seen == [place.offset for i, place in enumerate(places) if i not in (0, 5, 6, 11)]

    asyncio.run(test())


def test_the_account_of_the_dead_counts_a_frame_once_and_survives_a_torn_end(tmp_path: Path) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            session = drive.opened()
            places = await _append(drive, [b"x" * 1000] * 4)
            length = frame.frame_bytes(1000)
            blob_id = bytes(range(16))
            assert packs.dead_frames(session, places[0].pack) == {}
            for _ in range(2):
                packs.mark_dead(session, [(place, length, blob_id) for place in places[:2]])
            durable.append(session.packs.fd, f"{places[0].pack:016x}.dead", b"torn")
            assert packs.dead_frames(session, places[0].pack) == {
                place.offset: (length, blob_id[-8:]) for place in places[:2]
            }
            used = packs.usage(session)[0]
            assert (used.total_bytes, used.live_bytes) == (4 * length, 2 * length)
            packs.remove_pack(session, places[0].pack)
            packs.remove_pack(session, places[0].pack)
            assert packs.packs_of(session) == []
            assert packs.dead_frames(session, places[0].pack) == {}

    asyncio.run(test())


@pytest.mark.parametrize("torn_bytes", [1, 4, 7, 15, 16, 17, 24, 31, 32])
def test_a_torn_entry_in_the_account_of_the_dead_hides_no_later_one(tmp_path: Path, torn_bytes: int) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            session = drive.opened()
            places = await _append(drive, [b"x" * 1000] * 3)
            length = frame.frame_bytes(1000)
            account = tmp_path / "d0" / "packs" / f"{places[0].pack:016x}.dead"
            packs.mark_dead(session, [(places[0], length, bytes(16))])
            whole = account.read_bytes()
            account.write_bytes(whole + whole[:torn_bytes])
            packs.mark_dead(session, [(place, length, b"i" * 16) for place in places[1:]])
            found = packs.dead_frames(session, places[0].pack)
            assert found == {
                places[0].offset: (length, bytes(8)),
                places[1].offset: (length, b"i" * 8),
                places[2].offset: (length, b"i" * 8),
            }

    asyncio.run(test())


def test_rot_in_the_account_of_the_dead_names_no_frame(tmp_path: Path) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            session = drive.opened()
            (place, other) = await _append(drive, [b"x" * 1000] * 2)
            length = frame.frame_bytes(1000)
            packs.mark_dead(session, [(place, length, b"i" * 16)])
            packs.mark_dead(session, [(other, length, b"j" * 16)])
            flip(tmp_path / "d0" / "packs" / f"{place.pack:016x}.dead", 17)
            assert packs.dead_frames(session, place.pack) == {other.offset: (length, b"j" * 8)}

    asyncio.run(test())


def test_a_removed_pack_is_let_go_of(tmp_path: Path) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            places = await _append(drive, [b"x" * 1000])
            reader = PackReader(drive)
            assert reader.cached(places[0].pack) is None
            reader.open(places[0].pack)
            assert reader.cached(places[0].pack) is not None
            packs.remove_pack(drive.opened(), places[0].pack)
            reader.forget_removed()
            assert reader.cached(places[0].pack) is None
            with pytest.raises(FileNotFoundError):
                reader.open(places[0].pack)

    asyncio.run(test())


def test_a_place_names_the_drive_that_was_written_whatever_came_to_its_path_meanwhile(tmp_path: Path) -> None:
    async def test() -> None:
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            number = drive.number

            def exchanged(operation: str, path: str, details: tuple[object, ...]) -> None:
                if operation == "sync":
                    drive.number = 77

            with durable.observed(exchanged):
                (place,) = await _append(drive, [b"x" * 100])
            assert place.drive == number

    asyncio.run(test())


def test_a_pack_is_gone_for_good_before_its_account_is(tmp_path: Path) -> None:
    """Were it the other way round, a power cut could bring it back full of blobs that nobody knows."""

    async def test() -> None:
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            (place,) = await _append(drive, [b"x" * 100])
            packs.mark_dead(drive.opened(), [(place, 172, b"i" * 16)])
            seen: list[str] = []

            def observer(operation: str, path: str, details: tuple[object, ...]) -> None:
                if operation in ("unlink", "sync_directory"):
                    seen.append(f"{operation} {Path(path).suffix or 'packs'}")

            with durable.observed(observer):
                packs.remove_pack(drive.opened(), place.pack)
            assert seen[:3] == ["unlink .pack", "sync_directory packs", "unlink .dead"]

    asyncio.run(test())


def test_an_account_written_in_part_is_not_taken_for_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drive that fills up takes part of a write and says so only by the count."""

    async def test() -> None:
        with drives_in(directories(tmp_path, 1), (1, 0)) as drives:
            drive = _one_drive(drives)
            (place,) = await _append(drive, [b"x" * 100])
            whole = os.write
            with monkeypatch.context() as patch:
                patch.setattr(os, "write", lambda descriptor, data: whole(descriptor, data[:7]))
                with pytest.raises(OSError, match="part"):
                    packs.mark_dead(drive.opened(), [(place, 172, b"i" * 16)], is_durable=True)

    asyncio.run(test())


def test_a_pack_id_that_is_taken_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free = bytes(16), bytes(7) + b"\x01" + bytes(8)
    (tmp_path / packs.pack_name(0)).touch()
    ids = iter([taken, taken, free])
    monkeypatch.setattr(clock, "new_id", lambda: next(ids))
    session = SimpleNamespace(packs=SimpleNamespace(fd=durable.open_root(str(tmp_path))))
    pack, handle = packs._create_file(session)  # type: ignore[arg-type]
    assert pack == 1 and handle.fd > 0
    durable.close(session.packs.fd)
