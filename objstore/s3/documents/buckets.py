"""ListBuckets, CreateBucket, GetBucketLocation."""

from objstore.s3.documents.owner import Owner
from objstore.s3.documents.tagging import Tag
from objstore.s3.xml import Moment, content, document, element


@document
class Bucket:
    """One listed bucket."""

    name: str
    creation_date: Moment
    bucket_region: str | None = None
    bucket_arn: str | None = None


@document
class ListAllMyBucketsResult:
    owner: Owner
    buckets: tuple[Bucket, ...] = element("Bucket", wrap="Buckets")
    continuation_token: str | None = None
    prefix: str | None = None


@document
class LocationInfo:
    type: str | None = None
    name: str | None = None


@document
class BucketInfo:
    data_redundancy: str | None = None
    type: str | None = None


@document
class CreateBucketConfiguration:
    """`location_constraint` absent means the server's own region."""

    location_constraint: str | None = None
    location: LocationInfo | None = None
    bucket: BucketInfo | None = None
    tags: tuple[Tag, ...] | None = element("Tag", wrap="Tags", default=None)


@document
class LocationConstraint:
    """GetBucketLocation's answer: the region as text, empty for us-east-1."""

    region: str = content(default="")
