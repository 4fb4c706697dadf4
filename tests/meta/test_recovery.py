"""What a start makes of lost, damaged, stale and returning drives and indexes."""

import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from objstore import durable
from objstore.meta import index, segment, upkeep
from objstore.meta.drive_journal import IDENTITY_NAME
from objstore.meta.interface import MetaDrive, Unavailable
from objstore.meta.recovery import JournalDamaged, JournalMissing
from objstore.meta.roster import UnknownFormat
from objstore.meta.segment import SegmentName
from objstore.meta.start import LedgerSettings
from tests.support.ledger import (
    MoreWords,
    Put,
    Remove,
    abandon,
    make_roots,
    open_words,
    settings_for,
    words_of,
)

MODEL = {f"w{number}": "x" * 100 * number for number in range(1, 6)} | {"last": "kept"}


@pytest.fixture
def roots(memory_path: Path) -> list[Path]:
    """Six drives with some words on them, stopped in order; journal on drives 1, 2, 3."""
    made = make_roots(memory_path)
    fill(made)
    return made


def fill(made: list[Path], **how: Any) -> None:
    core = open_words(settings_for(made, **how))
    assert core.commit([Put("gone", "soon"), Put("w1", "y")]) == [1, 2]
    for number in range(1, 6):
        assert isinstance(core.commit([Put(f"w{number}", "x" * 100 * number)])[0], int)
    assert core.commit([Remove("gone"), Put("last", "kept")])[0] == 1
    assert words_of(core) == MODEL
    core.close()


def contents(made: list[Path]) -> dict[Path, bytes]:
    """Every file on these drives."""
    return {path: path.read_bytes() for root in made for path in root.rglob("*") if path.is_file()}


def lose_index(made: list[Path]) -> None:
    for root in made:
        shutil.rmtree(root / "index", ignore_errors=True)


def rebuilt(made: list[Path], **how: Any) -> dict[str, str]:
    """What a start finds without an index."""
    lose_index(made)
    return reopened(made, **how)


def reopened(made: list[Path], **how: Any) -> dict[str, str]:
    """What a start finds, checked to take commands and to keep them."""
    core = open_words(settings_for(made, deployment=6, **how))
    try:
        found = words_of(core)
        assert core.status().is_writable, core.status().reason
        assert isinstance(core.commit([Put("again", "works")])[0], int)
    finally:
        core.close()
    return found


@pytest.mark.parametrize("start", [reopened, lambda made: rebuilt(made)], ids=["with index", "without index"])
@pytest.mark.parametrize("pair", list(itertools.combinations(range(6), 2)))
def test_any_two_drives_may_be_lost_while_stopped(
    roots: list[Path], pair: tuple[int, int], start: Callable[[list[Path]], dict[str, str]]
) -> None:
    for number in pair:
        shutil.rmtree(roots[number])
    assert start(roots) == MODEL
    assert start(roots) == MODEL | {"again": "works"}


def test_every_drive_may_be_lost_in_turn_when_each_was_replaced(roots: list[Path]) -> None:
    numbers = {position: position + 1 for position in range(6)}
    for position in range(6):
        shutil.rmtree(roots[position])
        roots[position].mkdir()
        numbers[position] += 6  # a new drive, under a number never used before
        drives = tuple(MetaDrive(numbers[place], str(root)) for place, root in enumerate(roots))
        settings = replace(settings_for(roots), drives=drives, deployment=tuple(numbers.values()))
        core = open_words(settings)
        assert words_of(core) == MODEL
        assert len(core.status().members) == 3
        core.close()


# The index


def index_of(made: list[Path]) -> Path:
    (path,) = made[0].glob("index/metadata-*.db")
    return path


