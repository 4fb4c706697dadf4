"""The ways a client may sign a body, through boto3, over HTTP and TLS, and host-style addresses."""

import hashlib
import io
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.server import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server, free_port

BODY = bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Path]]:
    """A server with TLS and a certificate for localhost, and that certificate's path."""
    directory = tmp_path_factory.mktemp("tls")
    certificate, key = directory / "cert.pem", directory / "key.pem"
    request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", *request.split(), *names, *files], check=True, capture_output=True)
    server = TlsServer(directory, options=["--tls-certificate", str(certificate), "--tls-key", str(key)])
    server.certificate = certificate
    server.start()
    try:
        yield server, certificate
    finally:
        server.stop()


class TlsServer(Server):
    """The same, spoken to over TLS."""

    certificate: Path

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        import urllib.request

        try:
            context = ssl.create_default_context(cafile=str(self.certificate))
            with urllib.request.urlopen(
                f"{self.endpoint}/health/ready", timeout=2, context=context
            ) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def client(endpoint: str, verify: str | None = None, **s3: Any) -> Any:
    return boto3.session.Session().client(
        "s3", endpoint_url=endpoint, region_name=REGION, verify=verify,
        aws_access_key_id=ROOT_ACCESS_KEY, aws_secret_access_key=ROOT_SECRET_KEY,
        config=Config(retries={"max_attempts": 1}, **s3),
    )  # fmt: skip


class Unseekable(io.RawIOBase):
    """A body whose length is known but that cannot be hashed beforehand."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._data.read(size)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_body_with_a_trailing_or_leading_checksum(
    server: Server, secure: tuple[Server, Path], scheme: str, algorithm: str
) -> None:
    s3 = client(server.endpoint) if scheme == "http" else client(secure[0].endpoint, str(secure[1]))
    bucket = f"modes-{scheme}-{algorithm.lower()}"
    s3.create_bucket(Bucket=bucket)
    put = s3.put_object(Bucket=bucket, Key="k", Body=BODY, ChecksumAlgorithm=algorithm)
    assert put[f"Checksum{algorithm}"]
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == BODY
    assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]
    assert got["ETag"] == f'"{hashlib.md5(BODY).hexdigest()}"'


def test_over_tls_a_body_that_cannot_be_rewound_goes_as_an_unsigned_trailer(
    secure: tuple[Server, Path],
) -> None:
    s3 = client(secure[0].endpoint, str(secure[1]))
    s3.create_bucket(Bucket="unseekable")
    s3.put_object(Bucket="unseekable", Key="k", Body=Unseekable(BODY), ContentLength=len(BODY))
    assert s3.get_object(Bucket="unseekable", Key="k")["Body"].read() == BODY


def test_payload_signing_can_be_asked_for_over_tls(secure: tuple[Server, Path]) -> None:
    s3 = client(secure[0].endpoint, str(secure[1]), s3={"payload_signing_enabled": True})
    s3.create_bucket(Bucket="signed")
    s3.put_object(Bucket="signed", Key="k", Body=BODY)
    assert s3.get_object(Bucket="signed", Key="k")["Body"].read() == BODY


def test_a_client_that_sends_no_checksum_is_served(server: Server, bucket: str) -> None:
    s3 = client(server.endpoint, request_checksum_calculation="when_required")
    s3.put_object(Bucket=bucket, Key="k", Body=BODY)
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] and head["ChecksumType"] == "FULL_OBJECT"


def test_upload_file_and_download_file_use_parts(server: Server, bucket: str, tmp_path: Path) -> None:
    s3 = client(server.endpoint)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(BODY * 100)
    s3.upload_file(str(source), bucket, "k")
    s3.download_file(bucket, "k", str(target))
    assert target.read_bytes() == source.read_bytes()
    assert s3.head_object(Bucket=bucket, Key="k")["ETag"].endswith('-4"')


def test_wrong_secret_and_unknown_key_are_told_apart_by_code_alone(server: Server, bucket: str) -> None:
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        server.client(secret_key="wrong" * 8).list_objects_v2(Bucket=bucket)
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        server.client(access_key="NOBODYSKEY").list_objects_v2(Bucket=bucket)


def test_virtual_host_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def local(host: Any, *rest: Any, **options: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    server = Server(tmp_path, drive_count=1, options=["--erasure", "1+0", "--domains", "s3.localhost"])
    server.port = free_port()
    server.start()
    try:
        s3 = client(f"http://s3.localhost:{server.port}", s3={"addressing_style": "virtual"})
        s3.create_bucket(Bucket="hosted")
        s3.put_object(Bucket="hosted", Key="a//b/../c d+é", Body=b"x")
        assert s3.list_objects_v2(Bucket="hosted")["Contents"][0]["Key"] == "a//b/../c d+é"
        assert s3.get_object(Bucket="hosted", Key="a//b/../c d+é")["Body"].read() == b"x"
    finally:
        server.stop()
