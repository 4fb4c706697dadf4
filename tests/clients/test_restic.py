"""restic: a repository on this server survives backup, check with all data read, restore and prune."""

import random
from pathlib import Path

import pytest

from tests.clients.programs import Client, awkward_tree, contents
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

pytestmark = pytest.mark.clients


def test_backup_check_restore_prune(
    server: Server, bucket_name: str, tmp_path: Path, seeded: random.Random
) -> None:
    restic = Client(
        "restic",
        tmp_path / "home",
        {
            "AWS_ACCESS_KEY_ID": ROOT_ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_SECRET_KEY,
            "RESTIC_REPOSITORY": f"s3:{server.endpoint}/{bucket_name}",
            "RESTIC_PASSWORD": "a password for tests",
        },
    )
    tree = awkward_tree(tmp_path / "tree", seeded, extra_bytes=30 << 20)
    restic("init")
    restic("backup", tree)
    (tree / "plain.txt").write_text("changed")
    restic("backup", tree)
    assert "no errors were found" in restic("check", "--read-data")
    restic("restore", "latest", "--target", tmp_path / "restored")
    assert contents(tmp_path / "restored" / tree.relative_to("/")) == contents(tree)
    restic("forget", "--keep-last", "1", "--prune")
    assert "no errors were found" in restic("check", "--read-data")
