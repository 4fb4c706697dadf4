"""Segments as bytes: what is written parses, what is damaged is told from what was never written."""

import random

import pytest

from objstore.meta import segment
from objstore.meta.segment import HEADER_BYTES, NO_LINK, START, Point, SegmentName

NAME = SegmentName(7, 1)


def written(count: int, *, changeset: bytes = b"change" * 5, reserve: int = 256) -> tuple[bytes, list[int]]:
    """A segment with so many records, and where each begins."""
    data, offsets, point = bytearray(segment.header(NAME, NO_LINK)), [], START
    for number in range(count):
        offsets.append(len(data))
        point, pieces = segment.record(7, point, 100 + number, 5_000 + number, changeset)
        data += b"".join(pieces)
    return bytes(data) + bytes(reserve), offsets


def test_records_come_back_as_written() -> None:
    data, _ = written(3)
    parsed = segment.parse(NAME, data)
    assert [record.sequence for record in parsed.records] == [1, 2, 3]
    assert [record.issued for record in parsed.records] == [100, 101, 102]
    assert [record.clock_ms for record in parsed.records] == [5_000, 5_001, 5_002]
    assert {record.changeset for record in parsed.records} == {b"change" * 5}
    assert parsed.records[1].link == parsed.records[0].checksum
    assert parsed.is_clean
    assert segment.header(NAME, NO_LINK) + b"".join(r.raw for r in parsed.records) == data[: parsed.length]


def test_header_tells_name_and_link() -> None:
    assert segment.parse_header(segment.header(NAME, b"x" * 16) + b"rest") == (NAME, b"x" * 16)


@pytest.mark.parametrize("changeset", [b"", b"x", b"\0" * 40, segment._RECORD_MAGIC * 9, bytes(100_000)])
def test_any_changeset_survives(changeset: bytes) -> None:
    data, _ = written(2, changeset=changeset)
    assert [record.changeset for record in segment.parse(NAME, data).records] == [changeset] * 2


@pytest.mark.parametrize("bit", range(0, HEADER_BYTES * 8, 13))
def test_a_flipped_bit_in_the_header_is_found(bit: int) -> None:
    data = bytearray(written(1)[0])
    data[bit // 8] ^= 1 << bit % 8
    assert segment.parse_header(bytes(data)) is None
    assert len(segment.parse(NAME, bytes(data)).records) == 1, "the records still speak"


def test_any_flipped_bit_in_a_record_is_found_and_the_others_stay() -> None:
    data, offsets = written(3)
    whole = segment.parse(NAME, data).records
    for bit in range(offsets[1] * 8, offsets[2] * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        parsed = segment.parse(NAME, bytes(damaged))
        good = [record.sequence for record in parsed.records]
        if bit // 8 >= offsets[1] + len(b"".join([whole[1].raw])) - 2:  # padding: nothing depends on it
            continue
        assert good == [1, 3], bit
        assert not parsed.is_clean
        assert parsed.length == offsets[1]


def test_every_truncation_leaves_the_records_before_it() -> None:
    data, offsets = written(3, reserve=0)
    ends = [*offsets[1:], len(data)]
    for length in range(HEADER_BYTES, len(data)):
        parsed = segment.parse(NAME, data[:length])
        whole = sum(end - 2 <= length for end in ends)  # the last two bytes are padding
        assert len(parsed.records) == whole, length


def test_a_record_of_another_epoch_is_no_record_here() -> None:
    data, _ = written(1)
    assert segment.parse(SegmentName(8, 1), data).records == ()


def test_noise_is_never_taken_for_a_record() -> None:
    rng = random.Random(1)
    noise = b"".join(segment._RECORD_MAGIC + rng.randbytes(rng.randrange(200)) for _ in range(500))
    assert segment.parse(NAME, segment.header(NAME, NO_LINK) + noise).records == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("0000000000100000-0000000000000001.segment", SegmentName(1 << 20, 1)),
        ("100000-1.segment", None),
        ("0000000000100000-0000000000000001.segment.tmp", None),
        ("roster", None),
        ("-.segment", None),
    ],
)
def test_file_names(name: str, expected: SegmentName | None) -> None:
    assert SegmentName.parse(name) == expected


def test_a_point_goes_into_the_link_of_what_follows() -> None:
    point, pieces = segment.record(7, Point(41, b"y" * 16), 0, 0, b"c")
    parsed = segment.parse(
        SegmentName(7, 42), segment.header(SegmentName(7, 42), b"y" * 16) + b"".join(pieces)
    )
    assert (point.sequence, parsed.records[0].link) == (42, b"y" * 16)
