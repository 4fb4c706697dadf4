"""DeleteObjects: what to delete, and what became of each."""

from typing import Final

from objstore.s3.xml import ETag, Instant, document, element

MAX_DELETED_KEYS: Final = 1000
MAX_DELETE_BYTES: Final = 8 * 1024 * 1024
"""1,000 keys of 1,024 bytes, every one of them a character reference."""


@document("Object")
class ObjectIdentifier:
    """One object or version to delete, with the conditions under which to."""

    key: str
    version_id: str | None = None
    etag: ETag | None = element("ETag", default=None)
    last_modified_time: Instant | None = None
    size: int | None = None


@document(limit=MAX_DELETE_BYTES)
class Delete:
    """At least one object; the handler refuses more than MAX_DELETED_KEYS."""

    objects: tuple[ObjectIdentifier, ...] = element("Object")
    quiet: bool = False


@document
class Deleted:
    key: str
    version_id: str | None = None
    delete_marker: bool | None = None
    delete_marker_version_id: str | None = None


@document("Error")
class DeleteError:
    """Why one key was not deleted: an S3 error's code and message."""

    key: str
    version_id: str | None = None
    code: str
    message: str


@document
class DeleteResult:
    """What became of each key, in the order asked."""

    entries: tuple[Deleted | DeleteError, ...] = ()
