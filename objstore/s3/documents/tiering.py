"""Intelligent-Tiering configurations of a bucket."""

from typing import Final, Literal

from objstore.model import Bucket
from objstore.s3.documents.filtering import Filter, check_filter, check_id
from objstore.s3.errors import InvalidArgument, MalformedXML
from objstore.s3.xml import document, element

DAYS_MIN: Final = {"ARCHIVE_ACCESS": 90, "DEEP_ARCHIVE_ACCESS": 180}
DAYS_MAX: Final = 730


@document
class Tiering:
    days: int
    access_tier: Literal["ARCHIVE_ACCESS", "DEEP_ARCHIVE_ACCESS"]


@document
class IntelligentTieringConfiguration:
    id: str
    filter: Filter | None = None
    status: Literal["Enabled", "Disabled"]
    tierings: tuple[Tiering, ...] = element("Tiering")


@document("ListBucketIntelligentTieringConfigurationsOutput")
class ListIntelligentTieringConfigurationsResult:
    configurations: tuple[IntelligentTieringConfiguration, ...] = element(
        "IntelligentTieringConfiguration", default=()
    )
    is_truncated: bool = False
    continuation_token: str | None = None
    next_continuation_token: str | None = None


def check(wanted: IntelligentTieringConfiguration, bucket: Bucket) -> None:
    """Raise the S3 error of a configuration that cannot be."""
    check_id(wanted.id)
    check_filter(wanted.filter)
    tiers = [tiering.access_tier for tiering in wanted.tierings]
    if len(set(tiers)) < len(tiers):
        raise MalformedXML
    for tiering in wanted.tierings:
        if not DAYS_MIN[tiering.access_tier] <= tiering.days <= DAYS_MAX:
            raise InvalidArgument(
                f"'Days' of {tiering.access_tier} must be between {DAYS_MIN[tiering.access_tier]} and "
                f"{DAYS_MAX}",
                ArgumentName="Days",
                ArgumentValue=tiering.days,
            )
