"""Replication rules of a bucket."""

from typing import Literal

from objstore.s3.documents.tagging import Tag
from objstore.s3.xml import document, element

Switch = Literal["Enabled", "Disabled"]


@document
class And:
    """All of these at once."""

    prefix: str | None = None
    tags: tuple[Tag, ...] = element("Tag", default=())


@document
class Filter:
    """What a rule is for: one of these, or everything when empty."""

    prefix: str | None = None
    tag: Tag | None = None
    and_: And | None = element("And", default=None)


@document
class SseKmsEncryptedObjects:
    status: Switch


@document
class ReplicaModifications:
    status: Switch


@document
class SourceSelectionCriteria:
    sse_kms_encrypted_objects: SseKmsEncryptedObjects | None = None
    replica_modifications: ReplicaModifications | None = None


@document
class ExistingObjectReplication:
    status: Switch


@document
class AccessControlTranslation:
    owner: Literal["Destination"]


@document
class EncryptionConfiguration:
    replica_kms_key_id: str | None = element("ReplicaKmsKeyID", default=None)


@document
class ReplicationTimeValue:
    minutes: int | None = None


@document
class ReplicationTime:
    status: Switch
    time: ReplicationTimeValue


@document
class Metrics:
    status: Switch
    event_threshold: ReplicationTimeValue | None = None


@document
class Destination:
    bucket: str
    account: str | None = None
    storage_class: str | None = None
    access_control_translation: AccessControlTranslation | None = None
    encryption_configuration: EncryptionConfiguration | None = None
    replication_time: ReplicationTime | None = None
    metrics: Metrics | None = None


@document
class DeleteMarkerReplication:
    status: Switch | None = None


@document("Rule")
class ReplicationRule:
    """`prefix` is the older form of `filter`."""

    id: str | None = element("ID", default=None)
    priority: int | None = None
    prefix: str | None = None
    filter: Filter | None = None
    status: Switch
    source_selection_criteria: SourceSelectionCriteria | None = None
    existing_object_replication: ExistingObjectReplication | None = None
    destination: Destination
    delete_marker_replication: DeleteMarkerReplication | None = None


@document
class ReplicationConfiguration:
    role: str
    rules: tuple[ReplicationRule, ...] = element("Rule")
