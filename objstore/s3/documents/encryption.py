"""How a bucket's new objects are encrypted at rest."""

from typing import Literal

from objstore.s3.xml import document, element


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
