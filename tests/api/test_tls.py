"""The door over TLS: the framing SDKs choose there, and a certificate changed while it serves."""

import asyncio
import io
import ssl
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from cryptography import x509

from tests.api.support import REGION, ROOT, SECRETS, Door, running_door
from tests.support.certificates import certificate


def context(directory: Path, name: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*certificate(directory, name))
    return made


def client(door: Door, certificate_path: Path) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"https://{door.host}",
        region_name=REGION,
        aws_access_key_id=ROOT.access_key,
        aws_secret_access_key=SECRETS["ROOTKEY"],
        verify=str(certificate_path),
        config=Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
    )


@pytest.mark.parametrize("size", [0, 5, 300_000, 9_000_000])
def test_objects_go_up_and_down_over_tls(tmp_path: Path, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    def work(door: Door) -> None:
        s3 = client(door, tmp_path / "door.crt")
        s3.create_bucket(Bucket="bucket-1")
        s3.put_object(Bucket="bucket-1", Key="plain", Body=body)
        s3.put_object(Bucket="bucket-1", Key="stream", Body=io.BytesIO(body), ChecksumAlgorithm="SHA256")
        for key in ("plain", "stream"):
            assert s3.get_object(Bucket="bucket-1", Key=key)["Body"].read() == body
        with pytest.raises(s3.exceptions.NoSuchKey):
            s3.get_object(Bucket="bucket-1", Key="missing")

    async def run() -> None:
        async with running_door(tls=context(tmp_path, "door")) as door:
            await asyncio.to_thread(work, door)

    asyncio.run(run())


def test_certificate_changes_for_connections_to_come(tmp_path: Path) -> None:
    async def subject(door: Door) -> str:
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", door.port, ssl=trusting)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return x509.load_der_x509_certificate(der).subject.rfc4514_string()

    async def run() -> None:
        async with running_door(tls=context(tmp_path, "old")) as door:
            assert await subject(door) == "CN=old"
            door.server.use_certificate(context(tmp_path, "new"))
            assert await subject(door) == "CN=new"

    asyncio.run(run())


def test_plain_words_at_the_tls_door_end_the_connection_and_nothing_else(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_door(tls=context(tmp_path, "door")) as door:
            for _ in range(3):
                async with door.connection() as connection:
                    connection.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    await asyncio.wait_for(connection.reader.read(), 5)
            await asyncio.to_thread(lambda: client(door, tmp_path / "door.crt").list_buckets())

    asyncio.run(run())
