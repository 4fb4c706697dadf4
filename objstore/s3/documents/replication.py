"""Replication rules of a bucket: the document, what may be kept of it, and what it asks for.

A rule with a Filter is of the latest form (S3 calls it V2), one with a Prefix of the earlier one (V1).
Source: Amazon S3 API reference, PutBucketReplication; User Guide, "Replication configuration file elements".
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Literal

from objstore.s3.documents.filtering import Filter
from objstore.s3.documents.tagging import Tag
from objstore.s3.errors import InvalidArgument, InvalidRequest, MalformedXML
from objstore.s3.object_headers import STORAGE_CLASSES, check_tags
from objstore.s3.xml import document, element

Switch = Literal["Enabled", "Disabled"]


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


RULES_MAX: Final = 1000
ID_CHARACTERS_MAX: Final = 255
PREFIX_BYTES_MAX: Final = 1024
MINUTES: Final = 15
"""The one threshold there is for metrics and for replication time."""
_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/.{1,512}", re.DOTALL)
_ACCOUNT: Final = re.compile(r"\d{12}")
_LOCAL_ARN: Final = re.compile(r"arn:aws[a-z-]*:s3:::([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])")
_REMOTE_ARN: Final = re.compile(
    r"arn:aws:objstore:::([A-Za-z0-9_-]{1,64})/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])"
)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a rule sends objects: a bucket of this server, or of the remote of this name."""

    bucket: str
    remote: str | None = None

    @classmethod
    def parse(cls, arn: str) -> "Target":
        """`arn:aws:s3:::BUCKET` is here; `arn:aws:objstore:::REMOTE/BUCKET` elsewhere.

        Raises InvalidArgument.
        """
        local = _LOCAL_ARN.fullmatch(arn)
        if local is not None:
            return cls(local[1])
        remote = _REMOTE_ARN.fullmatch(arn)
        if remote is None:
            raise InvalidArgument(
                "Invalid bucket ARN.", ArgumentName="Bucket", ArgumentValue=ascii(arn)[1:-1]
            )
        return cls(remote[2], remote[1])


def checked(document: ReplicationConfiguration) -> ReplicationConfiguration:
    """The document with an id for every rule, if it may be kept. Where its targets are is not asked.

    Raises MalformedXML, InvalidArgument, InvalidRequest.
    """
    if not _ROLE.fullmatch(document.role):
        raise InvalidArgument(
            "Invalid Role specified in replication configuration",
            ArgumentName="Role",
            ArgumentValue=ascii(document.role)[1:-1],
        )
    rules = document.rules
    if len(rules) > RULES_MAX:
        raise InvalidRequest(
            f"The number of replication rules must not exceed the allowed limit of {RULES_MAX} rules."
        )
    if len({is_latest_form(rule) for rule in rules}) > 1:
        raise InvalidRequest(
            "Rules with a Filter and rules with a Prefix cannot be in one replication configuration."
        )
    for rule in rules:
        _check_rule(rule)
    ids = [rule.id for rule in rules if rule.id]
    if len(set(ids)) < len(ids):
        raise InvalidArgument(
            "Rule Id must be unique. Found same Id for more than one rule.", ArgumentName="ID"
        )
    if is_latest_form(rules[0]):
        if len({rule.priority for rule in rules}) < len(rules):
            raise InvalidRequest("Found duplicate priority. Priority must be unique across rules.")
    else:
        _check_prefixes_apart(rules)
    return replace(
        document, rules=tuple(replace(rule, id=rule.id or secrets.token_urlsafe(36)) for rule in rules)
    )


def is_latest_form(rule: ReplicationRule) -> bool:
    """Whether a rule is of the form with a Filter, in which delete markers are replicated on demand only."""
    return rule.filter is not None


def _check_rule(rule: ReplicationRule) -> None:
    if rule.id is not None and len(rule.id) > ID_CHARACTERS_MAX:
        raise InvalidArgument(
            f"ID length should not exceed allowed limit of {ID_CHARACTERS_MAX}", ArgumentName="ID"
        )
    if (rule.filter is None) == (rule.prefix is None):
        raise MalformedXML
    if rule.filter is None:
        _check_earlier_form(rule)
    else:
        _check_latest_form(rule, rule.filter)
    if len(prefix_of(rule).encode()) > PREFIX_BYTES_MAX:
        raise InvalidArgument(
            f"Prefix length should not exceed allowed limit of {PREFIX_BYTES_MAX}", ArgumentName="Prefix"
        )
    check_tags((tag.key, tag.value) for tag in _tags(rule))
    _check_destination(rule.destination)
    criteria = rule.source_selection_criteria
    selects_kms = (
        criteria is not None
        and criteria.sse_kms_encrypted_objects is not None
        and criteria.sse_kms_encrypted_objects.status == "Enabled"
    )
    has_key = rule.destination.encryption_configuration is not None
    if selects_kms and not has_key:
        raise InvalidRequest("Replica KMS key must be specified if SseKmsEncryptedObjects tag is Enabled.")
    if has_key and not selects_kms:
        raise InvalidRequest(
            "SseKmsEncryptedObjects must be specified if EncryptionConfiguration is present."
        )


_THIS_SCHEMA: Final = (
    "for this version of the Cross Region Replication configuration schema. Please refer to S3 Developer "
    "Guide for more information."
)


def _check_earlier_form(rule: ReplicationRule) -> None:
    criteria = rule.source_selection_criteria
    for name, is_given in (
        ("Priority", rule.priority is not None),
        ("DeleteMarkerReplication", rule.delete_marker_replication is not None),
        ("ExistingObjectReplication", rule.existing_object_replication is not None),
        ("ReplicaModifications", criteria is not None and criteria.replica_modifications is not None),
    ):
        if is_given:
            raise InvalidRequest(f"{name} cannot be used {_THIS_SCHEMA}")


