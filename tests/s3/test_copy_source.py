"""The x-amz-copy-source header."""

from typing import Any

import pytest

from objstore.s3.copy_source import CopySource, parse_copy_source
from objstore.s3.errors import InvalidArgument, KeyTooLong

ID = "0" * 32


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bucket/key", CopySource("bucket", "key", None)),
        ("/bucket/key", CopySource("bucket", "key", None)),
        ("bucket%2Fkey", CopySource("bucket", "key", None)),
        ("bucket/a/b//c", CopySource("bucket", "a/b//c", None)),
        ("bucket//key", CopySource("bucket", "/key", None)),
        ("bucket/a+b%20c%2Bd", CopySource("bucket", "a b c+d", None)),
        ("https://s3.example.com/bucket/key", CopySource("bucket", "key", None)),
        ("https%3A//s3.example.com/bucket/key", CopySource("bucket", "key", None)),
        ("bucket/http://host/key", CopySource("bucket", "http://host/key", None)),
        ("bucket/%C3%BC", CopySource("bucket", "ü", None)),
        ("bucket/ü", CopySource("bucket", "ü", None)),
        ("bucket/100%25", CopySource("bucket", "100%", None)),
        ("bucket/100%", InvalidArgument),
        ("bucket/%A/b", InvalidArgument),
        ("192.168.1.1/key", InvalidArgument),
        ("b@cket/key", InvalidArgument),
        ("bucket/a%2525", CopySource("bucket", "a%25", None)),
        (f"bucket/key?versionId={ID}", CopySource("bucket", "key", ID)),
        ("bucket/key?versionId=null", CopySource("bucket", "key", "null")),
        (f"bucket/a%3FversionId%3Db?versionId={ID}", CopySource("bucket", "a?versionId=b", ID)),
        ("bucket/a%3FversionId%3Db", CopySource("bucket", "a?versionId=b", None)),
        ("bucket/a?b", CopySource("bucket", "a?b", None)),
        ("", InvalidArgument),
        ("/", InvalidArgument),
        ("bucket", InvalidArgument),
        ("bucket/", InvalidArgument),
        ("//key", InvalidArgument),
        ("bucket/%ff", InvalidArgument),
        ("bucket/\udcff", InvalidArgument),
        ("bucket/a%00b", InvalidArgument),
        ("bucket/key?versionId=", InvalidArgument),
        ("bucket/key?versionId=x", InvalidArgument),
        ("bucket/" + "x" * 1025, KeyTooLong),
    ],
)
def test_sources(header: str, expected: Any) -> None:
    if isinstance(expected, CopySource):
        assert parse_copy_source(header) == expected
    else:
        with pytest.raises(expected):
            parse_copy_source(header)
