"""Every mutation of the facts: frozen dataclasses whose `apply` runs inside one transaction.

A command decides all its conditions there, against the database as it is, and answers with nouns or
raises a Refusal; no caller checks first and acts then. The SQL is one for SQLite and PostgreSQL.
"""

from typing import Any, Final

from objstore.meta.commands.access import SetAccountPublicAccessBlock, SetExtraAttribute
from objstore.meta.commands.annotations import DeleteAnnotation, PutAnnotation, ReleaseAnnotations
from objstore.meta.commands.blobs import (
    FinishRepair,
    ForgetGarbage,
    MoveBlob,
    PostponeRepair,
    QueueRepair,
    ReleaseParts,
)
from objstore.meta.commands.buckets import (
    CreateBucket,
    DeleteBucket,
    EnableObjectLock,
    SetSubresource,
    SetVersioning,
)
from objstore.meta.commands.codec import Codec
from objstore.meta.commands.conditions import WriteConditions, etag_matches
from objstore.meta.commands.encryption import (
    AddMasterKey,
    ReplaceAnnotationEncryption,
    ReplaceEncryption,
    ReplaceUploadEncryption,
    SetMasterKeyEnabled,
)
from objstore.meta.commands.events import Announced, ForgetEvents, Notice, SetNotification
from objstore.meta.commands.lifecycle import ExpireUpload, ExpireVersion
from objstore.meta.commands.locks import AdvanceLockClock, ReplaceAttributes, with_default
from objstore.meta.commands.mfa import AddMfaDevice, RemoveMfaDevice, UseMfaCode
from objstore.meta.commands.objects import Deleted, DeleteVersion, PutVersion
from objstore.meta.commands.renaming import RenameConditions, RenameToken, RenameVersion
from objstore.meta.commands.replication import (
    Candidate,
    FinishReplications,
    PostponeReplications,
    QueueExisting,
    Sent,
    SetReplication,
)
from objstore.meta.commands.tiers import (
    AbandonTierBlobs,
    AbandonTransition,
    BeginTransition,
    EndRestore,
    FinishRestore,
    IntendTierBlobs,
    RestoreVersion,
    StagePart,
    TransitionVersion,
)
from objstore.meta.commands.times import CorrectTimes
from objstore.meta.commands.uploads import AbortUpload, CompleteUpload, CreateUpload, NamedPart, PutPart
from objstore.meta.commands.users import (
    PutAccessKey,
    PutUser,
    RemoveAccessKey,
    RemoveUser,
    SetAccessKeyEnabled,
    SetState,
    SetUserEnabled,
)
from objstore.meta.interface import Command
from objstore.model import AccessKey, Bucket, MasterKey, MfaDevice, ObjectVersion, Part, Upload, User

COMMANDS: Final[tuple[type[Command[Any]], ...]] = (
    PutVersion,
    DeleteVersion,
    ReplaceAttributes,
    CreateUpload,
    PutPart,
    CompleteUpload,
    AbortUpload,
    CreateBucket,
    DeleteBucket,
    SetVersioning,
    EnableObjectLock,
    SetSubresource,
    QueueRepair,
    FinishRepair,
    PostponeRepair,
    MoveBlob,
    ForgetGarbage,
    ReleaseParts,
    AdvanceLockClock,
    PutUser,
    RemoveUser,
    SetUserEnabled,
    PutAccessKey,
    SetAccessKeyEnabled,
    RemoveAccessKey,
    SetState,
    SetAccountPublicAccessBlock,
    SetExtraAttribute,
    ExpireVersion,
    ExpireUpload,
    Announced,
    SetNotification,
    ForgetEvents,
    IntendTierBlobs,
    AbandonTierBlobs,
    BeginTransition,
    AbandonTransition,
    StagePart,
    TransitionVersion,
    RestoreVersion,
    FinishRestore,
    EndRestore,
    AddMasterKey,
    SetMasterKeyEnabled,
    ReplaceEncryption,
    ReplaceUploadEncryption,
    ReplaceAnnotationEncryption,
    SetReplication,
    FinishReplications,
    PostponeReplications,
    QueueExisting,
    RenameVersion,
    PutAnnotation,
    DeleteAnnotation,
    ReleaseAnnotations,
    AddMfaDevice,
    RemoveMfaDevice,
    UseMfaCode,
    CorrectTimes,
)
RESULTS: Final = (ObjectVersion, Deleted, Part, Upload, Bucket, User, AccessKey, MasterKey, MfaDevice)
"""What commands answer with, besides None and plain values."""

_commands: Final = Codec(COMMANDS)
_results: Final = Codec(RESULTS)


def encode(command: Command[Any]) -> bytes:
    """A command as bytes for `decode` of the same version."""
    return _commands.encode(command)


def decode(data: bytes) -> Command[Any]:
    """The command that `encode` was given."""
    command: Command[Any] = _commands.decode(data)
    return command


def encode_result(result: Any) -> bytes:
    """A command's result as bytes for `decode_result` of the same version."""
    return _results.encode(result)


def decode_result(data: bytes) -> Any:
    """The result that `encode_result` was given."""
    return _results.decode(data)


__all__ = [
    "COMMANDS",
    "RESULTS",
    "AbandonTierBlobs",
    "AbandonTransition",
    "AbortUpload",
    "AddMasterKey",
    "AddMfaDevice",
    "AdvanceLockClock",
    "Announced",
    "BeginTransition",
    "Candidate",
    "CompleteUpload",
    "CorrectTimes",
    "CreateBucket",
    "CreateUpload",
    "DeleteAnnotation",
    "DeleteBucket",
    "DeleteVersion",
    "Deleted",
    "EnableObjectLock",
    "EndRestore",
    "ExpireUpload",
    "ExpireVersion",
    "FinishRepair",
    "FinishReplications",
    "FinishRestore",
    "ForgetEvents",
    "ForgetGarbage",
    "IntendTierBlobs",
    "MoveBlob",
    "NamedPart",
    "Notice",
    "PostponeRepair",
    "PostponeReplications",
    "PutAccessKey",
    "PutAnnotation",
    "PutPart",
    "PutUser",
    "PutVersion",
    "QueueExisting",
    "QueueRepair",
    "ReleaseAnnotations",
    "ReleaseParts",
    "RemoveAccessKey",
    "RemoveMfaDevice",
    "RemoveUser",
    "RenameConditions",
    "RenameToken",
    "RenameVersion",
    "ReplaceAnnotationEncryption",
    "ReplaceAttributes",
    "ReplaceEncryption",
    "ReplaceUploadEncryption",
    "RestoreVersion",
    "Sent",
    "SetAccessKeyEnabled",
    "SetAccountPublicAccessBlock",
    "SetExtraAttribute",
    "SetMasterKeyEnabled",
    "SetNotification",
    "SetReplication",
    "SetState",
    "SetSubresource",
    "SetUserEnabled",
    "SetVersioning",
    "StagePart",
    "TransitionVersion",
    "UseMfaCode",
    "WriteConditions",
    "decode",
    "decode_result",
    "encode",
    "encode_result",
    "etag_matches",
    "with_default",
]
