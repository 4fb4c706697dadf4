"""What a client says the digests of the body it sends are, and whether they are right.

Source: Amazon S3 user guide, "Checking object integrity".
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from objstore.model import Checksum
from objstore.s3 import checksums
from objstore.s3.errors import BadDigest, InvalidDigest, InvalidRequest, MalformedTrailer

MD5_BYTES: Final = 16
_PARTS_SUFFIX: Final = re.compile(r"(-[0-9]{1,5})?")
_NOT_VALUES: Final = frozenset({"x-amz-checksum-mode", "x-amz-checksum-type", "x-amz-checksum-algorithm"})


@dataclass(frozen=True, slots=True)
class Integrity:
    """The digests a client announced. `algorithm` is the checksum it chose, None for no choice."""

    content_md5: bytes | None = None
    algorithm: str | None = None
    value: str | None = None
    """The checksum itself in base64, when it came in a header."""
    trailer: str | None = None
    """The name of the trailing header that will bring it, when it comes after the body."""

    @property
    def is_given(self) -> bool:
        """The client gave something to check its body against."""
        return self.content_md5 is not None or self.value is not None or self.trailer is not None


NO_INTEGRITY: Final = Integrity()


def parse_integrity(headers: Mapping[str, str]) -> Integrity:
    """The digests that the headers of an upload (lower-case names) announce.

    `x-amz-sdk-checksum-algorithm` alone, as presigned requests have it, is a choice without a value.
    Beside a checksum it says nothing, as on S3. Raises InvalidDigest (Content-MD5 is no MD5),
    InvalidRequest (no such algorithm, more than one checksum, a value that cannot be one).
    """
    md5 = headers.get("content-md5")
    given = checksum_in(headers)
    trailer = headers.get("x-amz-trailer")
    sdk = headers.get("x-amz-sdk-checksum-algorithm")
    algorithm, value = (None, None) if given is None else (given.algorithm, given.value)
    if trailer is not None and (trailer := _checksum_trailer(trailer)) is not None:
        if value is not None:
            raise _several()
        algorithm = _algorithm_of(trailer)
    if sdk is not None:
        named = sdk.upper()
        if named not in checksums.ALGORITHMS:
            raise InvalidRequest("Value for x-amz-sdk-checksum-algorithm header is invalid.")
        algorithm = algorithm or named
    if md5 is None and algorithm is None:
        return NO_INTEGRITY
    return Integrity(None if md5 is None else parse_content_md5(md5), algorithm, value, trailer)


def checksum_in(headers: Mapping[str, str], *, composite: bool = False) -> Checksum | None:
    """The one checksum given by value in headers (lower-case names), or None.

    With `composite` the value may end in `-N`, as that of a whole multipart object does. Raises
    InvalidRequest: two values, an unknown algorithm, or a value that is none of the algorithm's.
    """
    given = [name for name in headers if name.startswith(checksums.HEADER_PREFIX) and name not in _NOT_VALUES]
    if not given:
        return None
    if len(given) > 1:
        raise _several()
    algorithm = checksums.BY_HEADER.get(given[0])
    if algorithm is None:
        raise InvalidRequest("The algorithm type you specified in x-amz-checksum- header is invalid.")
    value = headers[algorithm.header]
    digest, dash, count = value.partition("-") if composite else (value, "", "")
    if not is_value(algorithm, digest) or not _PARTS_SUFFIX.fullmatch(dash + count):
        raise InvalidRequest(f"Value for {algorithm.header} header is invalid.")
    return Checksum(algorithm.name, value)


def parse_content_md5(value: str) -> bytes:
    """The 16 bytes of a Content-MD5 header. Raises InvalidDigest."""
    digest = _decoded(value)
    if digest is None or len(digest) != MD5_BYTES:
        invalid = InvalidDigest()
        invalid.elements["Content-MD5"] = ascii(value)[1:-1]
        raise invalid
    return digest


def check(announced: Integrity, md5: bytes, checksum_value: str | None, trailers: Mapping[str, str]) -> None:
    """Compare what was announced with what arrived.

    `checksum_value` is the computed checksum of the announced algorithm in base64. Raises BadDigest,
    and MalformedTrailer when the trailer that was promised did not come.
    """
    if announced.content_md5 is not None and announced.content_md5 != md5:
        raise BadDigest(
            "The Content-MD5 you specified did not match what we received.",
            ExpectedDigest=announced.content_md5.hex(),  # in another form than the other, as S3 has it
            CalculatedDigest=checksums.encoded(md5),
        )
    expected = announced.value
    if announced.trailer is not None and announced.algorithm is not None:
        expected = trailers.get(announced.trailer)
        if expected is None:
            raise MalformedTrailer()
        if not is_value(checksums.ALGORITHMS[announced.algorithm], expected):
            raise InvalidRequest(f"Value for {announced.trailer} trailing header is invalid.")
    if expected is not None and expected != checksum_value:
        raise BadDigest(f"The {announced.algorithm} you specified did not match the calculated checksum.")


def is_value(algorithm: checksums.Algorithm, value: str) -> bool:
    """Whether this text is base64 of as many bytes as the algorithm's digests have."""
    digest = _decoded(value)
    return digest is not None and len(digest) == algorithm.digest_bytes


def _decoded(value: str) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None


def _checksum_trailer(announced: str) -> str | None:
    """The one checksum among the trailing headers that x-amz-trailer announces."""
    names = (name.strip().lower() for name in announced.split(","))
    found = [name for name in names if name.startswith(checksums.HEADER_PREFIX)]
    if len(found) > 1:
        raise _several()
    return found[0] if found else None


def _algorithm_of(header: str) -> str:
    algorithm = checksums.BY_HEADER.get(header)
    if algorithm is None:
        raise InvalidRequest("The value specified in the x-amz-trailer header is not supported")
    return algorithm.name


def _several() -> InvalidRequest:
    return InvalidRequest(
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
    )