def _check_latest_form(rule: ReplicationRule, wanted: Filter) -> None:
    given = [part for part in (wanted.prefix, wanted.tag, wanted.and_) if part is not None]
    if len(given) > 1:
        raise MalformedXML
    if wanted.and_ is not None and len(wanted.and_.tags) + (wanted.and_.prefix is not None) < 2:
        raise MalformedXML
    if rule.priority is None:
        raise InvalidRequest(f"Priority must be specified {_THIS_SCHEMA}")
    if rule.priority < 0:
        raise InvalidArgument(
            "Priority must not be negative", ArgumentName="Priority", ArgumentValue=str(rule.priority)
        )
    markers = rule.delete_marker_replication
    if markers is None:
        raise InvalidRequest(f"DeleteMarkerReplication must be specified {_THIS_SCHEMA}")
    if markers.status is None:
        raise MalformedXML
    if markers.status == "Enabled" and _tags(rule):
        raise InvalidRequest(
            "Delete marker replication is not supported if any Tag filter is specified. Please refer to S3 "
            "Developer Guide for more information."
        )


def _check_destination(destination: Destination) -> None:
    Target.parse(destination.bucket)
    if destination.storage_class is not None and destination.storage_class not in STORAGE_CLASSES:
        raise MalformedXML
    if destination.account is not None and not _ACCOUNT.fullmatch(destination.account):
        raise InvalidArgument(
            "Invalid Account.", ArgumentName="Account", ArgumentValue=ascii(destination.account)[1:-1]
        )
    if destination.access_control_translation is not None and destination.account is None:
        raise InvalidRequest("Account must be specified if AccessControlTranslation is present.")
    encryption = destination.encryption_configuration
    if encryption is not None and not encryption.replica_kms_key_id:
        raise InvalidRequest("ReplicaKmsKeyID must be specified if EncryptionConfiguration is present.")
    time, measured = destination.replication_time, destination.metrics
    threshold = None if measured is None else measured.event_threshold
    for value in (None if time is None else time.time, threshold):
        if value is not None and value.minutes != MINUTES:
            raise InvalidArgument(
                f"Minutes must be {MINUTES}", ArgumentName="Minutes", ArgumentValue=str(value.minutes)
            )
    if time is not None and time.status == "Enabled" and (measured is None or measured.status != "Enabled"):
        raise InvalidRequest("Metrics must be enabled if ReplicationTime is enabled.")


def _check_prefixes_apart(rules: Sequence[ReplicationRule]) -> None:
    """In the earlier form no key may match two rules: sorted, a prefix of another one stands before it."""
    ordered = sorted(prefix_of(rule) for rule in rules)
    for shorter, longer in pairwise(ordered):
        if longer.startswith(shorter):
            raise InvalidRequest(f"Found overlapping prefixes '{shorter}' and '{longer}'")


# What rules ask for


def prefix_of(rule: ReplicationRule) -> str:
    """What a key begins with that the rule is for."""
    if rule.filter is None:
        return rule.prefix or ""
    if rule.filter.and_ is not None:
        return rule.filter.and_.prefix or ""
    return rule.filter.prefix or ""


def tags_wanted(rule: ReplicationRule) -> dict[str, str]:
    """The tags a version must have that the rule is for."""
    return {tag.key: tag.value for tag in _tags(rule)}


def replicates_markers(rule: ReplicationRule) -> bool:
    """Whether delete markers are replicated: in the earlier form they always are."""
    markers = rule.delete_marker_replication
    return not is_latest_form(rule) or (markers is not None and markers.status == "Enabled")


def replicates_changes_of_replicas(rule: ReplicationRule) -> bool:
    """Whether new tags and locks of what is a replica itself are sent on."""
    criteria = rule.source_selection_criteria
    changes = None if criteria is None else criteria.replica_modifications
    return changes is not None and changes.status == "Enabled"


def replicates_existing(rule: ReplicationRule) -> bool:
    """Whether what was there before the rule is to be replicated, too."""
    existing = rule.existing_object_replication
    return existing is not None and existing.status == "Enabled"


def rules_for(
    document: ReplicationConfiguration, key: str, rule_id: str | None = None
) -> list[ReplicationRule]:
    """The enabled rules whose prefix a key has (of this id alone, if one is given), the first one first."""
    return [
        rule
        for rule in in_order(document)
        if key.startswith(prefix_of(rule)) and (rule_id is None or rule.id == rule_id)
    ]


def in_order(document: ReplicationConfiguration) -> list[ReplicationRule]:
    """The enabled rules, that of the highest priority first."""
    enabled = [rule for rule in document.rules if rule.status == "Enabled"]
    return sorted(enabled, key=lambda rule: -(rule.priority or 0))


def rule_to(
    document: ReplicationConfiguration, key: str, tags: Mapping[str, str], arn: str
) -> ReplicationRule | None:
    """The rule by which a version goes to this destination, if there still is one.

    That it goes was decided when it was made: tags that changed since only tell apart several rules.
    """
    there = [rule for rule in rules_for(document, key) if rule.destination.bucket == arn]
    fitting = [rule for rule in there if tags_wanted(rule).items() <= tags.items()]
    return next(iter(fitting or there), None)


def _tags(rule: ReplicationRule) -> Sequence[Tag]:
    wanted = rule.filter
    if wanted is None:
        return ()
    if wanted.and_ is not None:
        return wanted.and_.tags
    return () if wanted.tag is None else (wanted.tag,)
