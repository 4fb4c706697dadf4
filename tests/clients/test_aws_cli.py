"""aws cli: the high-level commands, a large multipart transfer, and a tree with awkward names."""

import json
import random
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.clients.programs import Client, awkward_tree, aws_cli, contents
from tests.support.server import Server

pytestmark = pytest.mark.clients

LARGE_BYTES = 200 << 20


@pytest.fixture
def aws(server: Server, tmp_path: Path) -> Client:
    return aws_cli(server, tmp_path / "home")


def test_mb_cp_ls_mv_rm_rb(aws: Client, bucket_name: str, tmp_path: Path) -> None:
    source = tmp_path / "hello.txt"
    source.write_text("hello")
    assert f"make_bucket: {bucket_name}" in aws("s3", "mb", f"s3://{bucket_name}")
    assert bucket_name in aws("s3", "ls")
    aws("s3", "cp", source, f"s3://{bucket_name}/a/hello.txt")
    assert "PRE a/" in aws("s3", "ls", f"s3://{bucket_name}")
    assert " 5 hello.txt" in aws("s3", "ls", f"s3://{bucket_name}/a/")
    assert aws("s3", "cp", f"s3://{bucket_name}/a/hello.txt", "-") == "hello"
    aws("s3", "cp", f"s3://{bucket_name}/a/hello.txt", f"s3://{bucket_name}/copy.txt")
    aws("s3", "mv", f"s3://{bucket_name}/copy.txt", f"s3://{bucket_name}/moved.txt")
    listed = aws("s3", "ls", "--recursive", "--summarize", f"s3://{bucket_name}")
    assert "moved.txt" in listed and "copy.txt" not in listed and "Total Objects: 2" in listed
    aws("s3", "rb", f"s3://{bucket_name}", fails=True)
    aws("s3", "rm", "--recursive", f"s3://{bucket_name}")
    assert "remove_bucket" in aws("s3", "rb", f"s3://{bucket_name}")
    assert "NoSuchBucket" in aws("s3", "ls", f"s3://{bucket_name}", fails=True)


def test_rb_force_removes_a_full_bucket(aws: Client, bucket: str) -> None:
    aws("s3", "cp", "-", f"s3://{bucket}/x", stdin=b"x")
    aws("s3", "rb", "--force", f"s3://{bucket}")


def test_sync_both_ways_keeps_awkward_names(
    aws: Client, bucket: str, tmp_path: Path, seeded: random.Random
) -> None:
    tree = awkward_tree(tmp_path / "tree", seeded)
    aws("s3", "sync", tree, f"s3://{bucket}/tree")
    assert aws("s3", "sync", tree, f"s3://{bucket}/tree") == ""
    aws("s3", "sync", f"s3://{bucket}/tree", f"s3://{bucket}/second")
    aws("s3", "sync", f"s3://{bucket}/second", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tree)
    (tree / "plain.txt").unlink()
    assert "delete:" in aws("s3", "sync", "--delete", tree, f"s3://{bucket}/tree")
    aws("s3api", "head-object", "--bucket", bucket, "--key", "tree/plain.txt", fails=True)


def test_large_file_goes_as_multipart_and_comes_back_whole(
    aws: Client, bucket: str, tmp_path: Path, seeded: random.Random
) -> None:
    source, back = tmp_path / "large", tmp_path / "back"
    source.write_bytes(seeded.randbytes(1 << 20) * (LARGE_BYTES >> 20))
    aws("s3", "cp", "--quiet", source, f"s3://{bucket}/large")
    head = json.loads(aws("s3api", "head-object", "--bucket", bucket, "--key", "large"))
    assert head["ContentLength"] == LARGE_BYTES
    assert head["ETag"].endswith(f'-{LARGE_BYTES // (8 << 20)}"')
    aws("s3", "cp", "--quiet", f"s3://{bucket}/large", back)
    assert back.read_bytes() == source.read_bytes()
    aws("s3", "cp", "--quiet", f"s3://{bucket}/large", f"s3://{bucket}/copied")
    copied = json.loads(aws("s3api", "head-object", "--bucket", bucket, "--key", "copied"))
    assert copied["ContentLength"] == LARGE_BYTES


def test_presigned_url_opens_the_object_and_nothing_else(aws: Client, bucket: str) -> None:
    aws("s3", "cp", "-", f"s3://{bucket}/a b+c", stdin=b"shared")
    url = aws("s3", "presign", f"s3://{bucket}/a b+c").strip()
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"shared"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url.replace("a%20b", "a%20c"))


def test_metadata_given_to_cp_comes_back(aws: Client, bucket: str) -> None:
    aws(
        "s3",
        "cp",
        "-",
        f"s3://{bucket}/m",
        "--metadata",
        "colour=blue",
        "--content-type",
        "text/x-test",
        "--cache-control",
        "max-age=60",
        stdin=b"x",
    )
    head = json.loads(aws("s3api", "head-object", "--bucket", bucket, "--key", "m"))
    assert head["Metadata"] == {"colour": "blue"}
    assert head["ContentType"] == "text/x-test"
    assert head["CacheControl"] == "max-age=60"


def test_select_object_content(aws: Client, bucket_name: str, tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="SelectObjectContent is tested only where duckdb is installed")
    source, target = tmp_path / "people.csv", tmp_path / "out.json"
    source.write_text('name,age\nAnn,31\n"Bob, jr",7\n')
    aws("s3", "mb", f"s3://{bucket_name}")
    aws("s3", "cp", source, f"s3://{bucket_name}/people.csv")
    aws(
        *("s3api", "select-object-content", "--bucket", bucket_name, "--key", "people.csv"),
        *("--expression", "SELECT s.name FROM S3Object s WHERE s.age < 10", "--expression-type", "SQL"),
        *("--input-serialization", '{"CSV": {"FileHeaderInfo": "USE"}}'),
        *("--output-serialization", '{"JSON": {}}', target),
    )
    assert target.read_text() == '{"name":"Bob, jr"}\n'
