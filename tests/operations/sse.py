"""Encryption in requests: customers' keys, and what boto3 calls their headers."""

from typing import Any

KEY_A, KEY_B = b"a" * 32, b"b" * 32
KMS_KEY = "key-of-the-tests"


def customer(key: bytes) -> dict[str, Any]:
    """SSE-C of what is written or read; boto3 adds the MD5."""
    return {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": key}


def source_customer(key: bytes) -> dict[str, Any]:
    """SSE-C of a copy's source."""
    return {"CopySourceSSECustomerAlgorithm": "AES256", "CopySourceSSECustomerKey": key}


S3 = {"ServerSideEncryption": "AES256"}
KMS = {"ServerSideEncryption": "aws:kms"}
NAMED = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY}
