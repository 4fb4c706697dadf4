"""Lines that wait in files: written by one process, taken up by another, whatever happens to the first."""

import os
from pathlib import Path

import pytest

from objstore import clock, durable, spool
from objstore.spool import Spool


class Said:
    """Lines as they are."""

    def __init__(self, *lines: str) -> None:
        self._lines = lines

    @property
    def weight(self) -> int:
        return sum(map(len, self._lines))

    def lines(self) -> tuple[str, ...]:
        return self._lines


@pytest.fixture
def dropped() -> list[int]:
    return []


def made(directories: list[Path], dropped: list[int], rotate_s: float = 3600.0) -> Spool:
    return Spool(directories, "lines", rotate_s, dropped.append)


def found(directory: Path) -> list[tuple[str, str]]:
    """What is in the complete files."""
    lines: list[tuple[str, str]] = []
    with spool.opened(directory, "lines") as opened:
        for name in spool.complete_files(opened):
            descriptor = spool.take(opened, name)
            if descriptor is not None:
                lines += spool.lines_of(descriptor, durable.length_of(opened, name))
                durable.close(descriptor)
    return lines


def test_lines_and_their_heads_come_back_in_order(tmp_path, dropped):
    lines = made([tmp_path], dropped)
    lines.put("a", Said("1", "2 ü"))
    lines.put("b b", Said("3"))
    lines.put("a", Said("4"))
    lines.close()
    assert found(tmp_path) == [("a", "1"), ("a", "2 ü"), ("b b", "3"), ("a", "4")]
    assert dropped == []


def test_a_file_that_is_written_cannot_be_taken(tmp_path, dropped, monkeypatch):
    monkeypatch.setattr(spool, "FLUSH_S", 0.01)
    lines = made([tmp_path], dropped)
    lines.put("a", Said("1"))
    deadline_s = clock.monotonic_s() + 5
    while not list(tmp_path.glob("lines/*")) and clock.monotonic_s() < deadline_s:
        pass
    assert found(tmp_path) == []
    lines.close()
    assert found(tmp_path) == [("a", "1")]


def test_a_drive_that_cannot_be_written_is_passed_over(tmp_path, dropped):
    lines = made([tmp_path / "gone", tmp_path], dropped)
    lines.put("a", Said("1"))
    lines.close()
    assert found(tmp_path) == [("a", "1")]
    assert dropped == []


def test_lines_that_go_nowhere_are_counted(tmp_path, dropped, monkeypatch):
    lines = made([tmp_path / "gone"], dropped)
    lines.put("a", Said("1", "2"))
    lines.close()
    lines.put("a", Said("3"))
    assert dropped == [2, 1]


def test_memory_and_disk_are_bounded(tmp_path, dropped, monkeypatch):
    monkeypatch.setattr(spool, "WAITING_BYTES_MAX", 10)
    lines = made([tmp_path], dropped)
    lines.put("a", Said("x" * 11))
    assert dropped == [1]
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "old").write_bytes(b"x" * 100)
    monkeypatch.setattr(spool, "DIRECTORY_BYTES_MAX", 100)
    lines.put("a", Said("1"))
    lines.close()
    assert dropped == [1, 1] and found(tmp_path) == []


def test_torn_and_damaged_lines_are_left_out(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"=0 a\n0 1\n1 nobody's\n\xff\n\n0 2\n0 torn")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert spool.lines_of(descriptor, path.stat().st_size) == [("a", "1"), ("a", "2")]
    finally:
        os.close(descriptor)


def test_empty_files_of_dead_writers_go(tmp_path):
    directory = tmp_path / "lines"
    directory.mkdir()
    old = clock.now_ms() - 2 * spool.YOUNG_MS
    for ms in (old, clock.now_ms()):
        (directory / (ms.to_bytes(6, "big").hex() + "0" * 20 + spool.SUFFIX)).touch()
    (directory / "unrelated").touch()
    assert found(tmp_path) == []
    assert len(list(directory.iterdir())) == 2


def test_a_line_that_cannot_be_written_out_takes_no_other_with_it(tmp_path, dropped):
    class Broken(Said):
        def lines(self):
            raise ZeroDivisionError

    lines = made([tmp_path], dropped)
    lines.put("a", Broken())
    lines.put("a", Said("1"))
    lines.close()
    assert found(tmp_path) == [("a", "1")] and dropped == [1]
