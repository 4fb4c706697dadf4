"""May this identity do this? The one place that decides, for the row of every request and for every
further resource a handler touches.

In this order:
1. Where the requester pays, whoever is not the owner must say that they will.
2. An explicit Deny in the bucket's policy refuses everybody, its owner and root too; these two may always
   read, replace and delete the policy, so that nobody locks himself out.
3. Root may do everything everywhere, and a bucket's owner everything in it, except to read objects that
   belong to somebody else.
4. An Allow in the policy holds for the bucket and the objects of the bucket's owner.
5. Who began an upload may list its parts and abort it.
6. The ACLs of the bucket and of the object hold, unless they are turned off.
Nothing else is allowed.
"""

from collections.abc import Callable
from typing import Final

from objstore.iam import acl
from objstore.iam.access import Accesses, BucketAccess, Epoch, Reader
from objstore.iam.acl import BUCKET_PERMISSIONS, OBJECT_PERMISSIONS, Acl
from objstore.iam.circumstances import Asked, lookup_of, service_keys
from objstore.iam.policy import Decision, Request
from objstore.meta import queries
from objstore.model import Bucket, Identity, ObjectVersion, Upload
from objstore.s3.errors import AccessDenied

OBJECT_ACL: Final = "acl"
"""The name under which an object's ACL stands in `Attributes.extra`."""
_ABOUT_POLICY: Final = frozenset(
    {"s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:GetBucketPolicyStatus"}
)
_OF_INITIATOR: Final = frozenset({"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"})
FindVersion = Callable[[], ObjectVersion | None]


