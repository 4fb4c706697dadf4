"""Request metrics of parts of a bucket."""

from objstore.model import Bucket
from objstore.s3.documents.filtering import check_filter, check_id
from objstore.s3.documents.tagging import Tag
from objstore.s3.xml import document, element


@document
class And:
    """All of these at once."""

    prefix: str | None = None
    tags: tuple[Tag, ...] = element("Tag", default=())
    access_point_arn: str | None = None


@document
class Filter:
    prefix: str | None = None
    tag: Tag | None = None
    access_point_arn: str | None = None
    and_: And | None = element("And", default=None)


@document
class MetricsConfiguration:
    id: str
    filter: Filter | None = None


@document
class ListMetricsConfigurationsResult:
    configurations: tuple[MetricsConfiguration, ...] = element("MetricsConfiguration", default=())
    is_truncated: bool = False
    continuation_token: str | None = None
    next_continuation_token: str | None = None


def check(wanted: MetricsConfiguration, bucket: Bucket) -> None:
    """Raise the S3 error of a configuration that cannot be."""
    check_id(wanted.id)
    check_filter(wanted.filter)
