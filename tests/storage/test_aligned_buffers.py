"""Reading past the page cache: whole pages into buffers that are used again when nobody looks at them."""

import mmap
import os
import random
import threading
from pathlib import Path

import pytest

from objstore import durable
from objstore.storage.budget import AlignedBuffers

SEED = 20


@pytest.fixture
def file(tmp_path: Path) -> tuple[int, bytes]:
    """A directory's descriptor and what its file `shard` holds: neither end of it is that of a page."""
    data = random.Random(SEED).randbytes(3 * durable.ALIGNMENT + 777)
    (tmp_path / "shard").write_bytes(data)
    return durable.open_root(str(tmp_path)), data


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (0, 1),
        (0, 4096),
        (1, 4096),
        (4095, 2),
        (4096, 4096),
        (320, 12_000),
        (0, 3 * 4096 + 777),
        (3 * 4096 + 700, 77),
        (3 * 4096 + 700, 5000),
        (3 * 4096, 0),
        (9 * 4096, 10),
    ],
)
@pytest.mark.parametrize("past_cache", [True, False])
def test_an_aligned_read_gives_what_a_plain_one_gives(
    file: tuple[int, bytes], offset: int, length: int, past_cache: bool
) -> None:
    directory, data = file
    descriptor = durable.open_file(directory, "shard", past_cache=past_cache)
    buffer = AlignedBuffers(0).take(durable.aligned_bytes(offset, length))
    assert durable.read_aligned(descriptor, offset, length, buffer) == data[offset : offset + length]
    durable.close(descriptor)


def test_a_file_system_that_cannot_read_past_its_cache_is_read_through_it(
    file: tuple[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, data = file
    really_read, really_open = os.preadv, os.open

    def preadv(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if durable._is_direct(descriptor):
            raise OSError(22, "Invalid argument")
        return really_read(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    descriptor = durable.open_file(directory, "shard", past_cache=True)
    assert durable.read_aligned(descriptor, 5, 9000, mmap.mmap(-1, 1 << 20)) == data[5:9005]
    durable.close(descriptor)

    def open_(name: str, flags: int, **kwargs: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return really_open(name, flags, **kwargs)

    monkeypatch.setattr(os, "open", open_)
    descriptor = durable.open_file(directory, "shard", past_cache=True)
    assert durable.read_aligned(descriptor, 5, 9000, mmap.mmap(-1, 1 << 20)) == data[5:9005]
    durable.close(descriptor)


def test_a_buffer_is_used_again_only_when_nothing_views_it() -> None:
    buffers = AlignedBuffers(64 << 20)
    first = memoryview(buffers.take(1 << 20))[4096:8192]
    second = memoryview(buffers.take(1 << 20))
    assert first.obj is not second.obj
    piece = first[10:20]
    del first
    third = memoryview(buffers.take(1 << 20))
    assert third.obj is not piece.obj, "a slice of a slice still views it"
    whose = id(piece.obj)
    del piece
    assert id(memoryview(buffers.take(1 << 20)).obj) == whose


def test_no_more_is_kept_than_was_allowed_and_trim_keeps_what_is_viewed() -> None:
    buffers = AlignedBuffers(3 << 20)
    views = [memoryview(buffers.take(1 << 20)) for _ in range(5)]
    assert buffers.kept_bytes <= 3 << 20
    before = buffers.kept_bytes
    buffers.trim()
    buffers.trim()
    assert buffers.kept_bytes == before
    del views
    buffers.trim()
    assert buffers.kept_bytes == 0


def test_buffers_in_steady_use_are_not_let_go() -> None:
    buffers = AlignedBuffers(8 << 20)
    buffers.take(1 << 20)
    buffers.trim()
    assert buffers.kept_bytes > 0
    buffers.trim()
    assert buffers.kept_bytes == 0


def test_threads_never_share_a_buffer() -> None:
    buffers = AlignedBuffers(64 << 20)
    mixed = []

    def work(mark: int) -> None:
        for _ in range(300):
            view = memoryview(buffers.take(1 << 20))
            view[:8] = mark.to_bytes(8, "big")
            held = view[:8]
            del view
            if held != mark.to_bytes(8, "big"):
                mixed.append(mark)

    threads = [threading.Thread(target=work, args=(mark,)) for mark in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not mixed
