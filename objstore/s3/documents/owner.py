"""Who owns a bucket, object or upload, as documents show it."""

from objstore.s3.xml import document, element


@document
class Owner:
    """A canonical user."""

    id: str = element("ID")
    display_name: str | None = None


@document
class Initiator:
    """Who began a multipart upload."""

    id: str = element("ID")
    display_name: str | None = None
