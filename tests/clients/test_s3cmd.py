"""s3cmd with the configuration its own `--configure` would write for a plain endpoint."""

import random
from pathlib import Path

import pytest

from tests.clients.programs import Client, awkward_tree, contents
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

pytestmark = pytest.mark.clients


@pytest.fixture
def s3cmd(server: Server, tmp_path: Path) -> Client:
    home = tmp_path / "home"
    home.mkdir()
    host = f"127.0.0.1:{server.port}"
    (home / ".s3cfg").write_text(
        f"[default]\naccess_key = {ROOT_ACCESS_KEY}\nsecret_key = {ROOT_SECRET_KEY}\n"
        f"host_base = {host}\nhost_bucket = {host}\nuse_https = False\n"
    )
    return Client("s3cmd", home, {})


def test_put_get_list_copy_move_delete(s3cmd: Client, bucket_name: str, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(b"some bytes")
    s3cmd("mb", f"s3://{bucket_name}")
    s3cmd("put", source, f"s3://{bucket_name}/a b/ü+.txt")
    assert "ü+.txt" in s3cmd("ls", f"s3://{bucket_name}/a b/")
    s3cmd("get", f"s3://{bucket_name}/a b/ü+.txt", back)
    assert back.read_bytes() == b"some bytes"
    s3cmd("cp", f"s3://{bucket_name}/a b/ü+.txt", f"s3://{bucket_name}/copy")
    s3cmd("mv", f"s3://{bucket_name}/copy", f"s3://{bucket_name}/moved")
    assert "MD5 sum" in s3cmd("info", f"s3://{bucket_name}/moved")
    assert "2 objects" in s3cmd("du", f"s3://{bucket_name}")
    s3cmd("modify", "--add-header=x-amz-meta-colour:blue", f"s3://{bucket_name}/moved")
    assert "blue" in s3cmd("info", f"s3://{bucket_name}/moved")
    s3cmd("del", "--recursive", "--force", f"s3://{bucket_name}")
    s3cmd("rb", f"s3://{bucket_name}")


def test_sync_both_ways(s3cmd: Client, bucket: str, tmp_path: Path, seeded: random.Random) -> None:
    tree = awkward_tree(tmp_path / "tree", seeded)
    s3cmd("sync", f"{tree}/", f"s3://{bucket}/t/")
    back = tmp_path / "back"
    back.mkdir()
    s3cmd("sync", f"s3://{bucket}/t/", f"{back}/")
    assert contents(back) == contents(tree)


def test_multipart_upload_of_40_mib(
    s3cmd: Client, bucket: str, tmp_path: Path, seeded: random.Random
) -> None:
    source, back = tmp_path / "large", tmp_path / "back"
    source.write_bytes(seeded.randbytes(40 << 20))
    s3cmd("put", source, f"s3://{bucket}/large")
    s3cmd("get", f"s3://{bucket}/large", back)
    assert back.read_bytes() == source.read_bytes()
