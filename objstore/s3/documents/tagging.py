"""Tag sets of buckets and objects."""

from objstore.s3.xml import document, element


@document
class Tag:
    key: str
    value: str


@document
class Tagging:
    tags: tuple[Tag, ...] = element("Tag", wrap="TagSet")