def remove_state(path: Path) -> None:
    (path.parent / index.STATE_NAME).unlink()


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip_bit(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at if at >= 0 else len(data) // 2] ^= 4
    path.write_bytes(data)


def flip_value(path: Path) -> None:
    data = path.read_bytes()
    assert data.count(b"kept") == 1
    path.write_bytes(data.replace(b"kept", b"lost"))


def claim_in_use(path: Path) -> None:
    state = json.loads((path.parent / index.STATE_NAME).read_text())
    (path.parent / index.STATE_NAME).write_text(json.dumps(state | {"is_clean": False, "digests": {}}))


def break_while_in_use(path: Path) -> None:
    claim_in_use(path)
    data = bytearray(path.read_bytes())
    data[8192:8256] = bytes(64)
    path.write_bytes(data)


def garble_state(path: Path) -> None:
    (path.parent / index.STATE_NAME).write_bytes(b"\xff{}")


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        remove_state,
        truncate,
        flip_bit,
        flip_value,
        break_while_in_use,
        garble_state,
        claim_in_use,
    ],
    ids=lambda damage: damage.__name__,
)
def test_a_lost_or_damaged_index_is_rebuilt(roots: list[Path], damage: Callable[[Path], Any]) -> None:
    damage(index_of(roots))
    assert reopened(roots) == MODEL


def test_an_index_in_use_is_kept_within_one_boot_and_thrown_away_after_it(roots: list[Path]) -> None:
    core = open_words(settings_for(roots))
    core.commit([Put("more", "words")])
    path = core.index_path
    abandon(core)
    again = open_words(settings_for(roots))
    assert again.index_path == path
    abandon(again)
    after = open_words(settings_for(roots, boot_id="the next boot"))
    assert after.index_path != path
    assert words_of(after) == MODEL | {"more": "words"}
    after.close()
    assert [path.name for path in index_of(roots).parent.iterdir() if path.suffix == ".db"] == [
        Path(after.index_path).name
    ]


def test_an_older_copy_of_the_index_is_moved_on(roots: list[Path], memory_path: Path) -> None:
    shutil.copytree(roots[0] / "index", memory_path / "older")
    assert reopened(roots) == MODEL
    shutil.rmtree(roots[0] / "index")
    shutil.copytree(memory_path / "older", roots[0] / "index")
    assert reopened(roots) == MODEL | {"again": "works"}


def test_an_index_of_another_history_is_rebuilt(roots: list[Path], memory_path: Path) -> None:
    others = make_roots(memory_path / "other")
    fill(others)
    core = open_words(settings_for(others))
    for number in range(20):
        core.commit([Put("other", str(number))])
    core.close()
    shutil.rmtree(roots[0] / "index")
    shutil.copytree(others[0] / "index", roots[0] / "index")
    path = index_of(roots)
    with sqlite3.connect(path) as connection:  # as if it stood where the journal ends, but otherwise
        (packed,) = connection.execute("SELECT value FROM state WHERE name = 'ledger'").fetchone()
        moved = (7).to_bytes(8, "big") + packed[8:]
        connection.execute("UPDATE state SET value = ? WHERE name = 'ledger'", (moved,))
    connection.close()
    claim_in_use(path)
    assert reopened(roots) == MODEL


def test_the_index_lies_where_configured_and_moves_when_that_changes(
    roots: list[Path], memory_path: Path
) -> None:
    fast = memory_path / "fast"
    core = open_words(settings_for(roots, index_directory=str(fast)))
    assert Path(core.index_path).parent == fast
    assert words_of(core) == MODEL
    core.close()
    assert not list(roots[0].glob("index/metadata-*"))
    core = open_words(settings_for(roots))
    assert Path(core.index_path).parent == roots[0] / "index"
    assert words_of(core) == MODEL
    core.close()


def test_an_index_directory_that_cannot_be_used_is_replaced_by_a_drive(
    roots: list[Path], memory_path: Path
) -> None:
    core = open_words(settings_for(roots, index_directory=str(memory_path / "no" / "such" / "place")))
    assert Path(core.index_path).parent == roots[0] / "index"
    core.close()


# Journals


def segments_of(root: Path) -> list[Path]:
    return sorted((root / "journal").glob("*.segment"))


