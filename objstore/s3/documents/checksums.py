"""The checksum elements that many documents carry: one of ten, by the algorithm's name.

A document that carries them inherits `ChecksumElements`:

    CopyObjectResult(etag=…, last_modified=…, **checksum_elements(version.attributes.checksum))
"""

from typing import Final

from objstore.model import Checksum
from objstore.s3.xml import document, element

FIELD_OF: Final = {
    algorithm: f"checksum_{algorithm.lower()}"
    for algorithm in (
        "CRC32",
        "CRC32C",
        "CRC64NVME",
        "SHA1",
        "SHA256",
        "SHA512",
        "MD5",
        "XXHASH64",
        "XXHASH3",
        "XXHASH128",
    )
}
"""Algorithm → the field of `ChecksumElements` that holds its value."""


@document
class ChecksumElements:
    """Base64 values; a composite one ends in `-` and the number of parts."""

    checksum_crc32: str | None = element("ChecksumCRC32", default=None)
    checksum_crc32c: str | None = element("ChecksumCRC32C", default=None)
    checksum_crc64nvme: str | None = element("ChecksumCRC64NVME", default=None)
    checksum_sha1: str | None = element("ChecksumSHA1", default=None)
    checksum_sha256: str | None = element("ChecksumSHA256", default=None)
    checksum_sha512: str | None = element("ChecksumSHA512", default=None)
    checksum_md5: str | None = element("ChecksumMD5", default=None)
    checksum_xxhash64: str | None = element("ChecksumXXHASH64", default=None)
    checksum_xxhash3: str | None = element("ChecksumXXHASH3", default=None)
    checksum_xxhash128: str | None = element("ChecksumXXHASH128", default=None)

    @property
    def checksums(self) -> dict[str, str]:
        """Algorithm → value, of those that are there."""
        given = ((algorithm, getattr(self, name)) for algorithm, name in FIELD_OF.items())
        return {algorithm: value for algorithm, value in given if value is not None}


def checksum_elements(checksum: Checksum | None) -> dict[str, str]:
    """The constructor keywords that put `checksum` into a document; none for None or an unknown one."""
    if checksum is None or not checksum.value or checksum.algorithm not in FIELD_OF:
        return {}
    return {FIELD_OF[checksum.algorithm]: checksum.value}
