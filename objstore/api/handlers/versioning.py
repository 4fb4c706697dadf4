"""GetBucketVersioning, PutBucketVersioning."""

from typing import Final

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of
from objstore.model import MfaDelete, Versioning
from objstore.s3 import errors
from objstore.s3.documents.versioning import Setting, Status, VersioningConfiguration

_STATUS: Final[dict[Versioning, Status | None]] = {
    Versioning.NEVER: None,
    Versioning.ENABLED: "Enabled",
    Versioning.SUSPENDED: "Suspended",
}
_STATES: Final = {"Enabled": Versioning.ENABLED, "Suspended": Versioning.SUSPENDED}
_MFA_DELETE: Final[dict[MfaDelete, Setting | None]] = {
    MfaDelete.NEVER: None,
    MfaDelete.ENABLED: "Enabled",
    MfaDelete.DISABLED: "Disabled",
}
_MFA_STATES: Final = {"Enabled": MfaDelete.ENABLED, "Disabled": MfaDelete.DISABLED}


async def get(call: Call) -> Reply:
    """GetBucketVersioning: nothing at all for a bucket that was never versioned."""
    bucket = bucket_of(call)
    return Reply(
        document=VersioningConfiguration(
            status=_STATUS[bucket.versioning], mfa_delete=_MFA_DELETE[bucket.mfa_delete]
        )
    )


async def put(call: Call) -> Reply:
    """PutBucketVersioning. Where MFA delete is enabled, and to enable it, a device's code must come along."""
    wanted: VersioningConfiguration = call.document
    if wanted.status is None:
        raise errors.IllegalVersioningConfigurationException
    await call.services.buckets.set_versioning(
        bucket_of(call),
        _STATES[wanted.status],
        None if wanted.mfa_delete is None else _MFA_STATES[wanted.mfa_delete],
        has_mfa=await call.proves_mfa(),
    )
    return Reply()
