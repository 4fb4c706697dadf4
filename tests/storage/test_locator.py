"""Locators: short, the same on every machine, and never believed when they do not fit."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objstore.storage import locator
from objstore.storage.locator import (
    NO_DRIVE,
    NOWHERE,
    Files,
    LocatorInvalid,
    Packed,
    Place,
    Run,
    joined,
    parse,
)

drive_numbers = st.integers(0, 0xFFFF)
places = st.builds(Place, drive_numbers, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))


def test_the_bytes_are_as_documented() -> None:
    packed = Packed(1, (Place(2, 0x0123456789ABCDEF, 64), NOWHERE))
    assert packed.pack().hex() == "010102" + "0200efcdab896745230140000000" + "ffff" + "00" * 12
    files = Files(4, 6, 8 << 20, (Run(3, (0, 1, 2, 3, 4, 5)),))
    assert files.pack().hex() == "020406" + "00008000" + "03000000" + "000001000200030004000500"


@given(st.lists(places, min_size=1, max_size=20), st.data())
def test_packed_locators_come_back(where: list[Place], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(where)))
    layout = Packed(k, tuple(where))
    assert parse(layout.pack(), 1000) == layout
    assert layout.drives_of(0) == tuple(place.drive for place in where)


@given(st.data(), st.integers(1, 12), st.integers(1, 1 << 30))
def test_file_locators_come_back(data: st.DataObject, total: int, chunk_size: int) -> None:
    k = data.draw(st.integers(1, total))
    rows = st.tuples(st.integers(1, 99), st.tuples(*[drive_numbers] * total))
    runs = tuple(Run(*run) for run in data.draw(st.lists(rows, min_size=1, max_size=5)))
    layout = Files(k, total, chunk_size, runs)
    size = layout.chunks * chunk_size - data.draw(st.integers(0, chunk_size - 1))
    again = parse(layout.pack(), size)
    assert again == layout
    assert isinstance(again, Files)
    expected = [run.drives for run in runs for _ in range(run.chunks)]
    assert [again.drives_of(chunk) for chunk in range(again.chunks)] == expected
    assert joined(expected) == joined(again.drives_of(chunk) for chunk in range(again.chunks))
    assert list(again.chunks_on()) == [
        (chunk, shard, drive)
        for chunk, drives in enumerate(expected)
        for shard, drive in enumerate(drives)
        if drive != NO_DRIVE
    ]


@given(st.binary(max_size=200), st.integers(1, 1 << 40))
def test_no_bytes_make_parsing_raise_anything_else(data: bytes, size: int) -> None:
    with suppress(LocatorInvalid):
        parse(data, size)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"", 1),
        (b"\x01\x01", 1),
        (b"\x03\x01\x01", 1),
        (Packed(1, (NOWHERE,)).pack()[:-1], 1),
        (Packed(1, (NOWHERE,)).pack() + b"\0", 1),
        (b"\x01\x00\x01" + Packed(1, (NOWHERE,)).pack()[3:], 1),
        (b"\x01\x02\x01" + Packed(1, (NOWHERE,)).pack()[3:], 1),
        (Files(1, 1, 100, (Run(2, (0,)),)).pack(), 100),
        (Files(1, 1, 100, (Run(2, (0,)),)).pack(), 201),
        (b"\x02\x01\x01" + bytes(4), 1),
    ],
)
def test_a_locator_that_does_not_fit_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(LocatorInvalid):
        locator.parse(data, size)


def test_a_locator_of_the_largest_blob_is_short() -> None:
    chunks = (5 << 40) // (8 << 20)
    assert len(Files(4, 6, 8 << 20, (Run(chunks, (0, 1, 2, 3, 4, 5)),)).pack()) == 23
