"""rclone as provider "Other": endpoint and keys, no quirk flags."""

import random
from pathlib import Path

import pytest

from tests.clients.programs import Client, awkward_tree, contents
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

pytestmark = pytest.mark.clients


@pytest.fixture
def rclone(server: Server, tmp_path: Path) -> Client:
    home = tmp_path / "home"
    home.mkdir()
    config = home / "rclone.conf"
    config.write_text(
        f"[s3]\ntype = s3\nprovider = Other\naccess_key_id = {ROOT_ACCESS_KEY}\n"
        f"secret_access_key = {ROOT_SECRET_KEY}\nendpoint = {server.endpoint}\n"
    )
    return Client("rclone", home, {"RCLONE_CONFIG": str(config)})


@pytest.mark.parametrize("list_version", [1, 2])
def test_sync_and_check_by_download(
    rclone: Client, bucket: str, tmp_path: Path, seeded: random.Random, list_version: int
) -> None:
    tree = awkward_tree(tmp_path / "tree", seeded, extra_bytes=12 << 20)
    flag = f"--s3-list-version={list_version}"
    rclone("sync", flag, tree, f"s3:{bucket}/tree")
    rclone("check", "--download", flag, tree, f"s3:{bucket}/tree")
    rclone("sync", flag, f"s3:{bucket}/tree", f"s3:{bucket}/second")
    rclone("sync", flag, f"s3:{bucket}/second", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tree)


def test_sync_transfers_nothing_the_second_time(
    rclone: Client, bucket: str, tmp_path: Path, seeded: random.Random
) -> None:
    tree = awkward_tree(tmp_path / "tree", seeded)
    rclone("sync", tree, f"s3:{bucket}")
    again = rclone("sync", "-v", tree, f"s3:{bucket}")
    assert "There was nothing to transfer" in again


def test_large_file_goes_in_parts(rclone: Client, bucket: str, tmp_path: Path, seeded: random.Random) -> None:
    source = tmp_path / "large"
    source.write_bytes(seeded.randbytes(30 << 20))
    rclone("copyto", "--s3-upload-cutoff=5M", "--s3-chunk-size=5M", source, f"s3:{bucket}/large")
    rclone("copyto", f"s3:{bucket}/large", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_mkdir_lsjson_purge(rclone: Client, bucket_name: str) -> None:
    rclone("mkdir", f"s3:{bucket_name}")
    rclone("rcat", f"s3:{bucket_name}/a", stdin=b"streamed without a length")
    assert rclone("cat", f"s3:{bucket_name}/a") == "streamed without a length"
    assert '"Size":25' in rclone("lsjson", "--hash", f"s3:{bucket_name}")
    rclone("purge", f"s3:{bucket_name}")
