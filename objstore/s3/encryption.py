"""What clients say about encryption in headers, and what they are told: both ways, pure.

Form fields of a browser's upload are read by the same functions. A customer's key never shows in a repr,
and nothing here keeps it.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

from objstore.model import Encryption, EncryptionMethod
from objstore.s3 import errors
from objstore.s3.errors import AccessDenied, InvalidArgument, InvalidEncryptionAlgorithmError, KmsNotFound

HEADER: Final = "x-amz-server-side-encryption"
KMS_KEY_HEADER: Final = f"{HEADER}-aws-kms-key-id"
CONTEXT_HEADER: Final = f"{HEADER}-context"
BUCKET_KEY_HEADER: Final = f"{HEADER}-bucket-key-enabled"
CUSTOMER: Final = f"{HEADER}-customer-"
SOURCE_CUSTOMER: Final = "x-amz-copy-source-server-side-encryption-customer-"
"""What the headers of a customer's key begin with: of what is written or read, and of a copy's source."""
CUSTOMER_KEY_BYTES: Final = 32
_CUSTOMER_KEYS_MUST: Final = "Requests specifying Server Side Encryption with Customer provided keys must "
WRONG_CUSTOMER_KEY: Final = _CUSTOMER_KEYS_MUST + "provide the correct secret key."
"""What is answered to who reads with another key, or not as much as proves it."""
CONTEXT_BYTES_MAX: Final = 8 * 1024
DEFAULT_KMS_ALIAS: Final = "aws/s3"
"""The alias, as on AWS, of the key that encrypts where no key is named."""
ACCOUNT: Final = "000000000000"
"""The account that keys belong to, in the ARNs that are made here."""
_CUSTOMER_HEADERS: Final = {
    prefix: (f"{prefix}algorithm", f"{prefix}key", f"{prefix}key-md5")
    for prefix in (CUSTOMER, SOURCE_CUSTOMER)
}
_DSSE: Final = "aws:kms:dsse"
_KEY_ARN: Final = re.compile(
    r"arn:aws[a-z0-9-]*:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:(?P<kind>key|alias)/(?P<name>.+)"
)


@dataclass(frozen=True, slots=True)
class CustomerKey:
    """A key that its owner sends along with every request (SSE-C)."""

    key: bytes = field(repr=False)
    md5: str
    """Base64 of the key's MD5, as it was sent and is sent back."""


@dataclass(frozen=True, slots=True)
class ManagedKey:
    """Encryption under a key that the server, or a key management service, keeps."""

    method: EncryptionMethod
    key_id: str = ""
    """Of SSE-KMS, as the client wrote it; empty: the default key."""
    context: str = ""
    """Base64 of a JSON object, as the client wrote it."""
    uses_bucket_key: bool | None = None
    """None: as the bucket has it."""


@dataclass(frozen=True, slots=True)
class BucketKey:
    """Encryption as the bucket has it, but with a bucket key, or without one, whatever the bucket says."""

    is_used: bool


Wanted = CustomerKey | ManagedKey | BucketKey


def parse_wanted(headers: Mapping[str, str]) -> Wanted | None:
    """The encryption that a new object is asked to have; None: whatever its bucket says.

    Raises InvalidArgument, InvalidEncryptionAlgorithmError, NotImplemented.
    """
    customer_key = parse_customer_key(headers)
    method = headers.get(HEADER)
    if method is None:
        for name in (KMS_KEY_HEADER, CONTEXT_HEADER):
            if name in headers:
                raise _kms_only(name, headers[name])
        if customer_key is not None:
            return customer_key
        flag = _flag(headers)
        return None if flag is None else BucketKey(flag)
    if customer_key is not None:
        raise InvalidArgument(
            "Server Side Encryption with Customer provided key is incompatible with the encryption method"
            " specified",
            ArgumentName=HEADER,
            ArgumentValue=ascii(method)[1:-1],
        )
    if method == _DSSE:
        raise errors.NotImplemented(Header=HEADER)
    if method not in (EncryptionMethod.S3.value, EncryptionMethod.KMS.value):
        raise InvalidArgument(
            "The encryption method specified is not supported",
            ArgumentName=HEADER,
            ArgumentValue=ascii(method)[1:-1],
        )
    if method == EncryptionMethod.S3.value:
        for name in (KMS_KEY_HEADER, CONTEXT_HEADER):
            if name in headers:
                raise _kms_only(name, headers[name])
        return ManagedKey(EncryptionMethod.S3)
    return ManagedKey(
        EncryptionMethod.KMS, headers.get(KMS_KEY_HEADER, ""), _context(headers), _flag(headers)
    )


_ASKING: Final = (HEADER, KMS_KEY_HEADER, CONTEXT_HEADER, BUCKET_KEY_HEADER)


def check_not_asked(headers: Mapping[str, str]) -> None:
    """Raise InvalidArgument where a request that only reads asks for encryption, as S3 does."""
    if headers.keys().isdisjoint(_ASKING):
        return
    for name in _ASKING:
        if name in headers:
            raise InvalidArgument(
                f"{name} header is not supported for this operation.",
                ArgumentName=name,
                ArgumentValue=ascii(headers[name])[1:-1],
            )


