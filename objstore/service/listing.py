"""Listings of a bucket's keys: current objects, and all their versions."""

from objstore.meta import queries
from objstore.meta.queries import ListedObject, ObjectPage, VersionPage
from objstore.model import Bucket
from objstore.service.facts import Facts

__all__ = ["ListedObject", "Listings"]


class Listings:
    """The listings of all buckets. Keys are in the order of their UTF-8 bytes.

    Keys under `prefix` that contain `delimiter` after it fold into common prefixes; each of these counts
    as one towards `limit`. An empty delimiter folds nothing.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    async def objects(
        self, bucket: Bucket, prefix: str, after: str, delimiter: str, limit: int
    ) -> ObjectPage:
        """Current live versions with keys after `after`: see queries.list_objects. Raises Unavailable."""
        return await self._facts.read(queries.list_objects, bucket.id, prefix, after, delimiter, limit)

    async def versions(
        self,
        bucket: Bucket,
        prefix: str,
        key_marker: str,
        version_id_marker: str,
        delimiter: str,
        limit: int,
    ) -> VersionPage:
        """All versions and delete markers, newest first: see queries.list_versions. Raises Unavailable."""
        return await self._facts.read(
            queries.list_versions, bucket.id, prefix, key_marker, version_id_marker, delimiter, limit
        )
