"""GetBucketVersioning, PutBucketVersioning."""

from dataclasses import replace
from typing import Final

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of
from objstore.model import Versioning
from objstore.s3 import errors
from objstore.s3.documents.versioning import Status, VersioningConfiguration

_STATUS: Final[dict[Versioning, Status | None]] = {
    Versioning.NEVER: None,
    Versioning.ENABLED: "Enabled",
    Versioning.SUSPENDED: "Suspended",
}
_STATES: Final = {"Enabled": Versioning.ENABLED, "Suspended": Versioning.SUSPENDED}


async def get(call: Call) -> Reply:
    """GetBucketVersioning: nothing at all for a bucket that was never versioned."""
    bucket = bucket_of(call)
    kept: VersioningConfiguration = call.services.subresources.get(bucket, "versioning")
    return Reply(document=replace(kept, status=_STATUS[bucket.versioning]))


async def put(call: Call) -> Reply:
    """PutBucketVersioning.

    MFA delete can be declared off and stays so. To turn it on, S3 asks for the code of a device, of which
    this server knows none: it is refused, for a delete that nobody holds up would be a promise broken.
    """
    wanted: VersioningConfiguration = call.document
    if wanted.status is None:
        raise errors.IllegalVersioningConfigurationException
    if wanted.mfa_delete == "Enabled":
        if "x-amz-mfa" not in call.headers:
            raise errors.AccessDenied("Mfa Authentication must be used for this request")
        raise errors.NotImplemented("MFA delete cannot be enabled: this server knows no MFA devices.")
    bucket = bucket_of(call)
    await call.services.buckets.set_versioning(bucket, _STATES[wanted.status])
    if wanted.mfa_delete is not None:
        await call.services.subresources.put(bucket, "versioning", wanted)
    return Reply()
