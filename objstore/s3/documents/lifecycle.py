"""Lifecycle rules of a bucket: what expires or moves to another storage class, and when."""

from typing import Literal

from objstore.s3.documents.tagging import Tag
from objstore.s3.xml import Instant, document, element

TransitionStorageClass = Literal[
    "GLACIER", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "DEEP_ARCHIVE", "GLACIER_IR"
]


@document
class Expiration:
    date: Instant | None = None
    days: int | None = None
    expired_object_delete_marker: bool | None = None


@document
class And:
    """All of these at once."""

    prefix: str | None = None
    tags: tuple[Tag, ...] = element("Tag", default=())
    object_size_greater_than: int | None = None
    object_size_less_than: int | None = None


@document
class Filter:
    """What a rule is for: one of these, or everything when empty."""

    prefix: str | None = None
    tag: Tag | None = None
    object_size_greater_than: int | None = None
    object_size_less_than: int | None = None
    and_: And | None = element("And", default=None)


@document
class Transition:
    date: Instant | None = None
    days: int | None = None
    storage_class: TransitionStorageClass | None = None


@document
class NoncurrentVersionTransition:
    noncurrent_days: int | None = None
    storage_class: TransitionStorageClass | None = None
    newer_noncurrent_versions: int | None = None


@document
class NoncurrentVersionExpiration:
    noncurrent_days: int | None = None
    newer_noncurrent_versions: int | None = None


@document
class AbortIncompleteMultipartUpload:
    days_after_initiation: int | None = None


@document("Rule")
class LifecycleRule:
    """`prefix` is the older form of `filter`."""

    id: str | None = element("ID", default=None)
    prefix: str | None = None
    filter: Filter | None = None
    status: Literal["Enabled", "Disabled"]
    expiration: Expiration | None = None
    transitions: tuple[Transition, ...] = element("Transition", default=())
    noncurrent_version_transitions: tuple[NoncurrentVersionTransition, ...] = element(
        "NoncurrentVersionTransition", default=()
    )
    noncurrent_version_expiration: NoncurrentVersionExpiration | None = None
    abort_incomplete_multipart_upload: AbortIncompleteMultipartUpload | None = None


@document
class LifecycleConfiguration:
    rules: tuple[LifecycleRule, ...] = element("Rule")