def test_rot_in_the_middle_of_a_journal_is_mended_from_another_drive(roots: list[Path]) -> None:
    whole = [path.read_bytes() for path in segments_of(roots[1])]
    path = segments_of(roots[0])[0]
    data = bytearray(path.read_bytes())
    for offset in (80, 300, 900, len(data) - 40):
        data[offset] ^= 1
    path.write_bytes(data)
    assert rebuilt(roots) == MODEL
    assert [path.read_bytes() for path in segments_of(roots[0])][: len(whole)] == whole


def test_rot_in_different_places_of_every_journal_is_mended(roots: list[Path]) -> None:
    for root, offset in zip(roots[:3], (100, 400, 900), strict=True):
        flip_bit(segments_of(root)[0], offset)
    assert rebuilt(roots) == MODEL
    first, second, third = ([path.read_bytes() for path in segments_of(root)] for root in roots[:3])
    assert first == second == third


def test_a_missing_segment_is_mended(roots: list[Path]) -> None:
    segments_of(roots[2])[0].unlink()
    assert reopened(roots) == MODEL
    for number in (0, 1):
        shutil.rmtree(roots[number])
    assert reopened(roots) == MODEL | {"again": "works"}


def test_rot_in_the_middle_of_every_journal_is_never_cut(roots: list[Path]) -> None:
    for root in roots[:3]:
        flip_bit(segments_of(root)[0], 400)
    before = {path: path.read_bytes() for root in roots for path in segments_of(root)}
    lose_index(roots)
    with pytest.raises(JournalDamaged):
        open_words(settings_for(roots))
    assert {path: path.read_bytes() for root in roots for path in segments_of(root)} == before


def test_an_index_that_is_whole_makes_up_for_rot_in_every_journal(roots: list[Path]) -> None:
    for root in roots[:3]:
        flip_bit(segments_of(root)[0], 400)
    assert reopened(roots) == MODEL
    assert rebuilt(roots) == MODEL | {"again": "works"}


def test_an_index_ahead_of_every_journal_makes_up_for_what_they_lost(roots: list[Path]) -> None:
    for root in roots[:3]:
        path = segments_of(root)[-1]
        records = segment.parse(SegmentName.parse(path.name), path.read_bytes()).records  # type: ignore[arg-type]
        os.truncate(path, path.stat().st_size - len(records[-1].raw))
    assert reopened(roots) == MODEL
    assert rebuilt(roots) == MODEL | {"again": "works"}


def test_a_torn_record_at_the_end_is_cut(roots: list[Path]) -> None:
    core = open_words(settings_for(roots))
    core.commit([Put("torn", "z" * 2000)])
    abandon(core)
    for root, kept in zip(roots[:3], (70, 600, 1500), strict=True):
        path = segments_of(root)[-1]
        data = path.read_bytes()
        at = segment.HEADER_BYTES + kept
        path.write_bytes(data[:at] + bytes(len(data) - at))
    assert rebuilt(roots) == MODEL
    assert rebuilt(roots) == MODEL | {"again": "works"}


def test_an_unacknowledged_record_on_one_drive_is_carried_to_all(roots: list[Path]) -> None:
    core = open_words(settings_for(roots))
    core.commit([Put("tail", "here")])
    abandon(core)
    for root in roots[1:3]:
        segments_of(root)[-1].unlink()
    assert rebuilt(roots) == MODEL | {"tail": "here"}
    for number in (0, 1):
        shutil.rmtree(roots[number])
    assert reopened(roots) == MODEL | {"tail": "here", "again": "works"}


# Drives that come back late


def aside(root: Path) -> Path:
    return root.with_name(f"{root.name}.away")


@pytest.fixture
def stale_first(roots: list[Path]) -> Iterator[list[Path]]:
    """Drive 1 was away while words were removed and added, and comes back with what it had."""
    roots[0].rename(aside(roots[0]))
    core = open_words(settings_for(roots, deployment=6))
    core.commit([Remove("w1"), Remove("w2"), Put("new", "word")])
    core.close()
    aside(roots[0]).rename(roots[0])
    yield roots


