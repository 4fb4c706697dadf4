"""What a server finds or makes on its drives before it starts."""

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from objstore import deployment
from objstore.config import Config, load
from objstore.deployment import DeploymentError


def config(**flags: Any) -> Config:
    return load(flags, environment={})


@pytest.fixture
def drives(tmp_path: Path) -> list[Path]:
    """Three drives as formatting makes them."""
    found = [tmp_path / f"d{number}" for number in (1, 2, 3)]
    for drive in found:
        for name in ("system", "journal", "snapshots", "index", "packs", "shards/00"):
            (drive / name).mkdir(parents=True)
    return found


@pytest.mark.parametrize(
    ("there", "erasure", "expected"),
    [
        ([], "4+2", [1, 2, 3, 4, 5, 6]),
        (["d1", "d2"], "4+2", [1, 2, 3, 4, 5, 6]),
        ([f"d{n}" for n in range(1, 8)] + ["d10", "other", "d0", "d01"], "4+2", [1, 2, 3, 4, 5, 6, 7, 10]),
        ([], "8+3", list(range(1, 12))),
        ([], "1+1", [1, 2, 3, 4, 5, 6]),
    ],
)
def test_a_single_directory_is_divided(
    tmp_path: Path, there: list[str], erasure: str, expected: list[int]
) -> None:
    for name in there:
        (tmp_path / name).mkdir()
    found = deployment.drive_directories(config(drives=[str(tmp_path)], erasure=erasure))
    assert found == [tmp_path / f"d{number}" for number in expected]


def test_several_directories_are_drives_themselves_and_so_is_one_without_redundancy(tmp_path: Path) -> None:
    several = [str(tmp_path / name) for name in "abcdef"]
    assert deployment.drive_directories(config(drives=several)) == list(map(Path, several))
    assert deployment.drive_directories(config(drives=[str(tmp_path)], erasure="1+0")) == [tmp_path]


def test_a_drive_is_not_divided(tmp_path: Path) -> None:
    (tmp_path / "objstore.json").write_text("{}")
    with pytest.raises(DeploymentError, match="is a drive itself"):
        deployment.drive_directories(config(drives=[str(tmp_path)]))


def test_directories_are_made_for_a_new_deployment_only(tmp_path: Path) -> None:
    settings = config(drives=[str(tmp_path / "data")])
    found = deployment.drive_directories(settings)
    assert deployment.make_divided_directories(settings, found) is True
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in found)
    (found[0] / "objstore.json").write_text("{}")
    found[3].rmdir()
    assert deployment.make_divided_directories(settings, found) is False
    assert not found[3].exists()


def test_the_key_is_made_once_and_a_replaced_drive_gets_its_copy(drives: list[Path]) -> None:
    made = deployment.provide_sealer(config(), drives, is_new=True)
    copies = [drive / "system/secret.key" for drive in drives]
    assert {copy.read_text() for copy in copies} == {made.to_text()}
    assert {stat.S_IMODE(copy.stat().st_mode) for copy in copies} == {0o600}
    copies[1].unlink()
    again = deployment.provide_sealer(config(), drives, is_new=False)
    assert again.to_text() == made.to_text() == copies[1].read_text()


def test_a_deployment_that_lost_its_key_is_not_given_another(drives: list[Path]) -> None:
    with pytest.raises(DeploymentError, match=r"no drive has system/secret.key"):
        deployment.provide_sealer(config(), drives, is_new=False)
    assert not list(drives[0].glob("system/*"))


def test_a_start_that_was_cut_off_takes_the_key_it_had_made(drives: list[Path]) -> None:
    made = deployment.provide_sealer(config(), drives[:1], is_new=True)
    assert deployment.provide_sealer(config(), drives, is_new=True).to_text() == made.to_text()


@pytest.mark.parametrize("text", [b"", b"hello", b"\xff\xfe", b"objstore-secret-key-1:00"])
def test_a_key_file_that_is_none_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(DeploymentError, match="key"):
        deployment.read_sealer(config(key_file=str(path)), [])


def test_root_credentials_are_generated_once_and_settings_win(drives: list[Path]) -> None:
    first = deployment.provide_root_credentials(config(), drives)
    assert first.is_new
    second = deployment.provide_root_credentials(config(), drives)
    assert not second.is_new
    assert second.issued == first.issued
    given = {"OBJSTORE_ROOT_ACCESS_KEY": "GIVEN", "OBJSTORE_ROOT_SECRET_KEY": "given-secret"}
    third = deployment.provide_root_credentials(load({}, environment=given), drives)
    assert (third.issued.access_key, third.issued.secret_key) == ("GIVEN", "given-secret")
    assert not third.is_new
    assert first.issued.secret_key not in repr(first)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"access_key": "a"}', '{"access_key": 1, "secret_key": 2}']
)
def test_damaged_root_credentials_are_named(drives: list[Path], text: str) -> None:
    (drives[0] / "system/root-credentials.json").write_text(text)
    with pytest.raises(DeploymentError, match=r"root-credentials.json"):
        deployment.provide_root_credentials(config(), drives)


def test_copies_go_to_the_drives_that_take_them_and_one_must(drives: list[Path], tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    deployment.write_copies([gone, *drives], "note", b"1")
    assert [(drive / "system/note").read_bytes() for drive in drives] == [b"1"] * 3
    with pytest.raises(DeploymentError, match="no drive takes"):
        deployment.write_copies([gone], "note", b"1")


def test_what_lies_on_the_drives_is_told_apart(drives: list[Path]) -> None:
    assert not deployment.holds_facts(drives) and not deployment.holds_bytes(drives)
    (drives[1] / "journal/roster").write_text("")
    assert deployment.holds_facts(drives) and not deployment.holds_bytes(drives)
    (drives[2] / "shards/00/x").write_text("")
    assert deployment.holds_bytes(drives)


def test_a_server_is_found_only_while_it_lives_and_only_on_its_own_directories(drives: list[Path]) -> None:
    from objstore.supervisor import RuntimeDirectory

    assert deployment.find_server(drives) is None
    with RuntimeDirectory() as owner:
        places = [{"device": os.stat(d).st_dev, "inode": os.stat(d).st_ino} for d in drives[:2]]
        note = deployment.server_note(owner.runtime.path, places)
        for drive in drives:
            (drive / "system/server.json").write_bytes(note)
        found = deployment.find_server(drives)
        assert found is not None and found.path == owner.runtime.path
        assert deployment.find_server(drives[2:]) is None, "a note on a copy is not believed"
        (drives[0] / "system/server.json").write_bytes(b"not json")
        assert deployment.find_server(drives[:1]) is None
    assert deployment.find_server(drives) is None
