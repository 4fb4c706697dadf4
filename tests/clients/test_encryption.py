"""Server-side encryption with real client programs."""

import base64
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import Client
from tests.operations.sse import KEY_A, customer
from tests.support.certificates import certificate
from tests.support.server import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

pytestmark = pytest.mark.clients

SIZE = 12 << 20


@pytest.fixture
def source(tmp_path: Path, seeded: random.Random) -> Path:
    path = tmp_path / "source"
    path.write_bytes(seeded.randbytes(SIZE))
    return path


@pytest.fixture
def aws(server: Server, tmp_path: Path) -> Client:
    return Client(
        "aws",
        tmp_path / "home",
        {
            "AWS_ACCESS_KEY_ID": ROOT_ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": server.endpoint,
        },
    )


def rclone_with(server: Server, tmp_path: Path, settings: str) -> Client:
    home = tmp_path / "home"
    home.mkdir()
    config = home / "rclone.conf"
    config.write_text(
        f"[s3]\ntype = s3\nprovider = Other\naccess_key_id = {ROOT_ACCESS_KEY}\n"
        f"secret_access_key = {ROOT_SECRET_KEY}\nendpoint = {server.endpoint}\n{settings}"
    )
    return Client("rclone", home, {"RCLONE_CONFIG": str(config)})


@pytest.mark.parametrize("flags", [("--sse",), ("--sse", "aws:kms")])
def test_aws_cli(
    aws: Client, s3: Any, bucket: str, source: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    aws("s3", "cp", source, f"s3://{bucket}/k", *flags)
    assert s3.head_object(Bucket=bucket, Key="k")["ServerSideEncryption"] == (flags[1:] or ("AES256",))[0]
    aws("s3", "cp", f"s3://{bucket}/k", f"s3://{bucket}/copy", *flags)
    aws("s3", "cp", f"s3://{bucket}/copy", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_aws_cli_with_a_key_of_its_own(
    aws: Client, s3: Any, bucket: str, source: Path, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_bytes(KEY_A)
    flags = ("--sse-c", "AES256", "--sse-c-key", f"fileb://{key}")
    aws("s3", "cp", source, f"s3://{bucket}/k", *flags)
    copying = ("--sse-c-copy-source", "AES256", "--sse-c-copy-source-key", f"fileb://{key}")
    aws("s3", "cp", f"s3://{bucket}/k", f"s3://{bucket}/copy", *flags, *copying)
    aws("s3", "cp", f"s3://{bucket}/copy", tmp_path / "back", *flags)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    assert s3.head_object(Bucket=bucket, Key="copy", **customer(KEY_A))["ContentLength"] == SIZE


def test_aws_cli_configures_a_bucket(aws: Client, bucket: str) -> None:
    rules = '{"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}'
    aws("s3api", "put-bucket-encryption", "--bucket", bucket, "--server-side-encryption-configuration", rules)
    assert "AES256" in aws("s3api", "get-bucket-encryption", "--bucket", bucket)
    aws("s3api", "delete-bucket-encryption", "--bucket", bucket)


@pytest.mark.parametrize(
    "settings",
    [
        "server_side_encryption = AES256\n",
        "server_side_encryption = aws:kms\n",
    ],
)
def test_rclone(server: Server, bucket: str, source: Path, tmp_path: Path, settings: str) -> None:
    check_rclone(rclone_with(server, tmp_path, settings), bucket, source, tmp_path)


def test_rclone_with_a_key_of_its_own(source: Path, tmp_path: Path) -> None:
    key = base64.b64encode(KEY_A).decode()
    settings = f"sse_customer_algorithm = AES256\nsse_customer_key_base64 = {key}\n"
    tls = certificate(tmp_path, "server")
    server = Server(tmp_path / "server", workers=1, tls=tls).start()
    try:
        with closing(server.client()) as s3:
            s3.create_bucket(Bucket="bucket")
            s3.put_object(Bucket="bucket", Key="k", Body=b"data", **customer(KEY_A))
        rclone = rclone_with(server, tmp_path, settings)
        rclone.environment["RCLONE_CA_CERT"] = str(tls[0])
        check_rclone(rclone, "bucket", source, tmp_path)
    finally:
        server.stop()


def check_rclone(rclone: Client, bucket: str, source: Path, tmp_path: Path) -> None:
    """Files go up whole and in parts, and come back the same."""
    rclone("copyto", "--s3-upload-cutoff=10M", source, f"s3:{bucket}/large")
    (tmp_path / "small").write_bytes(b"small")
    rclone("copyto", tmp_path / "small", f"s3:{bucket}/small")
    for name, original in (("large", source), ("small", tmp_path / "small")):
        rclone("copyto", f"s3:{bucket}/{name}", tmp_path / f"{name}-back")
        assert (tmp_path / f"{name}-back").read_bytes() == original.read_bytes()


@pytest.mark.parametrize(
    "flags", [("--server-side-encryption",), ("--server-side-encryption-kms-id=default",)]
)
def test_s3cmd(
    server: Server, s3: Any, bucket: str, source: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    host = f"127.0.0.1:{server.port}"
    (home / ".s3cfg").write_text(
        f"[default]\naccess_key = {ROOT_ACCESS_KEY}\nsecret_key = {ROOT_SECRET_KEY}\n"
        f"host_base = {host}\nhost_bucket = {host}\nuse_https = False\n"
    )
    s3cmd = Client("s3cmd", home, {})
    (tmp_path / "small").write_bytes(b"small")
    for original in (source, tmp_path / "small"):
        s3cmd("put", *flags, original, f"s3://{bucket}/k")
        assert "ServerSideEncryption" in s3.head_object(Bucket=bucket, Key="k")
        s3cmd("get", "--force", f"s3://{bucket}/k", tmp_path / "back")
        assert (tmp_path / "back").read_bytes() == original.read_bytes()
