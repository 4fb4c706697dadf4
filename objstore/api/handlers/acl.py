"""GetBucketAcl, PutBucketAcl, GetObjectAcl, PutObjectAcl; and the ACL that a new object is given."""

from objstore.api.call import Call, Reply
from objstore.iam.acl import Acl
from objstore.iam.permissions import ACL_HEADERS, NewObjectAccess, WantedAcl, parse_acl_headers
from objstore.model import Bucket, ObjectVersion, Versioning
from objstore.s3.documents.acl import AccessControlPolicy, Grant, Grantee
from objstore.s3.documents.owner import Owner
from objstore.s3.errors import (
    MethodNotAllowed,
    MissingSecurityHeader,
    NoSuchKey,
    NoSuchVersion,
    UnexpectedContent,
)
from objstore.s3.tokens import check_version_id


async def get_of_bucket(call: Call) -> Reply:
    """GetBucketAcl."""
    assert call.bucket is not None
    return Reply(document=_document(call, call.permissions.bucket_acl(call.bucket)))


async def put_of_bucket(call: Call) -> Reply:
    """PutBucketAcl."""
    assert call.bucket is not None
    await call.permissions.put_bucket_acl(call.bucket, _wanted(call))
    return Reply()


async def get_of_object(call: Call) -> Reply:
    """GetObjectAcl."""
    bucket, version = await _version(call)
    acl = call.permissions.object_acl(bucket, version)
    return Reply(headers=_version_header(bucket, version), document=_document(call, acl))


async def put_of_object(call: Call) -> Reply:
    """PutObjectAcl."""
    try:
        bucket, version = await _version(call)
    except NoSuchKey as exc:
        if "x-amz-delete-marker" not in exc.headers:
            raise
        about = {**exc.headers, "allow": "DELETE"}
        raise MethodNotAllowed(headers=about, ResourceType="DeleteMarker") from None
    notifications, origin = call.services.notifications, call.origin
    await call.permissions.put_object_acl(
        bucket,
        version,
        _wanted(call),
        lambda command: notifications.announced(command, bucket, version.key, origin),
    )
    return Reply(headers=_version_header(bucket, version))


async def new_object_access(call: Call) -> NewObjectAccess:
    """Who owns the object that this request puts, and its ACL.

    Whoever may put an object may say what its ACL is, unless a policy denies just that. Raises
    InvalidArgument, InvalidRequest, AccessControlListNotSupported, AccessDenied.
    """
    assert call.bucket is not None
    wanted = parse_acl_headers(call.headers)
    if wanted is not None:
        call.refuse_denied("s3:PutObjectAcl", call.key)
    return await call.permissions.for_new_object(call.bucket, call.identity, wanted)


def owner(call: Call, user_id: str) -> Owner:
    """How a document shows an owner."""
    return Owner(id=user_id, display_name=call.permissions.display_name(user_id))


async def _version(call: Call) -> tuple[Bucket, ObjectVersion]:
    """The version that is meant. That there is none of that id only those learn who may list versions."""
    assert call.bucket is not None
    version_id = call.query.get("versionId")
    if version_id is not None:
        check_version_id(version_id)
    try:
        return call.bucket, await call.services.objects.find(call.bucket, call.key, version_id)
    except NoSuchVersion:
        await call.require("s3:ListBucketVersions", call.bucket.name)
        raise


def _version_header(bucket: Bucket, version: ObjectVersion) -> dict[str, str]:
    return {} if bucket.versioning is Versioning.NEVER else {"x-amz-version-id": version.version_id}


def _wanted(call: Call) -> WantedAcl | AccessControlPolicy:
    """The ACL, from the headers or from the body, but not from both.

    Raises UnexpectedContent, MissingSecurityHeader, InvalidArgument, InvalidRequest.
    """
    in_body: AccessControlPolicy | None = call.document
    if in_body is not None and not ACL_HEADERS.isdisjoint(call.headers):
        raise UnexpectedContent
    in_headers = parse_acl_headers(call.headers)
    if in_headers is not None:
        return in_headers
    if in_body is None:
        raise MissingSecurityHeader(MissingHeaderName="x-amz-acl")
    return in_body


def _document(call: Call, acl: Acl) -> AccessControlPolicy:
    return AccessControlPolicy(
        owner=owner(call, acl.owner_id),
        grants=tuple(
            Grant(
                grantee=Grantee(type="Group", uri=grant.grantee)
                if grant.kind == "group"
                else Grantee(
                    type="CanonicalUser",
                    id=grant.grantee,
                    display_name=call.permissions.display_name(grant.grantee),
                ),
                permission=grant.permission,
            )
            for grant in acl.grants
        ),
    )
