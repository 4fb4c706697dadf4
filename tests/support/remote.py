"""Another S3 server in memory, as much of it as tiers ask; it can be told to fail, lie and lose."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping, Sequence

from objstore.remote.client import NewPart, RemoteError, RemoteObject, RemoteUnavailable


class FakeRemote:
    """One bucket. `is_down`: nothing is answered."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.etags: dict[str, str] = {}
        self.is_down = False
        self.spoil: Callable[[bytes], bytes] = lambda data: data
        """What becomes of bytes on their way in, unnoticed."""
        self.has_md5_etags = True
        self.asked: list[str] = []

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.is_down:
            raise RemoteUnavailable("down")

    async def head(self, bucket: str, key: str, version_id: str | None = None) -> RemoteObject | None:
        self._ask("head")
        if key not in self.objects:
            return None
        return RemoteObject(self.etags[key], None, len(self.objects[key]))

    async def get(
        self,
        bucket: str,
        key: str,
        offset: int,
        length: int,
        version_id: str | None = None,
        *,
        etag: str | None = None,
    ) -> AsyncGenerator[memoryview, None]:
        self._ask("get")
        if key not in self.objects:
            raise RemoteError(404, "NoSuchKey")
        if etag is not None and etag != self.etags[key]:
            raise RemoteError(412, "PreconditionFailed")
        data = memoryview(self.objects[key])[offset : offset + length]
        for start in range(0, len(data), 100_001):
            yield data[start : start + 100_001]

    async def put(
        self,
        bucket: str,
        key: str,
        size: int,
        body: AsyncIterable[bytes | memoryview],
        headers: Mapping[str, str] = {},
        *,
        parts: Sequence[NewPart] | None = None,
    ) -> RemoteObject:
        self._ask("put")
        assert key not in self.objects, "nothing is ever written over"
        data = self.spoil(b"".join([bytes(piece) async for piece in body]))
        self.objects[key] = data
        if self.has_md5_etags:
            digests, offset = [], 0
            for part in parts or [NewPart(len(data))]:
                digests.append(hashlib.md5(data[offset : offset + part.size]).digest())
                offset += part.size
            whole = digests[0].hex()
            if parts:
                whole = f"{hashlib.md5(b''.join(digests)).hexdigest()}-{len(digests)}"
        else:
            whole = "not-a-digest"
        self.etags[key] = whole
        return RemoteObject(whole, None, len(data))

    async def delete(self, bucket: str, key: str, version_id: str | None = None) -> str | None:
        self._ask("delete")
        self.objects.pop(key, None)
        return None

    async def abort_uploads(self, bucket: str, key: str) -> int:
        self._ask("abort")
        return 0

    async def close(self) -> None:
        pass
