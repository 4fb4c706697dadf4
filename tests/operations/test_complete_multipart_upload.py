"""CompleteMultipartUpload."""

import hashlib
import itertools
import threading
import zlib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.operations.multipart import FIVE_MIB, begin, complete, put_parts, upload
from tests.operations.requests import refused, send, versioned
from tests.operations.test_put_object import pattern

FIRST = pattern(FIVE_MIB)


def etag_of(*bodies: bytes) -> str:
    digest = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies)).hexdigest()
    return f'"{digest}-{len(bodies)}"'


def test_parts_become_an_object(s3: Any, bucket: str) -> None:
    done = upload(s3, bucket, FIRST, b"end")
    assert done["ETag"] == etag_of(FIRST, b"end")
    assert (done["Bucket"], done["Key"]) == (bucket, "k")
    assert done["Location"].endswith(f"/{bucket}/k")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ETag"], head["ContentLength"]) == (done["ETag"], len(FIRST) + 3)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == FIRST + b"end"


def test_one_empty_part_is_an_empty_object(s3: Any, bucket: str) -> None:
    assert upload(s3, bucket, b"")["ETag"] == etag_of(b"")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b""


def test_gaps_in_the_numbers_are_fine_and_parts_not_named_are_dropped(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    parts = put_parts(s3, bucket, upload_id, FIRST, b"not named", b"end")
    complete(s3, bucket, upload_id, [parts[0], parts[2]])
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == FIRST + b"end"


def test_etags_may_be_bare(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    parts = put_parts(s3, bucket, upload_id, b"data")
    complete(s3, bucket, upload_id, [{**parts[0], "ETag": parts[0]["ETag"].strip('"')}])


@pytest.mark.parametrize(
    ("bodies", "claim", "code"),
    [
        ([b"small", b"end"], [(1, 0), (2, 1)], "EntityTooSmall"),
        ([b"data"], [(2, 0)], "InvalidPart"),
        ([b"data", b"date"], [(1, 1)], "InvalidPart"),
        ([FIRST, b"end"], [(2, 1), (1, 0)], "InvalidPartOrder"),
        ([FIRST, b"end"], [(1, 0), (1, 0)], "InvalidPartOrder"),
        ([b"data"], [(0, 0)], "InvalidArgument"),
        ([b"data"], [(10_001, 0)], "InvalidPart"),
    ],
)
def test_lists_that_do_not_hold(
    s3: Any, bucket: str, bodies: list[bytes], claim: list[tuple[int, int]], code: str
) -> None:
    upload_id = begin(s3, bucket)
    parts = put_parts(s3, bucket, upload_id, *bodies)
    claimed = [{"PartNumber": number, "ETag": parts[index]["ETag"]} for number, index in claim]
    with refused(code, 400):
        complete(s3, bucket, upload_id, claimed)
    assert len(s3.list_parts(Bucket=bucket, Key="k", UploadId=upload_id)["Parts"]) == len(bodies)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<CompleteMultipartUpload/>",
        b"<CompleteMultipartUpload><Part></Part></CompleteMultipartUpload>",
        b"<Other><Part><PartNumber>1</PartNumber></Part></Other>",
        b"<CompleteMultipartUpload><Part><PartNumber>one</PartNumber></Part></CompleteMultipartUpload>",
        b"not xml",
    ],
)
def test_documents_that_are_none(s3: Any, bucket: str, document: bytes) -> None:
    answer = send(s3, "POST", bucket, "k", query={"uploadId": begin(s3, bucket)}, body=document)
    assert (answer.status, answer.code) == (400, "MalformedXML")


