"""ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation."""

from collections.abc import Mapping
from typing import Final

from objstore.api.call import Call, Reply
from objstore.api.handlers.acl import owner
from objstore.api.handlers.objects import bucket_of
from objstore.iam.permissions import WantedAcl, parse_acl_headers
from objstore.s3 import errors, tokens, xml
from objstore.s3.documents import buckets as documents
from objstore.s3.documents.tagging import Tagging, check_bucket_tags
from objstore.s3.errors import InvalidArgument
from objstore.s3.object_headers import CANNED_ACLS
from objstore.s3.replication import PROBE_HEADER
from objstore.service.buckets import US_EAST_1

BUCKETS_PER_PAGE_MAX: Final = 10_000
OWNERSHIPS: Final = frozenset({"BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"})
_BUCKET_ACLS: Final = CANNED_ACLS - {"bucket-owner-read", "bucket-owner-full-control"}


async def list_all(call: Call) -> Reply:
    """ListBuckets: the caller's own."""
    query, identity = call.query, call.identity
    prefix = query.get("prefix", "")
    limit = bounded(query.get("max-buckets"), "max-buckets", 1, BUCKETS_PER_PAGE_MAX, BUCKETS_PER_PAGE_MAX)
    purpose = f"list-buckets:{identity.user_id}"
    token = query.get("continuation-token")
    after = str(tokens.decode_token(purpose, token)[0]) if token else ""
    region = query.get("bucket-region", "")
    page = await call.services.buckets.list(identity.user_id, prefix, after, limit, region)
    is_paginated = bool({"prefix", "max-buckets", "continuation-token", "bucket-region"} & query.keys())
    return Reply(
        document=documents.ListAllMyBucketsResult(
            owner=owner(call, identity.user_id),
            buckets=tuple(
                documents.Bucket(
                    name=bucket.name,
                    creation_date=bucket.created_ms,
                    bucket_region=bucket.region if is_paginated else None,
                )
                for bucket in page.buckets
            ),
            continuation_token=tokens.encode_token(purpose, [page.buckets[-1].name])
            if page.is_truncated
            else None,
            prefix=prefix if "prefix" in query else None,
        )
    )


async def create(call: Call) -> Reply:
    """CreateBucket."""
    wanted: documents.CreateBucketConfiguration | None = call.document
    location = None
    if wanted is not None:
        location = wanted.location_constraint
        if wanted.location is not None or wanted.bucket is not None:
            raise errors.NotImplemented("This server has no directory buckets.")
    ownership = _ownership(call)
    subresources = await call.permissions.for_new_bucket(call.identity.user_id, ownership, _acl(call.headers))
    if wanted is not None and wanted.tags:
        tagging = Tagging(tags=wanted.tags)
        check_bucket_tags(tagging)
        subresources = {**subresources, "tagging": xml.dumps(tagging)}
        there = call.services.buckets.find(call.bucket_name)
        if there is not None and there.owner_id == call.identity.user_id:  # it would not get these tags
            raise errors.BucketAlreadyOwnedByYou(BucketName=call.bucket_name)
    if call.headers.get("x-amz-bucket-namespace", "global") != "global":
        raise errors.NotImplemented(Header="x-amz-bucket-namespace")
    bucket = await call.services.buckets.create(
        call.bucket_name,
        call.identity.user_id,
        location,
        object_lock=flag(call, "x-amz-bucket-object-lock-enabled"),
        subresources=subresources,
    )
    return Reply(headers={"location": f"/{bucket.name}", "x-amz-bucket-arn": _arn(bucket.name)})


def _ownership(call: Call) -> str | None:
    """What x-amz-object-ownership says. Raises InvalidArgument."""
    ownership = call.headers.get("x-amz-object-ownership")
    if ownership is not None and ownership not in OWNERSHIPS:
        raise InvalidArgument(
            f"Invalid x-amz-object-ownership header: {ascii(ownership)[1:-1]}",
            ArgumentName="x-amz-object-ownership",
            ArgumentValue=ascii(ownership)[1:-1],
        )
    return ownership


def _acl(headers: Mapping[str, str]) -> WantedAcl | None:
    """The ACL the new bucket shall have. Raises InvalidArgument, InvalidRequest."""
    wanted = parse_acl_headers(headers)
    if wanted is not None and wanted.canned is not None and wanted.canned not in _BUCKET_ACLS:
        raise InvalidArgument(ArgumentName="x-amz-acl", ArgumentValue=ascii(wanted.canned)[1:-1])
    return wanted


async def head(call: Call) -> Reply:
    """HeadBucket."""
    bucket = bucket_of(call)
    return Reply(
        headers={
            "content-type": "application/xml",
            "x-amz-bucket-region": bucket.region,
            "x-amz-bucket-arn": _arn(bucket.name),
            "x-amz-access-point-alias": "false",
            **({PROBE_HEADER: "1"} if PROBE_HEADER in call.headers else {}),
        }
    )


async def delete(call: Call) -> Reply:
    """DeleteBucket."""
    await call.services.buckets.delete(bucket_of(call))
    return Reply(204)


async def location(call: Call) -> Reply:
    """GetBucketLocation: empty for us-east-1."""
    region = bucket_of(call).region
    return Reply(document=documents.LocationConstraint(region="" if region == US_EAST_1 else region))


def bounded(text: str | None, name: str, least: int, most: int, default: int) -> int:
    """The integer parameter `name` of a query; `default` without it. Raises InvalidArgument."""
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
        raise InvalidArgument(
            f"Argument {name} must be an integer between {least} and {most}",
            ArgumentName=name,
            ArgumentValue=ascii(text)[1:-1],
        )
    return int(text)


def flag(call: Call, header: str) -> bool:
    """A header that says true or false; false without it. Raises InvalidArgument."""
    text = call.headers.get(header, "false").strip().lower()
    if text not in ("true", "false"):
        raise InvalidArgument(ArgumentName=header, ArgumentValue=ascii(text)[1:-1])
    return text == "true"


def _arn(bucket_name: str) -> str:
    return f"arn:aws:s3:::{bucket_name}"
