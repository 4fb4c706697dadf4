"""Placement: the same every time, spread by free space, and little moved by one drive more."""

from collections import Counter

import pytest

from objstore.storage import placement
from tests.storage.support import seeded


def _ids(count: int) -> list[bytes]:
    random = seeded()
    return [random.randbytes(16) for _ in range(count)]


def test_drives_are_distinct_and_the_choice_repeatable() -> None:
    rooms = dict.fromkeys(range(10), 1000)
    for blob_id in _ids(200):
        chosen = placement.choose(blob_id, rooms, 6)
        assert len(set(chosen)) == 6
        assert placement.choose(blob_id, dict(reversed(rooms.items())), 6) == chosen


@pytest.mark.parametrize("count", [6, 7, 100])
def test_all_drives_are_taken_when_there_are_no_more(count: int) -> None:
    for blob_id in _ids(20):
        assert sorted(placement.choose(blob_id, dict.fromkeys(range(6), 1), count)) == list(range(6))


def test_a_drive_without_room_is_never_chosen() -> None:
    for blob_id in _ids(200):
        assert 3 not in placement.choose(blob_id, {0: 5, 1: 5, 2: 5, 3: 0}, 4)
        assert 3 not in placement.choose(blob_id, {0: 5, 1: 5, 2: 5, 3: 0}, 2)


def test_every_drive_gets_data_shards() -> None:
    first = Counter(placement.choose(blob_id, dict.fromkeys(range(6), 7), 6)[0] for blob_id in _ids(3000))
    assert all(400 < first[drive] < 600 for drive in range(6))


def test_the_share_follows_the_room() -> None:
    rooms = {0: 1 << 40, 1: 2 << 40, 2: 4 << 40, 3: 1 << 40}
    chosen = Counter(placement.choose(blob_id, rooms, 1)[0] for blob_id in _ids(8000))
    for drive, room in rooms.items():
        assert chosen[drive] / 8000 == pytest.approx(room / sum(rooms.values()), abs=0.03)


def test_one_drive_more_takes_its_share_and_moves_nothing_else() -> None:
    before = dict.fromkeys(range(9), 100)
    after = before | {9: 100}
    for blob_id in _ids(500):
        old, new = placement.choose(blob_id, before, 4), placement.choose(blob_id, after, 4)
        assert set(new) - {9} <= set(old)