class Authoriser:
    """Decides by the configuration of all buckets, as one process sees it."""

    def __init__(self, facts: Reader, shared: Epoch) -> None:
        self._facts = facts
        self._accesses = Accesses(facts, shared)

    def access_of(self, bucket: Bucket) -> BucketAccess:
        """The rules of a bucket as they are now. Raises Unavailable."""
        return self._accesses.of(bucket)

    def is_allowed(self, asked: Asked) -> bool:
        """Whether it may be done. Raises Unavailable.

        Whoever is authenticated may use the service: list their own buckets and create further ones.
        """
        bucket, identity = asked.bucket, asked.identity
        if bucket is None:
            return not identity.is_anonymous
        access = self._accesses.of(bucket)
        is_owner = owns(identity, bucket)
        if is_owner and access.policy is None and (identity.is_root or not access.has_acls):
            return True
        return self._judge(asked, bucket, access, is_owner=is_owner)

    def require(self, asked: Asked) -> None:
        """Raise AccessDenied unless `is_allowed`."""
        if not self.is_allowed(asked):
            raise AccessDenied

    def refuse_denied(self, asked: Asked) -> None:
        """Raise AccessDenied where the bucket's policy denies it explicitly."""
        assert asked.bucket is not None
        access = self._accesses.of(asked.bucket)
        if self._decide(asked, access, self._finder(asked, asked.bucket)) is Decision.DENY:
            raise AccessDenied

    def decide_for_service(self, service: str, source: Bucket, asked: Asked) -> Decision:
        """What the bucket's policy says of a service that acts by itself, on behalf of the bucket `source`.

        Raises Unavailable.
        """
        assert asked.bucket is not None
        access = self._accesses.of(asked.bucket)
        if access.policy is None:
            return Decision.NEUTRAL
        known = lookup_of(asked, lambda: None, access.tags)
        of_service = service_keys(service, source)

        def lookup(key: str) -> tuple[str, ...] | None:
            return of_service[key] if key in of_service else known(key)

        request = Request(asked.identity, asked.action, asked.resource, lookup, service)
        return access.policy.judge(request)

    def needs_acl(self, asked: Asked) -> bool:
        """Whether nothing but an ACL allows what was found to be allowed. Raises Unavailable."""
        bucket = asked.bucket
        if bucket is None:
            return False
        access = self._accesses.of(bucket)
        if not access.has_acls or asked.identity.is_root:
            return False
        find = self._finder(asked, bucket)
        is_of_other = _is_of_other(asked, bucket, find)
        if is_of_other:
            return True
        if owns(asked.identity, bucket):
            return False
        if _is_restricted(access):
            return True
        return self._decide(asked, access, find) is not Decision.ALLOW and not self._began_upload(asked)

    def _judge(self, asked: Asked, bucket: Bucket, access: BucketAccess, *, is_owner: bool) -> bool:
        if access.requester_pays and not is_owner and not agrees_to_pay(asked):
            return False
        if is_owner and asked.action in _ABOUT_POLICY:
            return True
        find = self._finder(asked, bucket)
        decision = self._decide(asked, access, find)
        if decision is Decision.DENY:
            return False
        if asked.identity.is_root:
            return True
        is_of_other = access.has_acls and _is_of_other(asked, bucket, find)
        if is_owner and not is_of_other:
            return True
        is_allowed = decision is Decision.ALLOW or self._began_upload(asked)
        if is_allowed and not is_of_other and not _is_restricted(access):
            return True
        return access.has_acls and self._acl_allows(asked, access, find)

    def _decide(self, asked: Asked, access: BucketAccess, find: FindVersion) -> Decision:
        if access.policy is None:
            return Decision.NEUTRAL
        lookup = lookup_of(asked, find, access.tags, lambda: self._upload(asked))
        return access.policy.judge(Request(asked.identity, asked.action, asked.resource, lookup))

    def _upload(self, asked: Asked) -> Upload | None:
        """The upload under way that is asked about."""
        upload_id = asked.about.query.get("uploadId")
        if upload_id is None or asked.bucket is None or asked.key is None:
            return None
        found: Upload | None = self._facts.read_now(queries.upload, asked.bucket.id, asked.key, upload_id)
        return found

    def _began_upload(self, asked: Asked) -> bool:
        if asked.action not in _OF_INITIATOR or asked.identity.is_anonymous:
            return False
        upload = self._upload(asked)
        return upload is not None and upload.initiator_id == asked.identity.user_id

    def _acl_allows(self, asked: Asked, access: BucketAccess, find: FindVersion) -> bool:
        of: Acl | None = access.acl
        permission = BUCKET_PERMISSIONS.get(asked.action)
        if permission is None:
            permission = OBJECT_PERMISSIONS.get(asked.action)
            if permission is None or asked.key is None:
                return False
            version = find()
            if version is None:
                return self._may_learn_of_absence(asked)
            of = object_acl(version)
        assert of is not None
        return of.allows(asked.identity, permission, ignores_public=access.block.ignores_acls)

    def _may_learn_of_absence(self, asked: Asked) -> bool:
        """Whoever may list a bucket may be told that there is no such object."""
        action = "s3:ListBucket" if asked.version_id is None else "s3:ListBucketVersions"
        return self.is_allowed(Asked(asked.identity, action, asked.bucket, about=asked.about))

    def _finder(self, asked: Asked, bucket: Bucket) -> FindVersion:
        """Looks the object up that is asked about, at most once; None: there is none."""
        found: list[ObjectVersion | None] = []

        def find() -> ObjectVersion | None:
            if asked.key is None:
                return None
            if not found:
                if asked.version_id is None:
                    version = self._facts.read_now(queries.current, bucket.id, asked.key)
                else:
                    version = self._facts.read_now(queries.version, bucket.id, asked.key, asked.version_id)
                found.append(version)
            return found[0]

        return find


def owns(identity: Identity, bucket: Bucket) -> bool:
    """Whether `identity` counts as the bucket's owner: it is, or it is root."""
    return identity.is_root or (identity.user_id == bucket.owner_id and not identity.is_anonymous)


def agrees_to_pay(asked: Asked) -> bool:
    """Whether the request says that its sender pays for it; nobody can send a bill to anonymous ones."""
    about = asked.about
    said = about.headers.get("x-amz-request-payer") or about.query.get("x-amz-request-payer", "")
    return said.lower() == "requester" and not asked.identity.is_anonymous


def object_acl(version: ObjectVersion) -> Acl:
    """The ACL of a version."""
    return acl.unpack(version.attributes.extra.get(OBJECT_ACL), version.owner_id)


def _is_of_other(asked: Asked, bucket: Bucket, find: FindVersion) -> bool:
    """Whether it is about reading an object that belongs to somebody else than the bucket's owner."""
    if asked.key is None or asked.action not in OBJECT_PERMISSIONS:
        return False
    version = find()
    return version is not None and version.owner_id != bucket.owner_id


def _is_restricted(access: BucketAccess) -> bool:
    return access.block.restricts_buckets and access.policy is not None and access.policy.is_public