def test_the_same_complete_again_is_answered_the_same(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    parts = put_parts(s3, bucket, upload_id, FIRST, b"end")
    first = complete(s3, bucket, upload_id, parts)
    again = complete(s3, bucket, upload_id, parts)
    assert again["ETag"] == first["ETag"]
    with refused("NoSuchUpload", 404):
        complete(s3, bucket, upload_id, parts[:1])
    s3.delete_object(Bucket=bucket, Key="k")
    with refused("NoSuchUpload", 404):
        complete(s3, bucket, upload_id, parts)


def test_unknown_uploads(s3: Any, bucket: str) -> None:
    for upload_id in ("0" * 32, "nonsense"):
        with refused("NoSuchUpload", 404):
            complete(s3, bucket, upload_id, [{"PartNumber": 1, "ETag": "x"}])


# Checksums.


def put_checked(s3: Any, bucket: str, upload_id: str, algorithm: str, *bodies: bytes) -> list[dict[str, Any]]:
    done = []
    for number, body in enumerate(bodies, 1):
        put = s3.upload_part(
            Bucket=bucket,
            Key="k",
            UploadId=upload_id,
            PartNumber=number,
            Body=body,
            ChecksumAlgorithm=algorithm,
        )
        field = f"Checksum{algorithm}"
        done.append({"PartNumber": number, "ETag": put["ETag"], field: put[field]})
    return done


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_a_composite_checksum(s3: Any, bucket: str, algorithm: str) -> None:
    upload_id = begin(s3, bucket, ChecksumAlgorithm=algorithm)
    parts = put_checked(s3, bucket, upload_id, algorithm, FIRST, b"end")
    done = complete(s3, bucket, upload_id, parts)
    assert done[f"Checksum{algorithm}"].endswith("-2") and done["ChecksumType"] == "COMPOSITE"
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[f"Checksum{algorithm}"] == done[f"Checksum{algorithm}"]


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME"])
def test_a_full_object_checksum_is_that_of_a_put(s3: Any, bucket: str, algorithm: str) -> None:
    whole = s3.put_object(Bucket=bucket, Key="whole", Body=FIRST + b"end", ChecksumAlgorithm=algorithm)
    field = f"Checksum{algorithm}"
    upload_id = begin(s3, bucket, ChecksumAlgorithm=algorithm, ChecksumType="FULL_OBJECT")
    parts = put_checked(s3, bucket, upload_id, algorithm, FIRST, b"end")
    with refused("BadDigest", 400):
        wrong = b64encode(bytes(8 if algorithm == "CRC64NVME" else 4)).decode()
        complete(s3, bucket, upload_id, parts, ChecksumType="FULL_OBJECT", **{field: wrong})
    done = complete(s3, bucket, upload_id, parts, ChecksumType="FULL_OBJECT", **{field: whole[field]})
    assert (done[field], done["ChecksumType"]) == (whole[field], "FULL_OBJECT")


def test_without_an_algorithm_the_object_has_crc64nvme(s3: Any, bucket: str) -> None:
    whole = s3.put_object(Bucket=bucket, Key="whole", Body=b"data", ChecksumAlgorithm="CRC64NVME")
    done = upload(s3, bucket, b"data")
    assert (done["ChecksumCRC64NVME"], done["ChecksumType"]) == (whole["ChecksumCRC64NVME"], "FULL_OBJECT")


def test_claims_about_checksums(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket, ChecksumAlgorithm="CRC32")
    parts = put_checked(s3, bucket, upload_id, "CRC32", b"data")
    other = b64encode(zlib.crc32(b"other").to_bytes(4, "big")).decode()
    with refused("InvalidRequest", 400) as missing:
        complete(s3, bucket, upload_id, [{"PartNumber": 1, "ETag": parts[0]["ETag"]}])
    assert "It was missing for part 1" in missing.value.response["Error"]["Message"]
    with refused("InvalidPart", 400):
        complete(s3, bucket, upload_id, [{**parts[0], "ChecksumCRC32": other}])
    with refused("InvalidArgument", 400):
        complete(s3, bucket, upload_id, [{**parts[0], "ChecksumSHA256": other}])
    with refused("InvalidRequest", 400):
        complete(s3, bucket, upload_id, parts, ChecksumType="FULL_OBJECT")
    with refused("InvalidRequest", 400):
        complete(s3, bucket, upload_id, parts, ChecksumCRC32=f"{other}-one")
    complete(s3, bucket, upload_id, parts, ChecksumType="COMPOSITE")


@pytest.mark.parametrize("left_out", ["ETag", "PartNumber"])
def test_a_part_needs_its_number_and_etag(s3: Any, bucket: str, left_out: str) -> None:
    upload_id = begin(s3, bucket)
    (part,) = put_parts(s3, bucket, upload_id, b"data")
    del part[left_out]
    with refused("MalformedXML", 400):
        complete(s3, bucket, upload_id, [part])


def test_the_size_may_be_said(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    parts = put_parts(s3, bucket, upload_id, b"data")
    with refused("InvalidRequest", 400):
        complete(s3, bucket, upload_id, parts, MpuObjectSize=5)
    with refused("InvalidRequest", 400) as negative:
        complete(s3, bucket, upload_id, parts, MpuObjectSize=-1)
    assert "less than zero: '-1'" in negative.value.response["Error"]["Message"]
    complete(s3, bucket, upload_id, parts, MpuObjectSize=4)


# Conditions and races.


def test_conditions(s3: Any, bucket: str) -> None:
    upload_id = begin(s3, bucket)
    parts = put_parts(s3, bucket, upload_id, b"data")
    with refused("NoSuchKey", 404):
        complete(s3, bucket, upload_id, parts, IfMatch='"other"')
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"before")["ETag"]
    with refused("PreconditionFailed", 412):
        complete(s3, bucket, upload_id, parts, IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        complete(s3, bucket, upload_id, parts, IfMatch='"other"')
    with refused("ConditionalRequestConflict", 409) as caught:  # an object that was put since it began
        complete(s3, bucket, upload_id, parts, IfMatch=etag)
    assert caught.value.response["Error"]["Condition"] == "If-Match"
    upload_id = begin(s3, bucket)
    complete(s3, bucket, upload_id, put_parts(s3, bucket, upload_id, b"data"), IfMatch=etag)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"


@pytest.mark.parametrize("is_versioned", [False, True])
def test_a_delete_meanwhile_is_a_conflict_with_if_none_match(
    s3: Any, bucket_name: str, is_versioned: bool
) -> None:
    if is_versioned:
        versioned(s3, bucket_name)
    else:
        s3.create_bucket(Bucket=bucket_name)
    s3.put_object(Bucket=bucket_name, Key="k", Body=b"before")
    upload_id = begin(s3, bucket_name)
    parts = put_parts(s3, bucket_name, upload_id, b"data")
    s3.delete_object(Bucket=bucket_name, Key="k")
    with refused("ConditionalRequestConflict", 409) as caught:
        complete(s3, bucket_name, upload_id, parts, IfNoneMatch="*")
    assert caught.value.response["Error"]["Condition"] == "If-None-Match"
    upload_id = begin(s3, bucket_name)
    complete(s3, bucket_name, upload_id, put_parts(s3, bucket_name, upload_id, b"data"), IfNoneMatch="*")


def test_a_version_is_made(s3: Any, bucket_name: str) -> None:
    bucket = versioned(s3, bucket_name)
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    done = upload(s3, bucket, b"data")
    assert s3.head_object(Bucket=bucket, Key="k")["VersionId"] == done["VersionId"]


def test_complete_races_with_itself_abort_and_part(s3: Any, bucket: str) -> None:
    """Whatever wins, an answer of 200 means that the object is there, whole."""

    def attempt(barrier: threading.Barrier, function: Any, *args: Any, **arguments: Any) -> str:
        barrier.wait()
        try:
            function(*args, **arguments)
        except ClientError as exc:
            return str(exc.response["Error"]["Code"])
        return "200"

    for number in range(6):
        key = f"race-{number}"
        upload_id = begin(s3, bucket, key)
        parts = put_parts(s3, bucket, upload_id, b"data", key=key)
        barrier = threading.Barrier(4)
        named = {"Bucket": bucket, "Key": key, "UploadId": upload_id}
        with ThreadPoolExecutor(4) as pool:
            completes = [
                pool.submit(attempt, barrier, complete, s3, bucket, upload_id, parts, key) for _ in range(2)
            ]
            aborted = pool.submit(attempt, barrier, s3.abort_multipart_upload, **named)
            replaced = pool.submit(attempt, barrier, s3.upload_part, PartNumber=1, Body=b"date", **named)
        outcomes = [future.result() for future in completes]
        assert set(outcomes) <= {"200", "NoSuchUpload", "InvalidPart"}, outcomes
        assert aborted.result() in ("200", "NoSuchUpload")
        assert replaced.result() in ("200", "NoSuchUpload")
        if "200" in outcomes:
            assert aborted.result() == "NoSuchUpload"
            assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"data"


def test_a_hundred_and_fifty_parts(s3: Any, bucket: str) -> None:
    """Enough for the checksums to be combined off the event loop and the parts to be read in pages."""
    s3.put_object(Bucket=bucket, Key="source", Body=FIRST, ChecksumAlgorithm="CRC64NVME")
    upload_id = begin(s3, bucket)

    def copy(number: int) -> dict[str, Any]:
        made = s3.upload_part_copy(
            Bucket=bucket,
            Key="k",
            UploadId=upload_id,
            PartNumber=number,
            CopySource={"Bucket": bucket, "Key": "source"},
        )
        return {"PartNumber": number, "ETag": made["CopyPartResult"]["ETag"]}

    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(copy, range(1, 151)))
    done = complete(s3, bucket, upload_id, parts)
    assert done["ETag"] == etag_of(*itertools.repeat(FIRST, 150))
    start = 99 * FIVE_MIB - 5
    got = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={start}-{start + 9}")
    assert got["Body"].read() == FIRST[-5:] + FIRST[:5]
