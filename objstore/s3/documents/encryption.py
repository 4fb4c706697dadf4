"""How a bucket's new objects are encrypted at rest."""

from dataclasses import replace
from typing import Final, Literal

from objstore.model import Bucket
from objstore.s3 import errors
from objstore.s3.errors import InvalidArgument, MalformedXML
from objstore.s3.xml import document, element

_OFFERED: Final = ("AES256", "aws:kms")


@document
class ServerSideEncryptionByDefault:
    sse_algorithm: Literal["AES256", "aws:fsx", "aws:backup", "aws:kms", "aws:kms:dsse"] = element(
        "SSEAlgorithm"
    )
    kms_master_key_id: str | None = element("KMSMasterKeyID", default=None)


@document
class BlockedEncryptionTypes:
    encryption_types: tuple[Literal["NONE", "SSE-C"], ...] = element("EncryptionType", default=())


@document("Rule")
class ServerSideEncryptionRule:
    apply_server_side_encryption_by_default: ServerSideEncryptionByDefault | None = None
    bucket_key_enabled: bool | None = None
    blocked_encryption_types: BlockedEncryptionTypes | None = None


@document
class ServerSideEncryptionConfiguration:
    rules: tuple[ServerSideEncryptionRule, ...] = element("Rule")


@document("SSE-KMS")
class SSEKMSEncryption:
    kms_key_arn: str = element("KMSKeyArn")
    bucket_key_enabled: bool | None = None


@document
class ObjectEncryption:
    """What an object that is encrypted already is to be encrypted with from now on."""

    sse_kms: SSEKMSEncryption | None = element("SSE-KMS", default=None)


def check(wanted: ServerSideEncryptionConfiguration, bucket: Bucket) -> None:
    """Raise MalformedXML unless there is one rule that says something; InvalidArgument, NotImplemented."""
    if len(wanted.rules) != 1:
        raise MalformedXML
    rule = wanted.rules[0]
    applied = rule.apply_server_side_encryption_by_default
    if rule.blocked_encryption_types is not None:
        types = rule.blocked_encryption_types.encryption_types
        if not types or ("NONE" in types and len(types) > 1):
            raise MalformedXML
    if applied is None:
        if rule.bucket_key_enabled is None and rule.blocked_encryption_types is None:
            raise MalformedXML
        return
    if applied.sse_algorithm not in _OFFERED:
        raise errors.NotImplemented("Two layers of encryption are not offered.")
    if applied.kms_master_key_id is not None and applied.sse_algorithm != "aws:kms":
        raise InvalidArgument(
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
            ArgumentName="ApplyServerSideEncryptionByDefault",
        )


def completed(
    wanted: ServerSideEncryptionConfiguration, default: ServerSideEncryptionByDefault | None
) -> ServerSideEncryptionConfiguration:
    """The document as it is kept: whether there is a bucket key is always said, and a rule that names no
    algorithm has `default`."""
    return ServerSideEncryptionConfiguration(
        rules=tuple(
            replace(
                rule,
                apply_server_side_encryption_by_default=rule.apply_server_side_encryption_by_default
                or default,
                bucket_key_enabled=bool(rule.bucket_key_enabled),
            )
            for rule in wanted.rules
        )
    )
