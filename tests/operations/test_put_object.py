"""PutObject."""

import base64
import hashlib
from typing import Any

import pytest

from tests.operations.requests import refused, send

MIB = 1024 * 1024
SIZES = [0, 1, 5, 16 * 1024, 16 * 1024 + 1, 64 * 1024, 64 * 1024 + 1, MIB + 3, 9 * MIB + 1]
EMPTY_ETAG = '"d41d8cd98f00b204e9800998ecf8427e"'


def pattern(size: int) -> bytes:
    """Bytes in which every run of eight occurs once."""
    return b"".join(number.to_bytes(8, "big") for number in range(size // 8 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
def test_bytes_come_back_as_they_were_sent(s3: Any, bucket: str, size: int) -> None:
    data = pattern(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=data)
    assert put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["ContentLength"] == size
    assert got["Body"].read() == data


@pytest.mark.parametrize(
    "key",
    [
        "a",
        "a/b//c/../d/.",
        "/leading",
        "trailing/",
        "sp ace+plus%25%2F",
        "ünï©ode/日本語/🪣",
        "new\nline\ttab",
        "?query#fragment&a=b;c",
        "x" * 1024,
        "ü" * 512,
        "..",
        "xl.meta",
    ],
)
def test_keys_are_any_text(s3: Any, bucket: str, key: str) -> None:
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()


def test_a_key_above_1024_bytes_is_refused(s3: Any, bucket: str) -> None:
    with refused("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key="x" * 1025, Body=b"")
    with refused("KeyTooLongError", 400):
        s3.put_object(Bucket=bucket, Key="ü" * 513, Body=b"")


def test_an_object_is_replaced_whole(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"old", Metadata={"a": "1"}, ContentType="text/plain")
    s3.put_object(Bucket=bucket, Key="k", Body=b"newer")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["Body"].read() == b"newer"
    assert got["Metadata"] == {} and got["ContentType"] == "binary/octet-stream"


def test_a_missing_bucket_is_no_such_bucket(s3: Any) -> None:
    with refused("NoSuchBucket", 404):
        s3.put_object(Bucket="there-is-no-such-bucket", Key="k", Body=b"data")


def test_another_user_may_not_write(other: Any, bucket: str) -> None:
    with refused("AccessDenied", 403):
        other.put_object(Bucket=bucket, Key="k", Body=b"data")


def test_nobody_may_write_unsigned(anonymous: Any, bucket: str) -> None:
    with refused("AccessDenied", 403):
        anonymous.put_object(Bucket=bucket, Key="k", Body=b"data")


# Attributes.


def test_system_headers_come_back_verbatim(s3: Any, bucket: str) -> None:
    given = {
        "cache-control": "max-age=60, public",
        "content-disposition": 'attachment; filename="a b.txt"',
        "content-encoding": "gzip",
        "content-language": "de-DE",
        "content-type": "text/plain; charset=utf-8",
        "expires": "next Tuesday, perhaps",
    }
    assert send(s3, "PUT", bucket, "k", headers=given, body=b"x").status == 200
    answer = send(s3, "GET", bucket, "k")
    assert {name: answer.headers[name] for name in given} == given


@pytest.mark.parametrize(
    ("sent", "stored"),
    [("aws-chunked", None), ("aws-chunked,gzip", "gzip"), ("gzip, aws-chunked", "gzip"), ("", None)],
)
def test_aws_chunked_is_no_encoding_to_store(s3: Any, bucket: str, sent: str, stored: str | None) -> None:
    answer = send(s3, "PUT", bucket, "k", headers={"content-encoding": sent}, body=b"x")
    assert answer.status == 200, answer
    assert send(s3, "GET", bucket, "k").headers.get("content-encoding") == stored


def test_user_metadata_comes_back_with_lower_case_names(s3: Any, bucket: str) -> None:
    given = {"Mixed-Case": "Value with  spaces", "number": "1"}
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Metadata=given)
    expected = {name.lower(): value for name, value in given.items()}
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == expected


def test_user_metadata_that_is_not_ascii_comes_back_as_an_encoded_word(s3: Any, bucket: str) -> None:
    headers = {"x-amz-meta-name": "grün"}
    answer = send(s3, "PUT", bucket, "k", headers=headers, body=b"x")
    assert answer.status == 200, answer
    word = "=?UTF-8?B?" + base64.b64encode("grün".encode()).decode() + "?="
    assert send(s3, "GET", bucket, "k").headers["x-amz-meta-name"] == word


def test_user_metadata_has_2_kib(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"a": "x" * 2047})
    with refused("MetadataTooLarge", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"a": "x" * 2048})


