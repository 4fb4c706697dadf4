"""What clients say about encryption, and what they are told."""

import base64
import hashlib
import json

import pytest

from objstore.model import Encryption, EncryptionMethod
from objstore.s3.encryption import (
    BucketKey,
    CustomerKey,
    ManagedKey,
    encryption_headers,
    is_key_arn,
    key_arn,
    key_name,
    parse_customer_key,
    parse_wanted,
)
from objstore.s3.errors import InvalidArgument, KmsNotFound

SSE = "x-amz-server-side-encryption"
SECRET = bytes(range(32))
MD5 = base64.b64encode(hashlib.md5(SECRET).digest()).decode()
CUSTOMER = {
    f"{SSE}-customer-algorithm": "AES256",
    f"{SSE}-customer-key": base64.b64encode(SECRET).decode(),
    f"{SSE}-customer-key-md5": MD5,
}
CONTEXT = base64.b64encode(json.dumps({"a": "b"}).encode()).decode()


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({}, None),
        ({SSE: "AES256"}, ManagedKey(EncryptionMethod.S3)),
        ({SSE: "aws:kms"}, ManagedKey(EncryptionMethod.KMS)),
        (
            {
                SSE: "aws:kms",
                f"{SSE}-aws-kms-key-id": "k",
                f"{SSE}-context": CONTEXT,
                f"{SSE}-bucket-key-enabled": "True",
            },
            ManagedKey(EncryptionMethod.KMS, "k", CONTEXT, True),
        ),
        ({f"{SSE}-bucket-key-enabled": "false"}, BucketKey(False)),
        (CUSTOMER, CustomerKey(SECRET, MD5)),
    ],
)
def test_wanted(headers: dict[str, str], wanted: object) -> None:
    assert parse_wanted(headers) == wanted


def test_a_customers_key_shows_nowhere() -> None:
    key = parse_customer_key(CUSTOMER)
    assert key is not None
    assert repr(SECRET)[2:-1] not in repr(key) and CUSTOMER[f"{SSE}-customer-key"] not in repr(key)
    with pytest.raises(InvalidArgument) as caught:
        parse_customer_key({**CUSTOMER, f"{SSE}-customer-key-md5": "AAAA"})
    assert CUSTOMER[f"{SSE}-customer-key"] not in f"{caught.value} {caught.value.elements}"


@pytest.mark.parametrize(
    ("key_id", "name"),
    [
        ("", "default"),
        ("alias/aws/s3", "default"),
        ("arn:aws:kms:eu-1:123456789012:alias/aws/s3", "default"),
        ("mine", "mine"),
        ("alias/mine", "mine"),
        ("arn:aws:kms:eu-1:123456789012:key/mine", "mine"),
        ("arn:aws-cn:kms:eu-1:123456789012:alias/mine", "mine"),
        ("arn:aws:kms:us-9:123456789012:key/mine", KmsNotFound),
        ("arn:aws:kms:eu-1:12:key/mine", KmsNotFound),
        ("arn:aws:s3:::mine", KmsNotFound),
    ],
)
def test_names_of_keys(key_id: str, name: str | type[KmsNotFound]) -> None:
    if isinstance(name, str):
        assert key_name(key_id, "default", ("eu-1", "us-east-1")) == name
    else:
        with pytest.raises(name):
            key_name(key_id, "default", ("eu-1", "us-east-1"))


def test_there_need_be_no_default_key() -> None:
    for key_id in ("", "alias/aws/s3"):
        with pytest.raises(InvalidArgument):
            key_name(key_id, "")


def test_arns() -> None:
    made = key_arn("mine", "eu-1")
    assert is_key_arn(made) and key_name(made, "default") == "mine"
    assert not is_key_arn("mine") and not is_key_arn(made.replace("key/", "alias/"))


def test_what_clients_are_told() -> None:
    assert encryption_headers(None) == {}
    assert encryption_headers(Encryption(EncryptionMethod.S3, b"")) == {SSE: "AES256"}
    kms = Encryption(EncryptionMethod.KMS, b"", "local", "mine", CONTEXT, b"bucket key")
    told = {SSE: "aws:kms", f"{SSE}-aws-kms-key-id": "mine", f"{SSE}-bucket-key-enabled": "true"}
    assert encryption_headers(kms) == told
    assert encryption_headers(kms, shows_context=True) == {**told, f"{SSE}-context": CONTEXT}
    customer = Encryption(EncryptionMethod.CUSTOMER, b"")
    assert encryption_headers(customer) == {}
    assert encryption_headers(customer, CustomerKey(SECRET, MD5)) == {
        f"{SSE}-customer-algorithm": "AES256",
        f"{SSE}-customer-key-md5": MD5,
    }
