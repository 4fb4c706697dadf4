"""PutBucketReplication; and what other servers of ours say of what they replicate to here."""

from objstore import clock
from objstore.api.call import Call, Reply
from objstore.model import Replica
from objstore.s3.errors import AccessDenied, InvalidArgument
from objstore.s3.replication import MODIFIED_HEADER, VERSION_HEADER
from objstore.s3.sigv4 import SKEW_S_MAX
from objstore.s3.tokens import check_version_id


async def put(call: Call) -> Reply:
    """PutBucketReplication."""
    assert call.bucket is not None
    await call.services.replications.put(call.bucket, call.document, call.identity)
    return Reply()


async def replica_of(call: Call, action: str) -> Replica | None:
    """The version that this request replicates to here; None for every other request.

    Only those may say so who may do `action`, and only signed. Raises AccessDenied, InvalidArgument.
    """
    version_id = call.headers.get(VERSION_HEADER)
    if version_id is None:
        return None
    if call.identity.is_anonymous:
        raise AccessDenied
    check_version_id(version_id)
    modified = call.headers.get(MODIFIED_HEADER, "")
    latest_ms = clock.now_ms() + SKEW_S_MAX * 1000
    if not (modified.isascii() and modified.isdigit() and len(modified) <= 15 and int(modified) <= latest_ms):
        raise InvalidArgument(ArgumentName=MODIFIED_HEADER, ArgumentValue=ascii(modified)[1:-1])
    await call.require(action, call.bucket_name, call.key)
    return Replica(version_id, int(modified))


async def is_replicated(call: Call, action: str) -> bool:
    """Whether this request replicates a change of the version that it names. Raises as `replica_of`."""
    version_id = call.headers.get(VERSION_HEADER)
    if version_id is None:
        return False
    if call.identity.is_anonymous:
        raise AccessDenied
    if version_id != call.query.get("versionId"):
        raise InvalidArgument(ArgumentName=VERSION_HEADER, ArgumentValue=ascii(version_id)[1:-1])
    await call.require(action, call.bucket_name, call.key)
    return True
