"""Bucket names, keys and request addresses."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objstore.s3.errors import InvalidBucketName, InvalidURI, S3Error
from objstore.s3.names import (
    bucket_in_host,
    check_bucket_name,
    check_key,
    parse_query,
    parse_target,
    regional_forms,
)


@pytest.mark.parametrize(
    "name",
    [
        "abc",
        "a" * 63,
        "my-bucket",
        "my.bucket.name",
        "123",
        "a1-.b",
        "1.2.3",
        "amzn-s3-demo-bucket",
        "0.0.0.256",
    ],
)
def test_names_a_bucket_may_have(name):
    assert check_bucket_name(name) == name


BAD_NAMES = [
    "",
    "ab",
    "a" * 64,
    "Abc",
    "a_b",
    "a b",
    "-abc",
    "abc-",
    ".abc",
    "abc.",
    "a..b",
    "192.168.5.4",
    "abc\n",
]
BAD_NAMES += ["xn--abc", "sthree-abc", "abc-s3alias", "abc--ol-s3", "abc.mrap", "abc--x-s3", "abc--table-s3"]
BAD_NAMES += ["ü-bucket", "../abc", "a/b", "abc\x00", "äbc", "٣٣٣", "_health", "health", "metrics"]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_no_bucket_may_have(name):
    with pytest.raises(InvalidBucketName):
        check_bucket_name(name)


@pytest.mark.parametrize(
    "key",
    ["a", "a" * 1024, "ü" * 512, "../../etc/passwd", ".", "..", "a//b", "a/", "/", "\\", "\x01", "\r\n", " "],
)
def test_keys_are_opaque(key):
    assert check_key(key) == key


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("a" * 1025, "KeyTooLongError"),
        ("ü" * 513, "KeyTooLongError"),
        ("", "InvalidArgument"),
        ("a\0b", "InvalidArgument"),
        ("a\ud800", "InvalidArgument"),
    ],
)
def test_keys_that_are_refused(key, code):
    with pytest.raises(S3Error) as caught:
        check_key(key)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("target", "bucket", "key", "query"),
    [
        ("/", "", "", ""),
        ("/?list-type=2", "", "", "list-type=2"),
        ("/b", "b", "", ""),
        ("/b/", "b", "", ""),
        ("/b?acl", "b", "", "acl"),
        ("/b/k", "b", "k", ""),
        ("/b/a%2Fb//c/../d/", "b", "a/b//c/../d/", ""),
        ("/b//k", "b", "/k", ""),
        ("/b/%2e%2e/x", "b", "../x", ""),
        ("/b/../c/k", "b", "../c/k", ""),
        ("/b/./k", "b", "./k", ""),
        ("/b/a+b", "b", "a+b", ""),
        ("/b/a%20b", "b", "a b", ""),
        ("/b/%25ff", "b", "%ff", ""),
        ("/b/%2525", "b", "%25", ""),
        ("/b/%F0%9F%98%80", "b", "😀", ""),
        ("/b/ü", "b", "ü", ""),
        ("/b/k;x=1,2", "b", "k;x=1,2", ""),
        ("/b/k?a=1?b", "b", "k", "a=1?b"),
        ("/%62/k", "b", "k", ""),
        ("/b%2Fc", "b/c", "", ""),
        ("http://example.com/b/k", "b", "k", ""),
        ("HTTPS://example.com:9000", "", "", ""),
        ("http://example.com?acl", "", "", "acl"),
        ("/http://example.com/b", "http:", "/example.com/b", ""),
    ],
)
def test_path_style_addresses(target, bucket, key, query):
    address = parse_target(target, "localhost:9000")
    assert (address.bucket, address.key, address.raw_query, address.path_style) == (bucket, key, query, True)


BAD_TARGETS = [
    "",
    "*",
    "b/k",
    "//k",
    "/b/%",
    "/b/%f",
    "/b/%zz",
    "/b/%ff",
    "/b/%C3",
    "/b/\udcff",
    "/b/%ED%A0%80",
]
BAD_TARGETS += ["/b/%c0%ae", "/b/k#f", "ftp://h/b"]


@pytest.mark.parametrize("target", BAD_TARGETS)
def test_targets_that_are_refused(target):
    with pytest.raises(InvalidURI):
        parse_target(target, "localhost")


@pytest.mark.parametrize(
    ("host", "target", "bucket", "key"),
    [
        ("my.bucket.s3.example.com", "/k", "my.bucket", "k"),
        ("B.S3.Example.com:9000", "/a//b", "b", "a//b"),
        ("b.s3.example.com", "/", "b", ""),
        ("b.s3.example.com.:9000", "/k", "b", "k"),
        ("b.s3.example.com", "//k", "b", "/k"),
        ("s3.example.com", "/b/k", "b", "k"),
        ("evils3.example.com", "/b/k", "b", "k"),
        ("s3.example.com.evil.org", "/b/k", "b", "k"),
        ("b.other.org", "/b/k", "b", "k"),
        ("[::1]:9000", "/b/k", "b", "k"),
        ("", "/b/k", "b", "k"),
        ("b.dev.local", "/b/k", "b", "b/k"),
    ],
)
def test_host_style_addresses(host, target, bucket, key):
    address = parse_target(target, host, ("s3.example.com", "dev.local"))
    assert (address.bucket, address.key) == (bucket, key)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", {}),
        ("acl", {"acl": ""}),
        ("acl=", {"acl": ""}),
        ("prefix=a+b%2Bc", {"prefix": "a b+c"}),
        ("a=1&&b=2&", {"a": "1", "b": "2"}),
        ("a=b=c", {"a": "b=c"}),
        ("delimiter=%2F", {"delimiter": "/"}),
        ("a=1;b=2", {"a": "1;b=2"}),
    ],
)
def test_queries_are_decoded_once(raw, expected):
    assert parse_query(raw) == expected


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("a=%", "InvalidURI"),
        ("a=%ff", "InvalidURI"),
        ("versionId=1&versionId=2", "InvalidArgument"),
        ("acl&ac%6c", "InvalidArgument"),
        ("&".join(f"p{i}" for i in range(300)), "InvalidArgument"),
    ],
)
def test_queries_that_are_refused(raw, code):
    with pytest.raises(S3Error) as caught:
        parse_query(raw)
    assert caught.value.code == code


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_every_key_survives_its_journey_through_a_url(key):
    random_ = random.Random(len(key))
    octets = key.encode("utf-8", "replace")
    raw = "".join(
        chr(octet) if chr(octet).isalnum() and octet < 128 and random_.random() < 0.5 else f"%{octet:02x}"
        for octet in octets
    )
    assert parse_target("/bucket/" + raw, "h").key == octets.decode("utf-8")


FORMS = regional_forms(["s3.example.org"], ["us-east-1", "eu-1"], "s3")


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("b.s3.example.org", "b"),
        ("b.s3.us-east-1.example.org", "b"),
        ("b.s3-us-east-1.example.org:9000", "b"),
        ("b.s3.dualstack.eu-1.example.org", "b"),
        ("B.C.S3.DualStack.EU-1.example.org", "b.c"),
        ("s3.example.org", None),
        ("s3.dualstack.us-east-1.example.org:443", None),
        ("s3.us-east-1.example.org", None),
        ("b.s3.mars-1.example.org", None),
        ("b.s3.dualstack.example.org", None),
        ("b.example.org", None),
    ],
)
def test_hosts_of_a_region(host, bucket):
    assert bucket_in_host(host, FORMS) == bucket


def test_hosts_of_a_region_below_a_domain_without_s3():
    forms = regional_forms(["example.org"], ["us-east-1"], "s3")
    assert bucket_in_host("b.s3.dualstack.us-east-1.example.org", forms) == "b"
    assert bucket_in_host("s3.dualstack.us-east-1.example.org", forms) is None
    assert bucket_in_host("b.example.org", forms) == "b"
    assert regional_forms([], ["us-east-1"], "s3") == ()
