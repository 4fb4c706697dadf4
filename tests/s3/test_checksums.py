"""Checksums: the current model's algorithms, known answers, and the arithmetic over parts."""

import base64
import gzip
import hashlib
import json
import random
import zlib
from pathlib import Path

import botocore
import pytest
from botocore import httpchecksum

from objstore.model import ChecksumType
from objstore.s3 import checksums
from objstore.s3.checksums import ALGORITHMS
from objstore.s3.errors import InvalidRequest

MODEL = json.loads(
    gzip.decompress((Path(botocore.__file__).parent / "data/s3/2006-03-01/service-2.json.gz").read_bytes())
)
COMPOSITE, FULL_OBJECT = ChecksumType.COMPOSITE, ChecksumType.FULL_OBJECT


def value_of(name: str, data: bytes) -> str:
    hasher = ALGORITHMS[name].new()
    hasher.update(data)
    return checksums.encoded(hasher.digest())


def test_every_algorithm_of_the_current_model_is_here_under_its_header_and_element():
    assert set(MODEL["shapes"]["ChecksumAlgorithm"]["enum"]) == set(ALGORITHMS)
    members = MODEL["shapes"]["PutObjectRequest"]["members"]
    for algorithm in ALGORITHMS.values():
        assert members[algorithm.element]["locationName"] == algorithm.header


@pytest.mark.parametrize(
    ("name", "hexadecimal"),
    [
        ("CRC32", "cbf43926"),
        ("CRC32C", "e3069283"),
        ("CRC64NVME", "ae8b14860a799888"),
        ("MD5", "25f9e794323b453885f5181f1b624d0b"),
        ("SHA1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
        ("SHA256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
        ("XXHASH64", "8cb841db40e6ae83"),
    ],
)
def test_known_answers_for_123456789(name, hexadecimal):
    assert value_of(name, b"123456789") == base64.b64encode(bytes.fromhex(hexadecimal)).decode()


@pytest.mark.parametrize("name", sorted(ALGORITHMS.keys() - {"MD5"}))  # botocore leaves MD5 to Content-MD5
def test_botocore_computes_the_same(name):
    cls = httpchecksum._CHECKSUM_CLS[name.lower()]
    data = random.Random(7).randbytes(100_000)
    expected = cls()
    expected.update(data)
    assert value_of(name, data) == expected.b64digest()


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_pieces_of_any_kind_and_size_give_the_same(name):
    data = random.Random(3).randbytes(10_000)
    hasher = ALGORITHMS[name].new()
    for start in range(0, len(data), 333):
        piece = data[start : start + 333]
        hasher.update([piece, bytearray(piece), memoryview(piece)][start % 3])
    assert len(hasher.digest()) == ALGORITHMS[name].digest_bytes
    assert checksums.encoded(hasher.digest()) == value_of(name, data)


@pytest.mark.parametrize("name", ["CRC32", "CRC32C", "CRC64NVME"])
def test_crcs_of_parts_combine_to_that_of_the_object(name):
    random_ = random.Random(11)
    for _ in range(50):
        parts = [
            random_.randbytes(random_.choice([0, 1, 7, 1000, 70_000])) for _ in range(random_.randint(1, 6))
        ]
        values = [(value_of(name, part), len(part)) for part in parts]
        assert checksums.full_object(ALGORITHMS[name], values) == value_of(name, b"".join(parts))


def test_lengths_past_four_gibibytes_combine():
    """CRC32 of 6 GiB of zeros, by zlib's own combination rule applied block by block."""
    block = zlib.crc32(bytes(1 << 20)).to_bytes(4, "big")
    value = checksums.encoded(block)
    length = 1 << 20
    for _ in range(13):  # doubling: 1 MiB to 8 GiB
        value = checksums.full_object(ALGORITHMS["CRC32"], [(value, length), (value, length)])
        length *= 2
    at_once = checksums.full_object(ALGORITHMS["CRC32"], [(checksums.encoded(block), 1 << 20)] * (8 * 1024))
    assert value == at_once


def test_a_composite_checksum_is_that_of_the_raw_checksums():
    parts = [value_of("SHA256", b"one"), value_of("SHA256", b"two")]
    raw = hashlib.sha256(b"one").digest() + hashlib.sha256(b"two").digest()
    expected = base64.b64encode(hashlib.sha256(raw).digest()).decode() + "-2"
    assert checksums.composite(ALGORITHMS["SHA256"], parts) == expected
    assert checksums.of_parts(ALGORITHMS["SHA256"], COMPOSITE, [(p, 3) for p in parts]).value == expected


@pytest.mark.parametrize("name", sorted(ALGORITHMS))
def test_which_type_an_algorithm_may_have(name):
    algorithm = ALGORITHMS[name]
    assert algorithm.allows(FULL_OBJECT) == name.startswith("CRC")
    assert algorithm.allows(COMPOSITE) == (name != "CRC64NVME")
    assert algorithm.allows(algorithm.default_type)
    for checksum_type in ChecksumType:
        if algorithm.allows(checksum_type):
            checksums.check_type(algorithm, checksum_type)
        else:
            with pytest.raises(InvalidRequest, match=f"{checksum_type} checksum type cannot be used"):
                checksums.check_type(algorithm, checksum_type)


def test_the_etag_of_parts_is_the_md5_of_their_binary_md5s():
    etags = [hashlib.md5(part).hexdigest() for part in (b"a" * 10, b"")]
    joined = hashlib.md5(b"".join(bytes.fromhex(etag) for etag in etags)).hexdigest()
    assert checksums.multipart_etag(etags) == f"{joined}-2"
    assert checksums.multipart_etag([hashlib.md5(b"").hexdigest()]) == "59adb24ef3cdbe0297f05b395827453f-1"


def test_algorithms_and_types_are_found_by_name():
    assert checksums.algorithm_named("crc32c").name == "CRC32C"
    assert checksums.type_named("COMPOSITE") is COMPOSITE
    for bad in (lambda: checksums.algorithm_named("CRC16"), lambda: checksums.type_named("both")):
        with pytest.raises(InvalidRequest):
            bad()
