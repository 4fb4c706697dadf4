"""The client over TLS: bodies go unsigned there, and only certificates that are vouched for are believed."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from objstore.remote.client import BUFFER_BYTES, NewPart, RemoteS3, RemoteUnavailable
from objstore.remote.endpoint import Endpoint
from tests.api.support import REGION, ROOT, SECRETS, running_door
from tests.support.certificates import certificate

MIB = 1024 * 1024


async def pieces(data: bytes) -> AsyncIterator[memoryview]:
    for offset in range(0, len(data), MIB):
        yield memoryview(data)[offset : offset + MIB]


def test_objects_go_up_and_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crt, key = certificate(tmp_path, "door")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(crt, key)
    trusting = ssl.create_default_context(cafile=str(crt))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)

    async def run() -> None:
        assert ROOT.access_key is not None
        async with running_door(tls=served) as door:
            secret = SECRETS[ROOT.access_key]
            remote = RemoteS3(Endpoint("far", f"https://{door.host}", REGION, ROOT.access_key, secret))
            try:
                await door.services.buckets.create("bucket-1", ROOT.user_id)
                for size in (0, 5, 300_000, BUFFER_BYTES + 5):
                    data = bytes(range(251)) * (size // 251) + b"x" * (size % 251)
                    made = await remote.put("bucket-1", "a/b c", size, pieces(data), {"x-amz-meta-m": "1"})
                    assert made.etag == hashlib.md5(data).hexdigest()
                    async with aclosing(remote.get("bucket-1", "a/b c", 0, size)) as stream:
                        assert b"".join([piece async for piece in stream]) == data
                data = bytes(14 * MIB)
                parts = [NewPart(5 * MIB), NewPart(9 * MIB)]
                made = await remote.put("bucket-1", "parts", len(data), pieces(data), parts=parts)
                assert made.etag.endswith("-2")
            finally:
                await remote.close()

    asyncio.run(run())


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(*certificate(tmp_path, "door"))

    async def run() -> None:
        async with running_door(tls=served) as door:
            remote = RemoteS3(Endpoint("far", f"https://{door.host}", REGION, "key", "secret"))
            try:
                with pytest.raises(RemoteUnavailable, match="ertificate"):
                    await remote.head("bucket", "key")
            finally:
                await remote.close()

    asyncio.run(run())
