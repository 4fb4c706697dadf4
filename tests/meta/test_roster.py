"""Rosters: the file, and that the quorums overlap as the rules of the journal need it."""

import itertools
import json

import pytest

from objstore.meta import roster
from objstore.meta.roster import Page, Roster, UnknownFormat
from objstore.meta.segment import Point

ROSTER = Roster(
    epoch=roster.first_epoch(3) + 4,
    base=Point(17, b"c" * 16),
    members=(1, 2, 3),
    drives=(1, 2, 3, 4, 5, 6),
    copies=3,
    schema=1,
)


def test_a_page_comes_back() -> None:
    for page in (Page(ROSTER, 9), Page(None, 1)):
        assert roster.decode(roster.encode(page)) == page


def test_any_flipped_bit_makes_a_page_worthless() -> None:
    data = roster.encode(Page(ROSTER, 9))
    for bit in range(0, len(data) * 8, 3):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        found = roster.decode(bytes(damaged))
        assert found in (None, Page(ROSTER, 9)), "a flipped bit may hit white space, but never a fact"


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b"[1]", b"\xff\xfe", b'{"checksum": 1}', b"{" * 9])
def test_what_is_no_page_is_told_as_absent(data: bytes) -> None:
    assert roster.decode(data) is None


def test_a_newer_format_is_refused() -> None:
    document = json.loads(roster.encode(Page(ROSTER, 9))) | {"format": 2}
    del document["checksum"]
    document["checksum"] = roster._checksum({name: document[name] for name in document})
    with pytest.raises(UnknownFormat):
        roster.decode(json.dumps(document).encode())


def test_epochs_of_a_later_incarnation_are_higher() -> None:
    assert ROSTER.epoch < roster.first_epoch(4)
    assert roster.incarnation_of(ROSTER.epoch) == 3
    assert ROSTER.after(ROSTER.base, (2, 3)).epoch == ROSTER.epoch + 1


GEOMETRIES = [(n, m) for n in range(1, 9) for m in range(0, 4) if m < n]


@pytest.mark.parametrize(("count", "parity"), GEOMETRIES)
def test_who_is_sure_has_seen_every_roster_that_counts(count: int, parity: int) -> None:
    numbers = tuple(range(1, count + 1))
    told = Roster(1, Point(0, b""), numbers[: parity + 1], numbers, parity + 1, 1)
    for holders, seen in itertools.product(subsets(numbers), repeat=2):
        if told.has_quorum(holders) and told.is_sure(seen):
            assert holders & seen


@pytest.mark.parametrize(("count", "parity"), GEOMETRIES)
def test_two_promises_share_a_drive(count: int, parity: int) -> None:
    numbers = tuple(range(1, count + 1))
    told = Roster(1, Point(0, b""), numbers[: parity + 1], numbers, parity + 1, 1)
    promises = [holders for holders in subsets(numbers) if told.has_promise_quorum(holders)]
    assert all(first & second for first, second in itertools.product(promises, repeat=2))
    assert all(told.is_sure(holders) for holders in promises)


@pytest.mark.parametrize(("count", "parity"), [pair for pair in GEOMETRIES if pair[0] > 2 * pair[1]])
def test_any_m_drives_may_be_missing_and_a_start_can_still_write(count: int, parity: int) -> None:
    numbers = tuple(range(1, count + 1))
    told = Roster(1, Point(0, b""), numbers[: parity + 1], numbers, parity + 1, 1)
    for missing in itertools.combinations(numbers, parity):
        left = set(numbers) - set(missing)
        assert told.is_sure(left) and told.has_quorum(left) and told.has_promise_quorum(left)


def subsets(numbers: tuple[int, ...]) -> list[set[int]]:
    return [
        set(chosen) for size in range(len(numbers) + 1) for chosen in itertools.combinations(numbers, size)
    ]