AFTER = {name: value for name, value in MODEL.items() if name not in ("w1", "w2")} | {"new": "word"}


def test_a_drive_that_comes_back_late_brings_nothing_back(stale_first: list[Path]) -> None:
    assert reopened(stale_first) == AFTER


@pytest.mark.parametrize("left", [pair for pair in itertools.combinations(range(1, 6), 2)])
def test_a_stale_drive_with_enough_others_is_outvoted(stale_first: list[Path], left: tuple[int, int]) -> None:
    for number in left:
        shutil.rmtree(stale_first[number])
    assert rebuilt(stale_first) == AFTER


def test_stale_drives_alone_are_read_but_never_written(stale_first: list[Path]) -> None:
    for root in stale_first[1:]:
        root.rename(aside(root))
    before = {path: path.read_bytes() for path in (stale_first[0] / "journal").iterdir()}
    core = open_words(settings_for(stale_first, deployment=6))
    assert words_of(core) == MODEL
    assert "2, 3, 4, 5, 6" in core.status().reason
    (outcome,) = core.commit([Put("new", "world")])
    assert isinstance(outcome, Unavailable)
    core.close()
    assert {path: path.read_bytes() for path in (stale_first[0] / "journal").iterdir()} == before
    for root in stale_first[1:]:
        aside(root).rename(root)
    assert reopened(stale_first) == AFTER


