"""PostObject: the answer to success_action_status 201."""

from objstore.s3.xml import ETag, document, element


@document(namespace="")
class PostResponse:
    """Where the file went; without a namespace, as S3 writes it."""

    location: str
    bucket: str
    key: str
    etag: ETag = element("ETag")
