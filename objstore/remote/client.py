"""A client of another S3 server: AWS, one of our own, or any that speaks the dialect.

What holds here:
- Every request is signed (Signature Version 4), with all the headers that its caller gives.
- No redirect is followed, and no address is connected to that `outbound` does not permit.
- A request that makes no progress for STALL_S is given up. Nothing is held of a body but a buffer of
  BUFFER_BYTES at most, or the piece being sent.
- RemoteError: the server refused, and will do so again. RemoteUnavailable: later it may be otherwise.
  What a body raises while it is sent comes through as it is.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final
from urllib.parse import quote

import aiohttp
from yarl import URL

from objstore import clock, outbound
from objstore.model import Checksum
from objstore.remote import sending
from objstore.remote.endpoint import Endpoint
from objstore.remote.failures import (
    RemoteError,
    RemoteUnavailable,
    children_in,
    raised,
    root_of,
    text_in,
)
from objstore.remote.sending import Piece, Source, Streamed
from objstore.s3 import checksums, sigv4, xml
from objstore.s3.chunked import ChunkSigning
from objstore.s3.documents.checksums import checksum_elements
from objstore.s3.documents.multipart import CompletedPart, CompleteMultipartUpload
from objstore.s3.documents.tagging import tagging_of
from objstore.s3.sigv4 import SignedRequest

__all__ = ["NewPart", "RemoteError", "RemoteObject", "RemoteS3", "RemoteUnavailable"]

log = logging.getLogger(__name__)

MIB: Final = 1024 * 1024
STALL_S: Final = 60.0
"""How long a request may go without progress."""
COMPLETE_S: Final = 900.0
"""Putting the parts of an upload together may take other servers minutes."""
ANSWER_BYTES_MAX: Final = MIB
"""The longest document of an answer; what is longer is cut off and not understood."""
READ_BYTES: Final = 256 * 1024
BUFFER_BYTES: Final = 8 * MIB
"""A body or part up to this size is held in memory and sent again when that failed."""
MULTIPART_BYTES: Final = 64 * MIB
"""Above this an object goes in parts, unless the caller says how."""
PARTS_MAX: Final = 10_000
PART_ATTEMPTS: Final = 3
PART_PAUSE_S: Final = 1.0
ABORT_S: Final = 10.0
CONNECTIONS_MAX: Final = 32
USER_AGENT: Final = "objstore"

_NOTHING: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """What a server says of an object it has, or has taken."""

    etag: str
    version_id: str | None = None
    size: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    """All headers of the answer, names in lower case."""


@dataclass(frozen=True, slots=True)
class NewPart:
    """How one part of an object is to be cut, and what its bytes are known to be."""

    size: int
    checksum: Checksum | None = None


class RemoteS3:
    """One server's buckets. Belongs to one event loop; close it."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._open: aiohttp.ClientSession | None = None

    # Objects

    async def head(
        self, bucket: str, key: str, version_id: str | None = None, headers: Mapping[str, str] = _NOTHING
    ) -> RemoteObject | None:
        """What is known of an object, or of the version named; None where there is none (404)."""
        query = _version(version_id)
        try:
            async with self._answer("HEAD", bucket, key, query=query, headers=headers) as answer:
                return _object_of(answer)
        except RemoteError as exc:
            if exc.status == 404:
                return None
            raise

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
        """`length` bytes from `offset`, in pieces; close it when it is not read to its end.

        With `etag` only of an object that has it. Yields exactly these bytes or raises: RemoteError (404,
        412 and their like, before anything is yielded), RemoteUnavailable (also when it breaks off).
        """
        if not length:
            return
        headers = {"range": f"bytes={offset}-{offset + length - 1}"}
        if etag is not None:
            headers["if-match"] = f'"{etag}"'
        async with self._answer("GET", bucket, key, query=_version(version_id), headers=headers) as answer:
            if answer.status != 206 and offset:
                raise RemoteError(answer.status, "", "the server takes no notice of Range")
            left = length
            async for piece in _pieces_of(answer):
                taken = memoryview(piece)[:left]
                left -= taken.nbytes
                if taken.nbytes:
                    yield taken
            if left:
                raise RemoteUnavailable(f"{left} bytes of {length} are missing")

    async def put(
        self,
        bucket: str,
        key: str,
        size: int,
        body: AsyncIterable[Piece],
        headers: Mapping[str, str] = _NOTHING,
        *,
        parts: Sequence[NewPart] | None = None,
        complete_headers: Mapping[str, str] = _NOTHING,
    ) -> RemoteObject:
        """Make `body`, `size` bytes long, an object with these headers (lower-case names).

        `parts` says how it is cut: None leaves it to us (in parts above MULTIPART_BYTES), none at all asks
        for one PutObject (5 GiB at most), others are the parts of an upload in their order, which also
        decide the ETag; then `headers` go with its beginning and `complete_headers` with its end. An
        upload that fails is aborted. Raises EOFError when the body is short, and what it raises.
        """
        source = Source(body)
        if parts is None:
            parts = _cut(size)
        if parts:
            assert sum(part.size for part in parts) == size, "the parts make up the object"
            return await self._put_parts(bucket, key, source, headers, parts, complete_headers)
        async with self._put_body("PUT", bucket, key, source, size, _NOTHING, headers) as answer:
            return _object_of(answer, size)

    async def delete(
        self, bucket: str, key: str, version_id: str | None = None, headers: Mapping[str, str] = _NOTHING
    ) -> str | None:
        """Delete an object (a versioned bucket gets a delete marker), or the version named.

        What is not there is deleted already. Returns the version id the server tells: the marker's.
        """
        query = _version(version_id)
        async with self._answer("DELETE", bucket, key, query=query, headers=headers) as answer:
            return answer.headers.get("x-amz-version-id")

    async def abort_uploads(self, bucket: str, key: str) -> int:
        """Give up the multipart uploads of a key that were begun and never completed; how many there were."""
        said = await self.document(bucket, query={"uploads": "", "prefix": key})
        found = [upload["UploadId"] for upload in children_in(said, "Upload") if upload.get("Key") == key]
        for upload_id in found:
            try:
                async with self._answer("DELETE", bucket, key, query={"uploadId": upload_id}):
                    pass
            except RemoteError as exc:
                if exc.status != 404:
                    raise
        return len(found)

    async def put_tagging(
        self,
        bucket: str,
        key: str,
        tags: Mapping[str, str],
        version_id: str | None = None,
        headers: Mapping[str, str] = _NOTHING,
    ) -> None:
        """Give an object these tags and no others."""
        document = xml.dumps(tagging_of(tags))
        await self.put_document(bucket, key, "tagging", document, version_id, headers)

    async def put_document(
        self,
        bucket: str,
        key: str,
        subresource: str,
        document: bytes,
        version_id: str | None = None,
        headers: Mapping[str, str] = _NOTHING,
    ) -> None:
        """Replace a subresource ("retention", "legal-hold", …) of an object, or (empty key) of a bucket."""
        query = {subresource: "", **_version(version_id)}
        async with self._answer("PUT", bucket, key, query=query, headers=headers, body=document):
            pass

    async def document(
        self,
        bucket: str,
        key: str = "",
        query: Mapping[str, str] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
    ) -> bytes:
        """The document that answers a GET of a bucket, an object's subresource, or a listing."""
        async with self._answer("GET", bucket, key, query=query, headers=headers) as answer:
            return await _document_of(answer)

    async def close(self) -> None:
        """Let go of all connections."""
        if self._open is not None:
            await self._open.close()
            await asyncio.sleep(0)  # transports are closed in the loop's next turn

    # Uploads

    async def _put_parts(
        self,
        bucket: str,
        key: str,
        source: Source,
        headers: Mapping[str, str],
        parts: Sequence[NewPart],
        complete_headers: Mapping[str, str],
    ) -> RemoteObject:
        async with self._answer("POST", bucket, key, query={"uploads": ""}, headers=headers) as answer:
            upload_id = text_in(await _document_of(answer), "UploadId")
        if not upload_id:
            raise RemoteError(200, "", "the server names no upload")
        try:
            done = []
            for number, part in enumerate(parts, 1):
                query = {"partNumber": str(number), "uploadId": upload_id}
                about = _checksum_header(part.checksum)
                async with self._put_body("PUT", bucket, key, source, part.size, query, about) as answer:
                    made = _object_of(answer)
                done.append(
                    CompletedPart(part_number=number, etag=made.etag, **checksum_elements(part.checksum))
                )
            return await self._complete(bucket, key, upload_id, done, complete_headers)
        except BaseException:
            await asyncio.shield(self._abort(bucket, key, upload_id))
            raise

    async def _complete(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: Sequence[CompletedPart],
        headers: Mapping[str, str],
    ) -> RemoteObject:
        document = xml.dumps(CompleteMultipartUpload(parts=tuple(parts)))
        query = {"uploadId": upload_id}
        async with self._answer(
            "POST", bucket, key, query=query, headers=headers, body=document, limit_s=COMPLETE_S
        ) as answer:
            said = await _document_of(answer)
            if root_of(said) == "Error":  # the status line went out before the outcome was known
                code = text_in(said, "Code") or ""
                status = 500 if code == "InternalError" else 400
                raise raised(status, said, f"complete {bucket}/{key}")
            etag = (text_in(said, "ETag") or "").strip('"')
            return RemoteObject(etag, answer.headers.get("x-amz-version-id"), headers=_headers_of(answer))

    async def _abort(self, bucket: str, key: str, upload_id: str) -> None:
        try:
            query = {"uploadId": upload_id}
            async with self._answer("DELETE", bucket, key, query=query, limit_s=ABORT_S):
                pass
        except (RemoteError, RemoteUnavailable) as exc:
            if not (isinstance(exc, RemoteError) and exc.status == 404):
                log.warning("upload %s of %s/%s is left behind: %s", upload_id, bucket, key, exc)

    @asynccontextmanager
    async def _put_body(
        self,
        method: str,
        bucket: str,
        key: str,
        source: Source,
        size: int,
        query: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send the next `size` bytes of `source`; where they fit into memory, several times if need be."""
        ask = partial(self._answer, method, bucket, key, query=query, headers=headers)
        if size > BUFFER_BYTES:
            async with ask(body=Streamed(source, size)) as answer:
                yield answer
            return
        data = await source.read(size)
        for attempt in range(1, PART_ATTEMPTS + 1):
            is_answered = False
            try:
                async with self._answer(
                    method, bucket, key, query=query, headers=headers, body=data
                ) as answer:
                    is_answered = True
                    yield answer
                return
            except RemoteUnavailable:
                if is_answered or attempt == PART_ATTEMPTS:
                    raise
            await asyncio.sleep(PART_PAUSE_S * attempt)

    # Requests

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        bucket: str,
        key: str = "",
        *,
        query: Mapping[str, str] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
        body: bytes | Streamed = b"",
        limit_s: float = STALL_S,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer to one signed request if it is a success, its body still to be read.

        Raises RemoteError, RemoteUnavailable, and what a streamed body raises.
        """
        path = "/" + bucket + ("/" + quote(key, safe="/~") if key else "")
        raw_query = "&".join(
            f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in query.items()
        )
        sent, signing = await self._signed(method, path, raw_query, headers, body)
        host, what = self.endpoint.hostname, f"{method} {self.endpoint.url}{path}"
        if outbound.is_address(host) and not outbound.is_permitted(host, host):
            raise RemoteUnavailable(f"{host} may not be connected to")
        failure: list[Exception] = []
        data: bytes | AsyncIterable[Piece] | None = None
        try:
            async with asyncio.timeout(None) as limit:
                progress = partial(_postpone, limit, limit_s)
                progress()
                if isinstance(body, Streamed):
                    data = _watched(_framed(body, signing), progress, failure)
                elif len(body) > READ_BYTES:
                    data = _watched(_sliced(body), progress, failure)
                else:
                    data = body or None
                answer = await self._session.request(
                    method,
                    URL(f"{self.endpoint.url}{path}{'?' if raw_query else ''}{raw_query}", encoded=True),
                    headers=sent,
                    data=data,
                    skip_auto_headers=("content-type", "accept"),
                    allow_redirects=False,
                )
                limit.reschedule(None)
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            if failure:
                raise failure[0] from None
            raise RemoteUnavailable(f"{what}: {type(exc).__name__}: {exc}") from exc
        async with answer:
            if failure:  # the server answered before it had the body, and it would not have been whole
                raise failure[0]
            if not 200 <= answer.status < 300:
                raise raised(answer.status, await _document_of(answer), what)
            yield answer

    async def _signed(
        self, method: str, path: str, raw_query: str, headers: Mapping[str, str], body: bytes | Streamed
    ) -> tuple[list[tuple[str, str]], ChunkSigning | None]:
        """The headers to send; and what chunks are signed with, where they are."""
        endpoint = self.endpoint
        about = [("host", endpoint.host), *headers.items()]
        payload = sigv4.UNSIGNED_PAYLOAD
        if isinstance(body, Streamed):
            length = body.size
            if not endpoint.is_secure:
                payload, length = sigv4.STREAMING_SIGNED, sending.signed_length(body.size)
                about.append(("x-amz-decoded-content-length", str(body.size)))
        else:
            length, payload = len(body), sigv4.EMPTY_SHA256
            if body:
                md5, sha256 = await sending.digests(body)
                payload = sigv4.UNSIGNED_PAYLOAD if endpoint.is_secure else sha256
                if "content-md5" not in headers:
                    about.append(("content-md5", md5))
        request = SignedRequest(method, path, raw_query, about)
        region, now_s = endpoint.region, clock.now_ms() // 1000
        added = sigv4.sign(request, endpoint.access_key, endpoint.secret_key, region, now_s, payload)
        signing = None
        if payload == sigv4.STREAMING_SIGNED:
            proof = dict(added)
            timestamp = proof["x-amz-date"]
            signing = ChunkSigning(
                seed=proof["Authorization"].rpartition("=")[2],
                key=sigv4.signing_key(endpoint.secret_key, timestamp[:8], region),
                timestamp=timestamp,
                scope=str(sigv4.Scope(timestamp[:8], region, "s3")),
            )
        # Not signed: what stands in between may change these rightly.
        free = [("accept-encoding", "identity"), ("user-agent", USER_AGENT)]
        if method in ("PUT", "POST"):
            free.append(("content-length", str(length)))
        return [*about, *added, *free], signing

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._open is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=outbound.CONNECT_S, sock_read=None)
            self._open = aiohttp.ClientSession(
                connector=outbound.guarded_connector(CONNECTIONS_MAX),
                timeout=timeout,
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=READ_BYTES,
                max_line_size=32 * 1024,
                max_field_size=32 * 1024,
            )
        return self._open