def test_storage_classes_are_kept_and_unknown_ones_refused(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", StorageClass="STANDARD_IA")
    assert s3.head_object(Bucket=bucket, Key="k")["StorageClass"] == "STANDARD_IA"
    s3.put_object(Bucket=bucket, Key="k", Body=b"", StorageClass="STANDARD")
    assert "StorageClass" not in s3.head_object(Bucket=bucket, Key="k")
    with refused("InvalidStorageClass", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", StorageClass="COLD")


def test_tags_are_counted(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging="a=1&b=two+words&c=")
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 3


@pytest.mark.parametrize(
    ("tagging", "code"),
    [
        ("a=1&a=2", "InvalidArgument"),
        ("&".join(f"t{n}=1" for n in range(11)), "BadRequest"),
        ("k" * 129 + "=1", "InvalidTag"),
        ("k=" + "v" * 257, "InvalidTag"),
        ("aws:k=1", "InvalidTag"),
        ("k=%3C", "InvalidTag"),
        ("%ff=1", "InvalidArgument"),
        ("a=1,b=2", "InvalidArgument"),
    ],
)
def test_bad_tags_are_refused(s3: Any, bucket: str, tagging: str, code: str) -> None:
    with refused(code, 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", Tagging=tagging)


@pytest.mark.parametrize("location", ["/other/page", "http://example.com/", "https://example.com/"])
def test_a_website_redirect_is_kept(s3: Any, bucket: str, location: str) -> None:
    s3.put_object(Bucket=bucket, Key="k", Body=b"", WebsiteRedirectLocation=location)
    assert s3.head_object(Bucket=bucket, Key="k")["WebsiteRedirectLocation"] == location


def test_a_website_redirect_to_nowhere_is_refused(s3: Any, bucket: str) -> None:
    with refused("InvalidRedirectLocation", 400):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", WebsiteRedirectLocation="other/page")


def test_encryption_of_two_layers_is_not_promised(s3: Any, bucket: str) -> None:
    with refused("NotImplemented", 501):
        s3.put_object(Bucket=bucket, Key="k", Body=b"", ServerSideEncryption="aws:kms:dsse")


@pytest.mark.parametrize("form", ['"{}"', "{}", '"other", "{}"'])
def test_if_match_takes_an_etag_bare_or_quoted(s3: Any, bucket: str, form: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"one")["ETag"].strip('"')
    s3.put_object(Bucket=bucket, Key="k", Body=b"two", IfMatch=form.format(etag))
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"two"
    with refused("PreconditionFailed", 412):
        s3.put_object(Bucket=bucket, Key="k", Body=b"three", IfMatch=f'"{etag}"')


@pytest.mark.parametrize(
    ("conditions", "headers", "why"),
    [
        ({"IfMatch": "*"}, "If-Match", "We don't accept the provided value of If-Match header for this API"),
        (
            {"IfNoneMatch": '"etag"'},
            "If-None-Match",
            "We don't accept the provided value of If-None-Match header for this API",
        ),
        (
            {"IfNoneMatch": "*", "IfMatch": "etag"},
            "If-Match,If-None-Match",
            "Multiple conditional request headers present in the request",
        ),
    ],
)
def test_conditions_that_s3_does_not_offer(
    s3: Any, bucket: str, conditions: Any, headers: str, why: str
) -> None:
    with refused("NotImplemented", 501) as caught:
        s3.put_object(Bucket=bucket, Key="k", Body=b"", **conditions)
    error = caught.value.response["Error"]
    assert (error["Header"], error["additionalMessage"]) == (headers, why)


def test_a_signature_may_be_dated_by_date_alone(s3: Any, bucket: str) -> None:
    """Where a request has a Date already, botocore's signer dates that and adds no x-amz-date."""
    headers = {"Date": "to be replaced"}
    assert send(s3, "PUT", bucket, "k", headers=headers, body=b"body").status == 200
    assert send(s3, "GET", bucket, "k", headers=headers).body == b"body"
