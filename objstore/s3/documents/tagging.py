"""Tag sets of buckets and objects."""

from collections.abc import Mapping
from typing import Final

from objstore.model import Bucket
from objstore.s3.errors import DuplicateTag, TooManyTags
from objstore.s3.object_headers import TAGS_MAX, check_tags
from objstore.s3.xml import document, element

BUCKET_TAGS_MAX: Final = 50


@document
class Tag:
    key: str
    value: str


@document
class Tagging:
    tags: tuple[Tag, ...] = element("Tag", wrap="TagSet")


def tagging_of(tags: Mapping[str, str]) -> Tagging:
    """The document of a tag set."""
    return Tagging(tags=tuple(Tag(key=key, value=value) for key, value in tags.items()))


def tags_of(wanted: Tagging, limit: int = TAGS_MAX) -> dict[str, str]:
    """The tag set of a document. Raises InvalidTag (also for a key given twice), TooManyTags."""
    pairs = [(tag.key, tag.value) for tag in wanted.tags]
    check_tags(pairs, limit)
    tags = dict(pairs)
    if len(tags) < len(pairs):
        raise DuplicateTag
    return tags


def check_bucket_tags(wanted: Tagging, bucket: Bucket | None = None) -> None:
    """Raise InvalidTag, TooManyTags unless a bucket may have these tags."""
    if len(wanted.tags) > BUCKET_TAGS_MAX:
        raise TooManyTags(f"Bucket tag count cannot be greater than {BUCKET_TAGS_MAX}")
    tags_of(wanted, BUCKET_TAGS_MAX)
