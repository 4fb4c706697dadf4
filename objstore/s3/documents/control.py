"""The part of S3 Control that is about tags: ListTagsForResource, TagResource, UntagResource."""

from typing import Final

from objstore.s3.documents.tagging import Tag
from objstore.s3.xml import document, element

NAMESPACE: Final = "http://awss3control.amazonaws.com/doc/2018-08-20/"


@document(namespace=NAMESPACE)
class ListTagsForResourceResult:
    tags: tuple[Tag, ...] = element("Tag", wrap="Tags", default=())


@document(namespace=NAMESPACE)
class TagResourceRequest:
    tags: tuple[Tag, ...] = element("Tag", wrap="Tags")