def _cut(size: int) -> Sequence[NewPart]:
    """Parts of one size, as few as BUFFER_BYTES allows and never more than a server takes; none if small."""
    if size <= MULTIPART_BYTES:
        return ()
    part_bytes = max(BUFFER_BYTES, -(-size // PARTS_MAX))
    part_bytes = -(-part_bytes // MIB) * MIB
    return [NewPart(min(part_bytes, size - offset)) for offset in range(0, size, part_bytes)]


def _postpone(limit: asyncio.Timeout, seconds: float) -> None:
    limit.reschedule(asyncio.get_running_loop().time() + seconds)


def _framed(body: Streamed, signing: ChunkSigning | None) -> AsyncIterator[Piece]:
    return body.source.take(body.size) if signing is None else sending.signed_chunks(body, signing)


async def _sliced(body: bytes) -> AsyncIterator[memoryview]:
    for offset in range(0, len(body), READ_BYTES):
        yield memoryview(body)[offset : offset + READ_BYTES]


async def _watched(
    pieces: AsyncIterator[Piece], progress: Callable[[], None], failure: list[Exception]
) -> AsyncIterator[Piece]:
    """The pieces, with word of each, and of what broke them off: the connection alone would not say."""
    try:
        async for piece in pieces:
            progress()
            yield piece
    except Exception as exc:
        failure.append(exc)
        raise
    progress()


async def _pieces_of(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes. Raises RemoteUnavailable when it breaks off or stalls."""
    while True:
        try:
            async with asyncio.timeout(STALL_S):
                piece = await answer.content.read(READ_BYTES)
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            raise RemoteUnavailable(f"the answer broke off: {type(exc).__name__}: {exc}") from exc
        if not piece:
            return
        yield piece


async def _document_of(answer: aiohttp.ClientResponse) -> bytes:
    gathered = bytearray()
    async for piece in _pieces_of(answer):
        gathered += piece
        if len(gathered) > ANSWER_BYTES_MAX:
            break
    return bytes(gathered)


def _headers_of(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}


def _object_of(answer: aiohttp.ClientResponse, size: int | None = None) -> RemoteObject:
    headers = _headers_of(answer)
    length = headers.get("content-length", "0")
    return RemoteObject(
        headers.get("etag", "").strip('"'),
        headers.get("x-amz-version-id"),
        size if size is not None else int(length) if length.isdigit() else 0,
        headers,
    )


def _version(version_id: str | None) -> dict[str, str]:
    return {} if version_id is None else {"versionId": version_id}


def _checksum_header(checksum: Checksum | None) -> dict[str, str]:
    if checksum is None:
        return {}
    return {checksums.ALGORITHMS[checksum.algorithm].header: checksum.value}
