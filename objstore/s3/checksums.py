"""The additional checksums of S3 and multipart ETags: one table, and the arithmetic over it.

Checksum values are base64 text, as in headers and documents. A composite value ends in `-N`, the number
of parts it covers.

Source: Amazon S3 user guide, "Checking object integrity"; algorithm names of the ChecksumAlgorithm type.
"""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import xxhash
from awscrt import checksums as crt

from objstore.model import Checksum, ChecksumType
from objstore.s3.errors import InvalidRequest

Buffer = bytes | bytearray | memoryview

HEADER_PREFIX: Final = "x-amz-checksum-"


class Hasher(Protocol):
    """A running checksum."""

    def update(self, data: Buffer, /) -> None:
        """Take in more bytes."""
        ...

    def digest(self) -> bytes:
        """The checksum of the bytes so far, most significant byte first."""
        ...


class _Crc:
    """A running CRC over a function `crc(data, previous) -> int`."""

    __slots__ = ("_bytes", "_function", "_value")

    def __init__(self, function: Callable[[Buffer, int], int], digest_bytes: int) -> None:
        self._function, self._bytes, self._value = function, digest_bytes, 0

    def update(self, data: Buffer, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._bytes, "big")


Combine = Callable[[int, int, int], int]
"""combine(crc of A, crc of B, length of B) = crc of A followed by B."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One checksum algorithm; `name` is the one in x-amz-checksum-algorithm."""

    name: str
    digest_bytes: int
    new: Callable[[], Hasher]
    default_type: ChecksumType
    """What a multipart upload gets when it names the algorithm alone."""
    combine: Combine | None = None
    composite: bool = True
    """Whether a multipart upload may ask for COMPOSITE. FULL_OBJECT needs `combine`."""

    @property
    def header(self) -> str:
        """The header that carries a value: x-amz-checksum-crc32."""
        return HEADER_PREFIX + self.name.lower()

    @property
    def element(self) -> str:
        """The XML element that carries a value: ChecksumCRC32."""
        return "Checksum" + self.name

    def allows(self, checksum_type: ChecksumType) -> bool:
        """Whether a multipart upload may have this algorithm with this type."""
        return self.composite if checksum_type is ChecksumType.COMPOSITE else self.combine is not None


def _crc32() -> Hasher:
    return _Crc(zlib.crc32, 4)


def _crc32c() -> Hasher:
    return _Crc(crt.crc32c, 4)


def _crc64nvme() -> Hasher:
    return _Crc(crt.crc64nvme, 8)


def _md5() -> Hasher:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> Hasher:
    return hashlib.sha1(usedforsecurity=False)


_COMPOSITE, _FULL = ChecksumType.COMPOSITE, ChecksumType.FULL_OBJECT

# fmt: off
ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("CRC32",      4, _crc32,          _COMPOSITE, crt.combine_crc32),
        Algorithm("CRC32C",     4, _crc32c,         _COMPOSITE, crt.combine_crc32c),
        Algorithm("CRC64NVME",  8, _crc64nvme,      _FULL,      crt.combine_crc64nvme, composite=False),
        Algorithm("SHA1",      20, _sha1,           _COMPOSITE),
        Algorithm("SHA256",    32, hashlib.sha256,  _COMPOSITE),
        Algorithm("SHA512",    64, hashlib.sha512,  _COMPOSITE),
        Algorithm("MD5",       16, _md5,            _COMPOSITE),
        Algorithm("XXHASH64",   8, xxhash.xxh64,    _COMPOSITE),
        Algorithm("XXHASH3",    8, xxhash.xxh3_64,  _COMPOSITE),
        Algorithm("XXHASH128", 16, xxhash.xxh3_128, _COMPOSITE),
    )
}
# fmt: on
BY_HEADER: Final[Mapping[str, Algorithm]] = {a.header: a for a in ALGORITHMS.values()}
DEFAULT: Final = ALGORITHMS["CRC64NVME"]
"""What is computed and kept when the client sent no checksum."""


def algorithm_named(name: str) -> Algorithm:
    """The algorithm of this name, in any case; raises InvalidRequest."""
    algorithm = ALGORITHMS.get(name.upper())
    if algorithm is None:
        raise InvalidRequest(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
            f"[{', '.join(ALGORITHMS)}]"
        )
    return algorithm


def type_named(name: str) -> ChecksumType:
    """The checksum type of this name, in any case; raises InvalidRequest."""
    try:
        return ChecksumType(name.upper())
    except ValueError:
        raise InvalidRequest("Value for x-amz-checksum-type header is invalid.") from None


def check_type(algorithm: Algorithm, checksum_type: ChecksumType) -> None:
    """Refuse a type that the algorithm may not have in a multipart upload; raises InvalidRequest."""
    if not algorithm.allows(checksum_type):
        raise InvalidRequest(
            f"The {checksum_type} checksum type cannot be used with the {algorithm.name.lower()} checksum "
            "algorithm."
        )


def encoded(digest: bytes) -> str:
    """A digest as headers and documents carry it."""
    return base64.b64encode(digest).decode("ascii")


def composite(algorithm: Algorithm, part_values: Iterable[str]) -> str:
    """The COMPOSITE checksum of parts, in part order: the checksum of their raw checksums, then `-N`."""
    digests = [base64.b64decode(value) for value in part_values]
    hasher = algorithm.new()
    hasher.update(b"".join(digests))
    return f"{encoded(hasher.digest())}-{len(digests)}"


def full_object(algorithm: Algorithm, parts: Sequence[tuple[str, int]]) -> str:
    """The FULL_OBJECT checksum of parts' (value, length in bytes), in part order: that of all their bytes.

    Only for algorithms with `combine`.
    """
    assert algorithm.combine is not None, f"{algorithm.name} cannot be combined"
    value = 0
    for part_value, length in parts:
        value = algorithm.combine(value, int.from_bytes(base64.b64decode(part_value), "big"), length)
    return encoded(value.to_bytes(algorithm.digest_bytes, "big"))


def of_parts(algorithm: Algorithm, checksum_type: ChecksumType, parts: Sequence[tuple[str, int]]) -> Checksum:
    """The checksum of a completed upload from its parts' (value, length in bytes), in part order."""
    if checksum_type is ChecksumType.COMPOSITE:
        return Checksum(algorithm.name, composite(algorithm, (value for value, _ in parts)), checksum_type)
    return Checksum(algorithm.name, full_object(algorithm, parts), checksum_type)


def multipart_etag(part_etags: Sequence[str]) -> str:
    """The ETag (without quotes) of a completed upload: MD5 of the parts' binary MD5s, then `-N`."""
    digest = hashlib.md5(b"".join(bytes.fromhex(etag) for etag in part_etags), usedforsecurity=False)
    return f"{digest.hexdigest()}-{len(part_etags)}"
