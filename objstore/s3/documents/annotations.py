"""Annotations of objects: what requests are answered, and what an annotation may be called."""

import unicodedata
from typing import Final

from objstore.s3.errors import AnnotationNameTooLong, InvalidAnnotationName
from objstore.s3.xml import ETag, Moment, document, element

NAME_BYTES_MAX: Final = 512
PAYLOAD_BYTES_MAX: Final = 1024 * 1024
PAGE_MAX: Final = 1000
_RESERVED: Final = ("aws", "s3")
_SIGNS: Final = frozenset("0123456789_.-")


def check_name(name: str) -> str:
    """The name, if an annotation may have it: letters of any language, digits and `_.-`.

    Raises InvalidAnnotationName, AnnotationNameTooLong. Source: Amazon S3 User Guide, "Annotating your
    objects".
    """
    if len(name.encode()) > NAME_BYTES_MAX:
        raise AnnotationNameTooLong
    if not name or name.lower().startswith(_RESERVED):
        raise InvalidAnnotationName
    if not all(character in _SIGNS or unicodedata.category(character)[0] in "LM" for character in name):
        raise InvalidAnnotationName
    return name


@document
class PutObjectAnnotationOutput:
    """The answer to PutObjectAnnotation."""

    key: str
    annotation_name: str


@document
class AnnotationEntry:
    """One annotation in a listing."""

    annotation_name: str
    last_modified: Moment
    etag: ETag = element("ETag")
    checksum_algorithm: tuple[str, ...] = element("ChecksumAlgorithm", default=())
    size: int


@document
class ListObjectAnnotationsOutput:
    """The answer to ListObjectAnnotations."""

    annotations: tuple[AnnotationEntry, ...] = element("AnnotationEntry", wrap="Annotations", default=())
    bucket: str
    key: str
    annotation_prefix: str | None = None
    max_annotation_results: int
    annotation_count: int
    continuation_token: str | None = None
    next_continuation_token: str | None = None
