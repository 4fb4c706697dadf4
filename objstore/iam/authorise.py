"""May this identity do this? The one place that decides, for the row of every request and for every
further resource a handler touches.

For now: the owner of a bucket may do everything in it, root may do everything everywhere, and everyone
else nothing. Policies and ACLs join here, with the same signature.
"""

from objstore.model import Bucket, Identity
from objstore.s3.errors import AccessDenied


def is_allowed(identity: Identity, action: str, bucket: Bucket | None, key: str | None = None) -> bool:
    """Whether `identity` may do `action` to `bucket` or to `key` in it; None: to the service itself.

    `action` is an IAM action ("s3:GetObject"). Whoever is authenticated may use the service: list their
    own buckets and create further ones.
    """
    if identity.is_anonymous:
        return False
    return bucket is None or identity.is_root or bucket.owner_id == identity.user_id


def require(identity: Identity, action: str, bucket: Bucket | None, key: str | None = None) -> None:
    """Raise AccessDenied unless `is_allowed`."""
    if not is_allowed(identity, action, bucket, key):
        raise AccessDenied
