"""Where a bucket's access log goes."""

from typing import Literal

from objstore.model import Bucket
from objstore.s3.documents.acl import Grantee
from objstore.s3.errors import MalformedXML
from objstore.s3.xml import document, element


@document("Grant")
class TargetGrant:
    grantee: Grantee | None = None
    permission: Literal["FULL_CONTROL", "READ", "WRITE", "READ_ACP"] | None = None
    """The last is not documented, and taken."""


@document
class SimplePrefix:
    """Log keys begin with the target prefix alone."""


@document
class PartitionedPrefix:
    partition_date_source: Literal["EventTime", "DeliveryTime"] | None = None


@document
class TargetObjectKeyFormat:
    simple_prefix: SimplePrefix | None = None
    partitioned_prefix: PartitionedPrefix | None = None


@document
class LoggingEnabled:
    target_bucket: str
    target_grants: tuple[TargetGrant, ...] | None = element("Grant", wrap="TargetGrants", default=None)
    target_prefix: str
    target_object_key_format: TargetObjectKeyFormat | None = None


@document
class BucketLoggingStatus:
    """Empty: no log."""

    logging_enabled: LoggingEnabled | None = None


def check(wanted: BucketLoggingStatus, bucket: Bucket) -> None:
    """Raise MalformedXML unless at most one form of log keys is asked for, and every grant is complete."""
    enabled = wanted.logging_enabled
    if enabled is None:
        return
    for grant in enabled.target_grants or ():
        if grant.grantee is None or grant.permission is None:
            raise MalformedXML
    form = enabled.target_object_key_format
    if form is not None and (form.simple_prefix is None) == (form.partitioned_prefix is None):
        raise MalformedXML
