"""What the filters and ids of a bucket's configurations have in common."""

import re
from dataclasses import fields
from typing import Any, Final

from objstore.s3.documents.tagging import Tag
from objstore.s3.errors import InvalidConfigurationId, InvalidS3DestinationBucket, MalformedXML
from objstore.s3.xml import document, element

ID_CHARACTERS_MAX: Final = 64
_ID: Final = re.compile(r"[A-Za-z0-9._-]+")
_BUCKET_ARN: Final = re.compile(r"arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]*[a-z0-9]")


@document
class And:
    """All of these at once."""

    prefix: str | None = None
    tags: tuple[Tag, ...] = element("Tag", default=())


@document
class Filter:
    """What a configuration or rule is about: one of these, or everything when empty."""

    prefix: str | None = None
    tag: Tag | None = None
    and_: And | None = element("And", default=None)


def check_id(configuration_id: str) -> None:
    """Raise InvalidConfigurationId unless a configuration may be called so."""
    if len(configuration_id) > ID_CHARACTERS_MAX or not _ID.fullmatch(configuration_id):
        raise InvalidConfigurationId


def check_filter(wanted: Any) -> None:
    """Raise MalformedXML unless the filter (None: everything) names one thing, and an And two or more."""
    if wanted is None:
        return
    given = [getattr(wanted, field.name) for field in fields(wanted)]
    if sum(value is not None for value in given) != 1:
        raise MalformedXML
    if wanted.and_ is None:
        return
    parts = [getattr(wanted.and_, field.name) for field in fields(wanted.and_)]
    count = sum(len(part) if isinstance(part, tuple) else part is not None for part in parts)
    if count < 2:
        raise MalformedXML


def check_bucket_arn(arn: str) -> None:
    """Raise InvalidS3DestinationBucket unless this is the ARN of a bucket."""
    if not _BUCKET_ARN.fullmatch(arn):
        raise InvalidS3DestinationBucket
