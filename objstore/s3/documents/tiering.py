"""Intelligent-Tiering configurations of a bucket."""

from typing import Literal

from objstore.s3.documents.tagging import Tag
from objstore.s3.xml import document, element


@document
class And:
    """All of these at once."""

    prefix: str | None = None
    tags: tuple[Tag, ...] = element("Tag", default=())


@document
class Filter:
    prefix: str | None = None
    tag: Tag | None = None
    and_: And | None = element("And", default=None)


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