def parse_customer_key(
    headers: Mapping[str, str], prefix: str = CUSTOMER, *, reads: bool = False
) -> CustomerKey | None:
    """The key that a client sent along, to read an object or to write one; None without its three headers.

    Raises InvalidArgument (one is missing, or the key is not what its MD5 says), AccessDenied (the MD5 is
    missing where one reads), InvalidEncryptionAlgorithmError.
    """
    names = _CUSTOMER_HEADERS[prefix]
    if names[0] not in headers and names[1] not in headers and names[2] not in headers:
        return None
    algorithm, key, md5 = (headers.get(name) for name in names)
    if not algorithm:
        raise _customer_error("provide a valid encryption algorithm.")
    if algorithm != "AES256":
        raise InvalidEncryptionAlgorithmError(ArgumentName=HEADER, ArgumentValue=ascii(algorithm)[1:-1])
    if not key:
        raise _customer_error("provide an appropriate secret key.")
    if not md5 and reads:
        raise AccessDenied(WRONG_CUSTOMER_KEY)
    secret = _decoded(key)
    if not md5 or secret is None or len(secret) != CUSTOMER_KEY_BYTES:
        raise InvalidArgument("The secret key was invalid for the specified algorithm.", ArgumentName=HEADER)
    digest = hashlib.md5(secret, usedforsecurity=False).digest()
    if not hmac.compare_digest(digest, _decoded(md5) or b""):
        raise InvalidArgument(
            "The calculated MD5 hash of the key did not match the hash that was provided.",
            ArgumentName=HEADER,
        )
    return CustomerKey(secret, md5)


def _customer_error(must: str) -> InvalidArgument:
    return InvalidArgument(_CUSTOMER_KEYS_MUST + must, ArgumentName=HEADER)  # sic, as S3 has it


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _kms_only(name: str, value: str) -> InvalidArgument:
    return InvalidArgument(
        f"Server Side Encryption with AWS KMS managed key requires HTTP header {HEADER} : aws:kms",
        ArgumentName=name,
        ArgumentValue=ascii(value)[1:-1],
    )


def _context(headers: Mapping[str, str]) -> str:
    text = headers.get(CONTEXT_HEADER, "")
    if not text:
        return ""
    try:
        document = json.loads((_decoded(text) or b"").decode()) if len(text) <= CONTEXT_BYTES_MAX else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not all(isinstance(value, str) for value in document.values()):
        raise InvalidArgument(
            f"The header '{CONTEXT_HEADER}' shall be Base64-encoded UTF-8 string holding JSON which"
            " represents a string-string map",
            ArgumentName=CONTEXT_HEADER,
            ArgumentValue=ascii(text)[1:-1],
        )
    return text


def _flag(headers: Mapping[str, str]) -> bool | None:
    text = headers.get(BUCKET_KEY_HEADER)
    if text is None:
        return None
    if text.lower() not in ("true", "false"):
        raise InvalidArgument(
            "The value specified in the x-amz-server-side-encryption-bucket-key-enabled header is not valid."
            " Valid values are true or false.",
            ArgumentName=BUCKET_KEY_HEADER,
            ArgumentValue=ascii(text)[1:-1],
        )
    return text.lower() == "true"


def key_name(key_id: str, default: str, regions: Collection[str] | None = None) -> str:
    """The plain name of the KMS key that a client names: plainly, as `alias/name`, or by ARN.

    An alias is another way to write the name; `alias/aws/s3`, and nothing at all, mean the key `default`,
    which need not be (empty). `regions` are those that an ARN may name; None: any.

    Raises KmsNotFound for what can be no key here, InvalidArgument without name and default.
    """
    if not key_id:
        return default or _unnamed()
    name = key_id
    if key_id.startswith("arn:"):
        match = _KEY_ARN.fullmatch(key_id)
        if match is None:
            raise KmsNotFound(f"Invalid arn {ascii(key_id)[1:-1]}")
        if regions is not None and match["region"] not in regions:
            raise KmsNotFound(f"Invalid arn {match['region']}")
        name = match["name"] if match["kind"] == "key" else f"alias/{match['name']}"
    if name.startswith("alias/"):
        name = name.removeprefix("alias/")
        return (default or _unnamed()) if name == DEFAULT_KMS_ALIAS else name
    return name


def _unnamed() -> NoReturn:
    raise InvalidArgument(
        f"There is no default KMS key here: {KMS_KEY_HEADER} must name one.", ArgumentName=KMS_KEY_HEADER
    )


def is_key_arn(text: str) -> bool:
    """Whether it is the ARN of a key: no plain name, no alias."""
    match = _KEY_ARN.fullmatch(text)
    return match is not None and match["kind"] == "key"


def key_arn(name: str, region: str) -> str:
    """The ARN of a key here, all of which belong to one account."""
    return f"arn:aws:kms:{region}:{ACCOUNT}:key/{name}"


def encryption_headers(
    encryption: Encryption | None, customer_key: CustomerKey | None = None, *, shows_context: bool = False
) -> dict[str, str]:
    """What a client is told of how an object, or an upload's parts, are encrypted."""
    if encryption is None:
        return {}
    if encryption.method is EncryptionMethod.CUSTOMER:
        if customer_key is None:
            return {}
        return {f"{CUSTOMER}algorithm": "AES256", f"{CUSTOMER}key-md5": customer_key.md5}
    headers = {HEADER: encryption.method.value}
    if encryption.key_id:
        headers[KMS_KEY_HEADER] = encryption.key_id
    if encryption.wrapped_bucket_key:
        headers[BUCKET_KEY_HEADER] = "true"
    if shows_context and encryption.context:
        headers[CONTEXT_HEADER] = encryption.context
    return headers
