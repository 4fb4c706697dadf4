"""When empty directories are taken for new drives, and when for disks that are not mounted."""

import json
import os
import shutil
from pathlib import Path

import pytest

from objstore import creation
from objstore.config import Config
from objstore.deployment import DeploymentError
from tests.support.server import Server
from tests.test_bad_drives import mounted, names_below, refused


def config_for(*paths: Path, **settings: object) -> Config:
    return Config.model_validate({"drives": [str(path) for path in paths], "erasure": "1+1", **settings})


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    made = [tmp_path / f"d{number}" for number in range(6)]
    for path in made:
        path.mkdir()
    return made


def test_what_was_never_served_may_be_made(paths: list[Path]) -> None:
    creation.check(config_for(*paths))


def test_what_was_served_is_not_made_again(paths: list[Path], tmp_path: Path) -> None:
    config = config_for(*paths)
    creation.remember(config, "a" * 32)
    with pytest.raises(DeploymentError, match="are they mounted") as refusal:
        creation.check(config)
    note = tmp_path / "home/objstore" / f"{'a' * 32}.json"
    assert str(note) in str(refusal.value)
    with pytest.raises(DeploymentError):
        creation.check(config_for(paths[3], *(tmp_path / f"new{number}" for number in range(5))))
    note.unlink()
    creation.check(config)


def test_a_deployment_that_moved_leaves_its_old_directories_free(paths: list[Path]) -> None:
    creation.remember(config_for(*paths[:3]), "a" * 32)
    creation.remember(config_for(*paths[3:]), "a" * 32)
    creation.check(config_for(*paths[:3]))
    with pytest.raises(DeploymentError):
        creation.check(config_for(*paths[3:]))


def test_a_data_directory_that_was_removed_is_made_again(paths: list[Path]) -> None:
    config = config_for(paths[0])
    creation.remember(config, "a" * 32)
    with pytest.raises(DeploymentError):
        creation.check(config)
    paths[0].rmdir()
    creation.check(config)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"paths": 3}'])
def test_a_note_that_cannot_be_read_keeps_nobody_from_starting(
    paths: list[Path], tmp_path: Path, text: str
) -> None:
    (tmp_path / "home/objstore").mkdir(parents=True)
    (tmp_path / "home/objstore/note.json").write_text(text)
    creation.check(config_for(*paths))


def test_where_nothing_can_be_noted_it_is_served_all_the_same(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    creation.remember(config_for(*paths, state_directory=str(tmp_path / "file/below")), "a" * 32)


@pytest.mark.parametrize(
    ("setting", "systemd", "expected"),
    [("/a", "/b:/c", "/a"), (None, "/b:/c", "/b"), (None, "", "home/objstore")],
)
def test_the_state_directory_is_the_one_set_or_systemds_or_the_users(
    paths: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    setting: str | None,
    systemd: str,
    expected: str,
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", systemd)
    assert creation.state_directory(config_for(*paths, state_directory=setting)) == tmp_path / expected


def test_what_fstab_mounts_has_to_be_mounted(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fstab = tmp_path / "fstab"
    monkeypatch.setattr(creation, "FSTAB", fstab)
    odd = tmp_path / "with space"
    odd.mkdir()
    lines = (
        f"# {paths[0]}",
        "UUID=1 / ext4",
        "proc /proc proc",
        f"UUID=2\t{tmp_path}/with\\040space  xfs",
        "odd",
    )
    fstab.write_text("\n".join(lines))
    creation.check(config_for(*paths))
    with pytest.raises(DeploymentError, match="none is mounted there"):
        creation.check(config_for(odd / "data"))


def test_a_mounted_file_system_is_mounted(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(creation, "FSTAB", tmp_path / "fstab")
    (tmp_path / "fstab").write_text(f"UUID=2 {paths[0]} xfs\n")
    with mounted(paths[0]):
        creation.check(config_for(*paths))


def test_an_index_elsewhere_tells_of_a_deployment(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    config = config_for(*paths, index_directory=str(tmp_path / "index"))
    creation.check(config)
    (tmp_path / "index/index.state").touch()
    with pytest.raises(DeploymentError, match="index of a deployment"):
        creation.check(config)


def test_nothing_is_made_where_nothing_may_be(paths: list[Path]) -> None:
    with pytest.raises(DeploymentError, match="may_create"):
        creation.check(config_for(*paths, may_create=False))


def test_a_server_that_lost_all_its_disks_makes_nothing(tmp_path: Path) -> None:
    server = Server(tmp_path, workers=1).start()
    assert server.stop() == 0
    for drive in server.drives:
        drive.rename(drive.with_name(f"{drive.name}-unmounted"))
        drive.mkdir()
    assert "are they mounted" in refused(server)
    assert all(names_below(drive) == set() for drive in server.drives)
    for drive in server.drives:
        drive.rmdir()
        drive.with_name(f"{drive.name}-unmounted").rename(drive)
    server.start()
    assert server.stop() == 0


def test_a_data_directory_that_lost_its_contents_stays_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = Server(tmp_path, workers=1)
    server.drives = [data]
    server.start()
    assert server.stop() == 0
    (note,) = (tmp_path / "state/objstore").iterdir()
    assert json.loads(note.read_text())["paths"] == [str(data)]
    shutil.rmtree(data)
    data.mkdir()
    assert "are they mounted" in refused(server)
    assert os.listdir(data) == []
    data.rmdir()
    server.start()
    assert server.stop() == 0