def test_a_ledger_that_takes_no_commands_starts_anew_when_drives_come(
    stale_first: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PROBE_S", 0.0)
    for root in stale_first[1:]:
        root.rename(aside(root))
    present: list[MetaDrive] = [MetaDrive(1, str(stale_first[0]))]
    settings = settings_for(stale_first, deployment=6, survey=lambda: (present, range(1, 7)))
    core = open_words(settings)
    core.maintain()
    assert core.failure is None
    aside(stale_first[3]).rename(stale_first[3])
    present.append(MetaDrive(4, str(stale_first[3])))
    core.maintain()
    assert core.failure is not None and "4" in core.failure
    abandon(core)


def test_two_ledgers_never_mean_different_rosters_by_one_epoch(roots: list[Path]) -> None:
    """A start is cut short when its roster is on two drives only; these leave, and another start commits
    on the others; then the two come back while others leave. Their roster must not win."""
    renamed = itertools.count(1)

    def cut_short(name: str, path: str, details: tuple[Any, ...]) -> None:
        if name == "rename" and details[0].endswith("journal/roster") and next(renamed) > 6 + 2:
            raise KeyboardInterrupt  # six promises and two rosters are written

    with durable.observed(cut_short), pytest.raises(KeyboardInterrupt):
        open_words(settings_for(roots))
    for root in roots[:2]:
        root.rename(aside(root))
    core = open_words(settings_for(roots, deployment=6))
    core.commit([Put("later", "word")])
    core.close()
    for root in roots[:2]:
        aside(root).rename(root)
    for root in roots[4:]:
        root.rename(aside(root))
    assert rebuilt(roots) == MODEL | {"later": "word"}


def test_rotten_rosters_count_as_missing(roots: list[Path]) -> None:
    for root in roots[:3]:
        (root / "journal" / "roster").write_bytes(b"rot")
    core = open_words(settings_for(roots))
    assert words_of(core) == MODEL
    assert not core.status().is_writable
    core.close()


def test_up_to_m_rotten_rosters_are_written_anew(roots: list[Path]) -> None:
    for root in roots[:2]:
        (root / "journal" / "roster").write_bytes(b"rot")
    assert reopened(roots) == MODEL
    pages = {(root / "journal" / "roster").read_bytes() for root in roots}
    assert len(pages) == 1


def test_without_any_drive_of_the_journal_nothing_starts_and_nothing_changes(roots: list[Path]) -> None:
    for root in roots[:3]:
        shutil.rmtree(root / "journal")
        (root / "journal").mkdir()
        shutil.rmtree(root)
    before = contents(roots)
    with pytest.raises(JournalMissing):
        open_words(settings_for(roots, deployment=6))
    assert before == {
        path: path.read_bytes() for root in roots[3:] for path in root.rglob("*") if path.is_file()
    }


# Beginning


def test_a_new_journal_is_begun_only_on_drives_that_are_all_there_and_new(memory_path: Path) -> None:
    made = make_roots(memory_path)
    with pytest.raises(JournalMissing):
        open_words(settings_for(made[:5], deployment=6))
    with pytest.raises(JournalMissing):
        open_words(settings_for(made, is_new=False))
    core = open_words(settings_for(made))
    assert words_of(core) == {}
    core.close()


def test_lost_rosters_beside_a_journal_are_no_new_deployment(roots: list[Path]) -> None:
    for root in roots:
        (root / "journal" / "roster").unlink()
    with pytest.raises(JournalMissing):
        open_words(settings_for(roots))


def test_a_first_start_that_was_cut_short_is_done_again(memory_path: Path) -> None:
    made = make_roots(memory_path)
    cuts = 0
    for allowed in range(0, 1000, 7):
        left = itertools.chain(itertools.repeat(True, allowed), itertools.repeat(False))

        def observe(name: str, path: str, details: tuple[Any, ...], left: Iterator[bool] = left) -> None:
            if not next(left):
                raise KeyboardInterrupt

        try:
            with durable.observed(observe):
                core = open_words(settings_for(made))
            break
        except KeyboardInterrupt:
            cuts += 1
    assert cuts > 15
    assert words_of(core) == {}
    assert core.status().is_writable
    core.close()


# Snapshots and schema


def snapshots_of(root: Path) -> list[Path]:
    return sorted((root / "snapshots").glob("*.snapshot"))


def with_snapshots(made: list[Path], count: int) -> dict[str, str]:
    core = open_words(settings_for(made))
    for number in range(count):
        core.commit([Put(f"s{number}", "x" * 500)])
        core.take_snapshot()
        core.maintain()
    core.commit([Put("tail", "of the journal")])
    found = words_of(core)
    core.close()
    return found


def test_two_generations_of_snapshots_are_kept_and_the_journal_before_them_goes(roots: list[Path]) -> None:
    first = {path.name for path in segments_of(roots[0])}
    model = with_snapshots(roots, 4)
    for root in roots[:3]:
        assert len(snapshots_of(root)) == 2
        assert not first & {path.name for path in segments_of(root)}
    assert rebuilt(roots) == model


@pytest.mark.parametrize("at", [3, 60, 5000])
def test_a_rotten_snapshot_is_passed_over(roots: list[Path], at: int) -> None:
    model = with_snapshots(roots, 3)
    flip_bit(snapshots_of(roots[0])[-1], at)
    flip_bit(snapshots_of(roots[1])[-1], at)
    assert rebuilt(roots) == model


def test_the_older_generation_serves_when_the_newer_is_rotten_everywhere(roots: list[Path]) -> None:
    model = with_snapshots(roots, 3)
    for root in roots[:3]:
        flip_bit(snapshots_of(root)[-1], 5000)
    assert rebuilt(roots) == model


def test_rotten_snapshots_everywhere_and_no_index_is_told_as_such(roots: list[Path]) -> None:
    with_snapshots(roots, 3)
    for root in roots[:3]:
        for path in snapshots_of(root):
            flip_bit(path, 5000)
    lose_index(roots)
    with pytest.raises(JournalDamaged):
        open_words(settings_for(roots))


def test_a_new_schema_is_taken_on_and_an_older_program_refuses_it(roots: list[Path]) -> None:
    core = open_words(settings_for(roots), MoreWords())
    assert words_of(core) == MODEL
    core.commit([Put("noted", "word")])
    core.close()
    lose_index(roots)
    after = open_words(settings_for(roots), MoreWords())
    assert words_of(after) == MODEL | {"noted": "word"}
    after.close()
    before = contents(roots)
    with pytest.raises(UnknownFormat):
        open_words(settings_for(roots))
    assert contents(roots) == before


# While it runs


def test_a_journal_directory_that_is_removed_under_the_ledger_is_noticed(
    roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PROBE_S", 0.0)
    core = open_words(settings_for(roots))
    core.commit([Put("a", "1")])
    for number in (1, 2):
        shutil.rmtree(roots[number])
    core.maintain()
    status = core.status()
    assert set(status.failed_drives) == {2, 3}
    core.maintain()
    core.maintain()
    assert len(core.status().members) == 3, core.status()
    assert not {2, 3} & set(core.status().members)
    core.commit([Put("b", "2")])
    core.close()
    shutil.rmtree(roots[0])
    shutil.rmtree(roots[3])
    core = open_words(settings_for(roots, deployment=6))
    assert words_of(core) == MODEL | {"a": "1", "b": "2"}
    abandon(core)


def test_another_drive_at_the_same_path_is_not_taken_for_the_one_that_left(
    roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PROBE_S", 0.0)
    monkeypatch.setattr(upkeep, "REST_S", 0.0)
    for number, root in enumerate(roots):
        (root / IDENTITY_NAME).write_text(json.dumps({"uuid": f"drive {number}"}))
    core = open_words(settings_for(roots))
    roots[1].rename(aside(roots[1]))
    roots[1].mkdir()
    core.maintain()
    assert not list(roots[1].iterdir()), "nothing is made on a foreign or empty directory"
    (roots[1] / IDENTITY_NAME).write_text(json.dumps({"uuid": "somebody else"}))
    core.maintain()
    assert [path.name for path in roots[1].iterdir()] == [IDENTITY_NAME]
    shutil.rmtree(roots[1])
    aside(roots[1]).rename(roots[1])
    core.maintain()
    assert 2 not in core.status().failed_drives
    core.close()


def test_a_drive_that_left_the_deployment_is_let_go_and_a_new_one_is_taken_in(
    roots: list[Path], memory_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "PROBE_S", 0.0)
    drives = [MetaDrive(number, str(root)) for number, root in enumerate(roots, 1)]
    core = open_words(settings_for(roots, survey=lambda: (drives, [drive.number for drive in drives])))
    new = memory_path / "d7"
    new.mkdir()
    drives[1] = MetaDrive(7, str(new))
    for _ in range(3):
        core.maintain()
    status = core.status()
    assert status.drives == (1, 3, 4, 5, 6, 7)
    assert 2 not in status.members and len(status.members) == 3
    core.commit([Put("a", "1")])
    assert words_of(core) == MODEL | {"a": "1"}
    core.close()


def test_rot_anywhere_in_journals_and_snapshots_is_found_by_verifying_and_mended(roots: list[Path]) -> None:
    with_snapshots(roots, 3)
    core = open_words(settings_for(roots))
    found: list[list[str]] = []
    core.verify_journal(found.append)
    core.maintain()
    assert found == [[]]
    whole = contents(roots)
    flip_bit(segments_of(roots[0])[0], 100)
    segments_of(roots[2])[0].unlink()
    flip_bit(snapshots_of(roots[1])[0], 40)
    flip_bit(snapshots_of(roots[2])[1], 9000)
    core.verify_journal(found.append)
    core.maintain()
    assert len(found[1]) == 4
    assert contents(roots) == whole
    core.close()


def test_rot_in_every_copy_is_told_and_made_up_for_by_a_new_snapshot(roots: list[Path]) -> None:
    core = open_words(settings_for(roots))
    for root in roots[:3]:
        flip_bit(segments_of(root)[0], 400)
    found: list[list[str]] = []
    core.verify_journal(found.append)
    core.maintain()
    core.maintain()
    assert len(found[0]) == 1 and "damaged on every drive" in found[0][0]
    core.close()
    assert rebuilt(roots) == MODEL


def test_an_index_may_be_built_anew_on_request(roots: list[Path]) -> None:
    with sqlite3.connect(index_of(roots)) as connection:  # a wrong value no check of SQLite's can find
        connection.execute("UPDATE words SET value = 'lost' WHERE name = 'last'")
    connection.close()
    claim_in_use(index_of(roots))
    core = open_words(settings_for(roots))
    assert words_of(core) != MODEL
    core.close()
    core = open_words(settings_for(roots, rebuild_index=True))
    assert words_of(core) == MODEL
    core.close()


def test_a_wrong_value_in_the_index_is_found_by_comparing_it_with_the_journal(roots: list[Path]) -> None:
    core = open_words(settings_for(roots))
    core.commit([Put("more", "words")])
    found: list[list[str]] = []
    core.verify_journal(found.append, is_deep=True)
    core.maintain()
    assert found == [[]]
    assert core.failure is None
    core._connection.execute("UPDATE words SET value = 'lost' WHERE name = 'last'")
    core.verify_journal(found.append, is_deep=True)
    core.maintain()
    assert found[1] == ["the index differs from the journal in table words"]
    assert core.failure is not None
    core.close()
    assert reopened(roots) == MODEL | {"more": "words"}
    assert not [path.name for path in (roots[0] / "index").iterdir() if "tmp" in path.name]


# Drives replaced where they are half of the deployment, or more


def lose_and_replace(made: list[Path], lost: int, **how: Any) -> LedgerSettings:
    """The first `lost` drives are gone for good; others take their places, under numbers of their own."""
    drives = []
    for number, root in enumerate(made, 1):
        if number <= lost:
            shutil.rmtree(root)
            root.mkdir()
        drives.append(MetaDrive(number + 10 * (number <= lost), str(root)))
    deployment = tuple(drive.number for drive in drives)
    return replace(settings_for(made, is_new=False, **how), drives=tuple(drives), deployment=deployment)


@pytest.mark.parametrize(("count", "copies"), [(2, 2), (3, 2), (3, 3), (4, 3), (5, 3), (5, 4), (6, 3)])
def test_m_drives_that_were_replaced_keep_nobody_from_writing(
    memory_path: Path, count: int, copies: int
) -> None:
    made = make_roots(memory_path, count)
    core = open_words(settings_for(made, copies=copies))
    core.commit([Put("a", "1")])
    core.close()
    core = open_words(lose_and_replace(made, copies - 1, copies=copies))
    assert words_of(core) == {"a": "1"}
    for _ in range(copies):
        core.maintain()  # each recruits a drive
    status = core.status()
    assert status.is_writable, status.reason
    assert len(status.members) == copies and status.drives == tuple(sorted(status.drives))
    assert core.commit([Put("b", "2")]) == [2]
    core.close()


def test_without_half_of_the_drives_the_reason_says_what_to_do(memory_path: Path) -> None:
    made = make_roots(memory_path, 2)
    core = open_words(settings_for(made, copies=2))
    core.commit([Put("a", "1")])
    core.close()
    shutil.rmtree(made[0])
    core = open_words(settings_for(made, copies=2, deployment=2, is_new=False))
    assert words_of(core) == {"a": "1"} and not core.status().is_writable
    assert "drives 1 (of 1, 2) are away" in core.status().reason
    assert "objstore drive replace" in core.status().reason
    (outcome,) = core.commit([Put("b", "2")])
    assert isinstance(outcome, Unavailable) and "drives 1 (of 1, 2)" in str(outcome)
    core.close()


@pytest.mark.parametrize(
    ("lost", "away"), [(3, 0), (2, 1)], ids=["more than m replaced", "another one away besides"]
)
def test_replacements_do_not_excuse_what_may_be_known_elsewhere(
    memory_path: Path, lost: int, away: int
) -> None:
    made = make_roots(memory_path, 4)
    core = open_words(settings_for(made, copies=3))
    core.commit([Put("a", "1")])
    core.close()
    settings = lose_and_replace(made, lost, copies=3)
    settings = replace(settings, drives=settings.drives[: 4 - away])
    try:
        core = open_words(settings)
    except JournalMissing:
        return
    assert not core.status().is_writable
    core.close()
