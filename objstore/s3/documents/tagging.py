"""Tag sets of buckets and objects."""

from collections.abc import Iterable, Mapping
from typing import Final

from objstore.model import Bucket
from objstore.s3.errors import DuplicateTag, TooManyTags
from objstore.s3.object_headers import check_tags
from objstore.s3.xml import document, element

BUCKET_TAGS_MAX: Final = 50


@document
class Tag:
    key: str
    value: str


@document
class Tagging:
    """S3 takes an absent TagSet for an empty one."""

    tags: tuple[Tag, ...] = element("Tag", wrap="TagSet", default=())


def tagging_of(tags: Mapping[str, str]) -> Tagging:
    """The document of a tag set."""
    return Tagging(tags=tuple(Tag(key=key, value=value) for key, value in tags.items()))


def tags_of(wanted: Tagging) -> dict[str, str]:
    """The tag set of an object's document. Raises InvalidTag (also for a key given twice), TooManyTags."""
    pairs = [(tag.key, tag.value) for tag in wanted.tags]
    check_tags(pairs)
    return _unique(pairs)


def bucket_tags_of(wanted: Tagging) -> dict[str, str]:
    """The tag set of a bucket's document. Raises as `tags_of`."""
    pairs = [(tag.key, tag.value) for tag in wanted.tags]
    check_tags(pairs, BUCKET_TAGS_MAX, "System tags cannot be added/updated by requester")
    return _unique(pairs)


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for key, value in pairs:
        if key in tags:
            raise DuplicateTag(TagKey=key)
        tags[key] = value
    return tags


def check_bucket_tags(wanted: Tagging, bucket: Bucket | None = None) -> None:
    """Raise InvalidTag, TooManyTags unless a bucket may have these tags."""
    if len(wanted.tags) > BUCKET_TAGS_MAX:
        raise TooManyTags(f"Bucket tag count cannot be greater than {BUCKET_TAGS_MAX}")
    bucket_tags_of(wanted)
