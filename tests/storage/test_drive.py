"""Who a drive is, what is refused and why, and that nothing is written where no drive is."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from objstore import durable
from objstore.storage.drive import (
    SHARD_DIRECTORIES,
    DriveError,
    DriveInUse,
    DriveSet,
    add_drive,
    open_drives,
    replace_drive,
)
from objstore.storage.identity import IDENTITY_FILE, Identity, IdentityDamaged, IdentityNewer
from objstore.storage.interface import DriveState
from tests.storage.support import PROBE_S, directories, drives_in


def _until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    for _ in range(int(seconds / 0.02)):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come to that in time")


def _form(paths: list[Path]) -> None:
    with drives_in(paths):
        pass


def _reasons(drives: DriveSet) -> list[tuple[DriveState, str]]:
    return [(drive.state, drive.reason) for drive in drives]


def _tree(path: Path) -> list[tuple[str, int]]:
    return sorted((str(p.relative_to(path)), p.stat().st_size) for p in path.rglob("*"))


def test_blank_directories_become_a_deployment(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    with drives_in(paths) as drives:
        assert [drive.number for drive in drives] == list(range(6))
        assert len({drive.uuid for drive in drives}) == 6
        assert {drive.state for drive in drives} == {DriveState.ONLINE}
        assert (drives.membership.data_shards, drives.membership.parity_shards) == (4, 2)
        assert len(drives.shared_devices()[0]) == 6
    for path in paths:
        assert len(list((path / "shards").iterdir())) == len(SHARD_DIRECTORIES) == 256
        assert path.joinpath("shards").stat().st_mode & 0o777 == 0o700
        assert (path / IDENTITY_FILE).stat().st_mode & 0o777 == 0o600


def test_a_fresh_file_system_with_lost_and_found_is_blank(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    (paths[0] / "lost+found").mkdir()
    _form(paths)


def test_drives_keep_their_numbers_under_other_paths_and_in_another_order(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    with drives_in(paths) as drives:
        before = {drive.uuid: drive.number for drive in drives}
    moved = [path.rename(tmp_path / f"moved{5 - i}") for i, path in enumerate(paths)]
    with drives_in(moved[::-1], None) as drives:
        assert {drive.uuid: drive.number for drive in drives} == before


def test_paths_swapped_while_running_are_followed(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    with drives_in(paths) as drives:
        paths[0].rename(tmp_path / "between")
        paths[1].rename(paths[0])
        (tmp_path / "between").rename(paths[1])
        _until(lambda: [drive.number for drive in drives][:2] == [1, 0])
        _until(lambda: all(drive.state is DriveState.ONLINE for drive in drives))
        for number in range(6):
            drive = drives.by_number(number)
            assert drive is not None
            assert json.loads(Path(drive.path, IDENTITY_FILE).read_text())["number"] == number


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda path: (path / "file").write_text("mine"), "not empty, and without an identity file"),
        (lambda path: path.rmdir(), "no such directory"),
        (lambda path: (path.rmdir(), path.write_text("")), "cannot be opened: Not a directory"),
    ],
)
def test_a_new_deployment_needs_blank_directories(
    tmp_path: Path, spoil: Callable[[Path], object], expected: str
) -> None:
    paths = directories(tmp_path)
    spoil(paths[3])
    with pytest.raises(DriveError, match=expected) as caught:
        open_drives(paths, create=(4, 2))
    assert str(paths[3]) in str(caught.value)
    assert all(list(path.iterdir()) == [] for path in paths[:3])


def test_a_new_deployment_needs_as_many_drives_as_shards(tmp_path: Path) -> None:
    with pytest.raises(DriveError, match=r"4\+2 needs 6 drives, there are 5"):
        open_drives(directories(tmp_path, 5), create=(4, 2))


def test_blank_directories_are_left_alone_unless_a_deployment_is_to_be_made(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    with pytest.raises(DriveError, match="no drive of a deployment among"):
        open_drives(paths)
    assert all(list(path.iterdir()) == [] for path in paths)


def test_a_crash_while_forming_is_formed_again(tmp_path: Path) -> None:
    """The identity files are written last, in two rounds: cuts before, between and within these."""

    class PowerCut(Exception):
        pass

    for cut in (0, 300, *range(1590, 1652, 7)):
        base = tmp_path / str(cut)
        base.mkdir()
        paths = directories(base)
        count = 0

        def observer(operation: str, path: str, details: tuple[object, ...], cut: int = cut) -> None:
            nonlocal count
            if operation not in ("open", "read"):
                count += 1
                if count > cut:
                    raise PowerCut

        try:
            with durable.observed(observer):
                open_drives(paths, create=(4, 2)).close()
        except PowerCut:
            pass
        with drives_in(paths) as drives:
            assert {drive.state for drive in drives} == {DriveState.ONLINE}
            assert {drive.opened().identity.membership.deployment for drive in drives} == {
                drives.membership.deployment
            }
        shutil.rmtree(base)


def test_an_empty_directory_in_a_deployment_is_a_missing_mount_not_a_fresh_disk(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    _form(paths)
    shutil.rmtree(paths[2])
    paths[2].mkdir()
    with drives_in(paths) as drives:
        state, reason = _reasons(drives)[2]
        assert state is DriveState.REFUSED
        assert "empty: a drive that is not mounted" in reason
        assert "objstore drive replace" in reason
        assert drives.by_number(2) is None
        assert drives.is_member(2)
        absent = [status for status in drives.status() if status.number == 2]
        assert absent[0].state is DriveState.OFFLINE
    assert list(paths[2].iterdir()) == []


def test_a_drive_of_another_deployment_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    others = directories(tmp_path / "other")
    paths = directories(tmp_path)
    _form(others)
    _form(paths)
    before = _tree(others[0])
    with drives_in([*paths[:5], others[0]], None, lock=True) as drives:
        state, reason = _reasons(drives)[5]
        assert state is DriveState.REFUSED
        assert "belongs to another deployment" in reason
    assert _tree(others[0]) == before


def test_two_deployments_with_equally_many_drives_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    others = directories(tmp_path / "other")
    paths = directories(tmp_path)
    _form(others)
    _form(paths)
    with pytest.raises(DriveError, match="drives of two deployments"):
        open_drives([*paths[:3], *others[:3]])


def test_a_copy_of_a_drive_is_refused_and_so_is_the_original_until_one_is_gone(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    _form(paths)
    shutil.copytree(paths[0], tmp_path / "copy")
    with drives_in([*paths, tmp_path / "copy"], None) as drives:
        for index in (0, 6):
            state, reason = _reasons(drives)[index]
            assert state is DriveState.REFUSED
            assert "duplicate" in reason
        (tmp_path / "copy").rename(tmp_path / "taken away")
        _until(lambda: drives.drives[0].state is DriveState.ONLINE)


def test_a_copy_that_turns_up_later_does_not_disturb_the_drive(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    _form(paths)
    with drives_in([*paths, tmp_path / "copy"], None) as drives:
        shutil.copytree(paths[0], tmp_path / "copy")
        _until(lambda: "duplicate" in drives.drives[6].reason)
        time.sleep(5 * PROBE_S)
        assert drives.drives[0].state is DriveState.ONLINE


def test_one_directory_named_twice_is_refused_even_through_a_link(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    _form(paths)
    (tmp_path / "link").symlink_to(paths[1])
    for again in (paths[1], tmp_path / "link"):
        with pytest.raises(DriveError, match="are the same directory"):
            open_drives([*paths, again])


def test_a_newer_format_is_refused_and_not_touched(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    _form(paths)
    identity = paths[0] / IDENTITY_FILE
    identity.write_text(identity.read_text().replace('"format_version": 1', '"format_version": 2'))
    before = _tree(paths[0])
    with drives_in(paths, None, lock=True) as drives:
        state, reason = _reasons(drives)[0]
        assert state is DriveState.REFUSED
        assert "format version 2, this server knows up to 1" in reason
    assert _tree(paths[0]) == before


def test_a_second_server_is_refused_and_gets_the_drives_when_the_first_ends(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    with drives_in(paths, lock=True):
        with pytest.raises(DriveInUse, match="in use by another server"):
            open_drives(paths, lock=True)
        with drives_in(paths, None) as worker:  # the first server's own workers take no lock
            assert all(drive.state is DriveState.ONLINE for drive in worker)
    with drives_in(paths, None, lock=True) as drives:
        assert all(drive.state is DriveState.ONLINE for drive in drives)


def test_a_replaced_drive_is_refused_when_it_comes_back(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    _form(paths)
    paths[4].rename(tmp_path / "broken")
    paths[4].mkdir()
    created = replace_drive(paths, paths[4])
    assert created.number == 6, "numbers are never used again"
    with drives_in([*paths, tmp_path / "broken"], None) as drives:
        assert [drive.number for drive in drives][:6] == [0, 1, 2, 3, 6, 5]
        state, reason = _reasons(drives)[6]
        assert state is DriveState.REFUSED
        assert "was replaced: drive 4" in reason
        assert not drives.is_member(4)


def test_a_drive_is_replaced_and_another_added_while_running(tmp_path: Path) -> None:
    paths = directories(tmp_path, 7)
    _form(paths[:6])
    with drives_in(paths, None, lock=True) as drives:
        assert drives.drives[6].state is DriveState.REFUSED
        assert add_drive(paths, paths[6]).number == 6
        _until(lambda: drives.drives[6].state is DriveState.ONLINE)
        shutil.rmtree(paths[0])
        paths[0].mkdir()
        _until(lambda: drives.drives[0].state is DriveState.REFUSED)
        assert replace_drive(paths, paths[0]).number == 7
        _until(lambda: drives.drives[0].state is DriveState.ONLINE)
        assert drives.membership.epoch == 3
        assert sorted(drives.membership.drives) == [1, 2, 3, 4, 5, 6, 7]
    with drives_in(paths, None) as drives:
        assert {drive.opened().identity.membership.epoch for drive in drives} == {3}


def test_a_drive_that_missed_a_change_learns_of_it(tmp_path: Path) -> None:
    paths = directories(tmp_path, 7)
    _form(paths[:6])
    paths[5].rename(tmp_path / "away")
    add_drive(paths[:5], paths[6])
    (tmp_path / "away").rename(paths[5])
    with drives_in(paths, None, lock=True):
        pass
    for path in paths:
        identity = Identity.parse((path / IDENTITY_FILE).read_bytes())
        assert identity.membership.epoch == 2
        assert sorted(identity.membership.drives) == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        (lambda paths: None, "already a drive"),
        (lambda paths: (shutil.rmtree(paths[5]), paths[5].mkdir(), (paths[5] / "x").touch()), "not empty"),
        (lambda paths: shutil.rmtree(paths[5]), "no such directory"),
    ],
)
def test_only_a_blank_directory_becomes_a_drive(
    tmp_path: Path, prepare: Callable[[list[Path]], object], expected: str
) -> None:
    paths = directories(tmp_path)
    _form(paths)
    prepare(paths)
    with pytest.raises(DriveError, match=expected):
        replace_drive(paths, paths[5])


def test_replacing_needs_more_than_half_of_the_drives(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    _form(paths)
    for path in paths[:3]:
        shutil.rmtree(path)
        path.mkdir()
    with pytest.raises(DriveError, match="only 3 of 6 drives are here"):
        replace_drive(paths, paths[0])
    assert list(paths[0].iterdir()) == []


def test_which_drive_is_replaced_must_be_said_when_it_is_not_plain(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    _form(paths)
    for path in paths[:2]:
        shutil.rmtree(path)
    new = tmp_path / "new"
    new.mkdir()
    with pytest.raises(DriveError, match=r"say which drive .* replaces; missing: 0 .*, 1 "):
        replace_drive(paths, new)
    with pytest.raises(DriveError, match="there is no drive 9"):
        replace_drive(paths, new, 9)
    assert replace_drive(paths, new, 1).number == 6
    paths[0].mkdir()
    assert sorted(replace_drive([*paths, new], paths[0]).membership.drives) == [2, 3, 4, 5, 6, 7]


def test_identity_is_read_only_when_every_bit_is_right(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    _form(paths)
    data = (paths[0] / IDENTITY_FILE).read_bytes()
    identity = Identity.parse(data)
    assert identity.dumps() == data
    for offset in range(len(data)):
        for bit in (0, 3, 6):
            spoilt = bytearray(data)
            spoilt[offset] ^= 1 << bit
            try:
                assert Identity.parse(bytes(spoilt)) == identity  # white space
            except (IdentityDamaged, IdentityNewer):
                continue
    for length in range(len(data) - 1):
        with pytest.raises(IdentityDamaged):
            Identity.parse(data[:length])


def test_space_is_reserved_and_less_on_tiny_drives(tmp_path: Path) -> None:
    paths = directories(tmp_path)
    space = os.statvfs(tmp_path)
    free = space.f_bavail * space.f_frsize
    with drives_in(paths, reserve_bytes=1 << 60) as drives:
        reserve = space.f_blocks * space.f_frsize // 20
        assert all(drive.reserve_bytes == reserve for drive in drives)
        expected = DriveState.ONLINE if free > reserve else DriveState.READ_ONLY
        assert all(drive.state is expected for drive in drives)
