"""What S3's objects, versions and uploads mean, in the plainest code there is: lists and dictionaries.

The reference that the metadata commands, and the whole server, are compared with. It knows nothing of
storage, time or transactions: version ids and ETags are told to it. An answer that S3 refuses is
Refused(name), named as in objstore.meta.interface.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

NULL = "null"
NEVER, ENABLED, SUSPENDED = "never", "enabled", "suspended"


class Refused(Exception):
    """The model refuses, as S3 would."""


@dataclass(frozen=True)
class Version:
    """One version, or a delete marker (no ETag, no content). `content` is whatever the driver compares."""

    version_id: str
    etag: str = ""
    content: Any = None
    size: int = 0
    is_delete_marker: bool = False
    made: int = field(default=0, compare=False)
    """By the model's own count."""


@dataclass
class Upload:
    key: str
    began: int
    is_overtaken: bool = False
    """The key's current version was removed since."""
    parts: dict[int, Version] = field(default_factory=dict)


@dataclass
class Bucket:
    versioning: str = NEVER
    keys: dict[str, list[Version]] = field(default_factory=dict)
    """Versions of each key, newest first; a key without any is not in it."""
    uploads: dict[str, Upload] = field(default_factory=dict)

    def current(self, key: str) -> Version | None:
        versions = self.keys.get(key, [])
        return versions[0] if versions and not versions[0].is_delete_marker else None


class Deleted(NamedTuple):
    version_id: str | None
    is_delete_marker: bool
    existed: bool


class Entry(NamedTuple):
    """One line of a listing: a common prefix has only a key."""

    key: str
    version: Version | None
    is_latest: bool = True


class Model:
    """All buckets of one owner."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.count = itertools.count(1)
        self.completed: dict[str, tuple[str, str, str, Any]] = {}
        """Upload id → bucket, key, version id and list of a Complete that succeeded."""

    # Buckets

    def create_bucket(self, name: str) -> None:
        if name in self.buckets:
            raise Refused("BucketExists")
        self.buckets[name] = Bucket()

    def delete_bucket(self, name: str) -> None:
        if self._bucket(name).keys:
            raise Refused("BucketNotEmpty")
        del self.buckets[name]

    def set_versioning(self, name: str, state: str) -> None:
        self._bucket(name).versioning = state

    def _bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise Refused("BucketMissing")
        return self.buckets[name]

    # Objects

    def get(self, name: str, key: str, version_id: str | None = None) -> Version:
        bucket = self._bucket(name)
        if version_id is None:
            found = bucket.current(key)
            if found is None:
                raise Refused("KeyMissing")
            return found
        for version in bucket.keys.get(key, []):
            if version.version_id == version_id:
                return version
        raise Refused("VersionMissing")

    def check(
        self,
        name: str,
        key: str,
        if_match: str | None = None,
        if_none_match: str | None = None,
        *,
        deletes: bool = False,
    ) -> None:
        bucket = self._bucket(name)
        current = bucket.current(key)
        if if_match is not None:
            if current is None:
                raise Refused("ConditionFailed" if deletes and bucket.keys.get(key) else "KeyMissing")
            if if_match not in ("*", current.etag):
                raise Refused("ConditionFailed")
        if if_none_match is not None and current and if_none_match in ("*", current.etag):
            raise Refused("ConditionFailed")

    def put(self, name: str, key: str, version: Version) -> Version:
        """Put `version`, whose id holds where versioning is enabled."""
        bucket = self._bucket(name)
        version = self._on_top(bucket, key, version)
        return version

    def delete(self, name: str, key: str, new_version_id: str) -> Deleted:
        bucket = self._bucket(name)
        current = bucket.current(key)
        existed = current is not None
        if current is not None and bucket.versioning != ENABLED and current.version_id == NULL:
            self._overtake(bucket, key)
        if bucket.versioning == NEVER:
            bucket.keys.pop(key, None)
            return Deleted(None, False, existed)
        marker = self._on_top(bucket, key, Version(new_version_id, is_delete_marker=True))
        return Deleted(marker.version_id, True, existed)

    def delete_version(self, name: str, key: str, version_id: str) -> Deleted:
        bucket = self._bucket(name)
        shown = None if bucket.versioning == NEVER else version_id
        try:
            version = self.get(name, key, version_id)
        except Refused:
            return Deleted(shown, False, False)
        if bucket.current(key) == version:
            self._overtake(bucket, key)
        self._remove(bucket, key, version_id)
        return Deleted(shown, version.is_delete_marker, True)

    def _on_top(self, bucket: Bucket, key: str, version: Version) -> Version:
        if bucket.versioning != ENABLED:
            version = replace(version, version_id=NULL)
            self._remove(bucket, key, NULL)
        version = replace(version, made=next(self.count))
        bucket.keys.setdefault(key, []).insert(0, version)
        return version

    def _overtake(self, bucket: Bucket, key: str) -> None:
        for upload in bucket.uploads.values():
            if upload.key == key:
                upload.is_overtaken = True

    def _remove(self, bucket: Bucket, key: str, version_id: str) -> None:
        left = [version for version in bucket.keys.get(key, []) if version.version_id != version_id]
        if left:
            bucket.keys[key] = left
        else:
            bucket.keys.pop(key, None)

    # Uploads

    def create_upload(self, name: str, key: str, upload_id: str) -> None:
        self._bucket(name).uploads[upload_id] = Upload(key, next(self.count))

    def put_part(self, name: str, key: str, upload_id: str, part_number: int, part: Version) -> None:
        self._upload(name, key, upload_id).parts[part_number] = part

    def abort(self, name: str, key: str, upload_id: str) -> None:
        self._upload(name, key, upload_id)
        del self.buckets[name].uploads[upload_id]

    def complete(
        self,
        name: str,
        key: str,
        upload_id: str,
        part_numbers: Iterable[int],
        version: Version,
        if_match: str | None = None,
        if_none_match: str | None = None,
    ) -> Version:
        """Complete with these parts; `version` without content and size, which are the parts'."""
        named = tuple(part_numbers)
        before = self.completed.get(upload_id)
        if before is not None and before[:2] == (name, key) and before[3] == named:
            try:
                standing = self.get(name, key, before[2])
            except Refused:
                standing = None
            if standing is not None and standing.content[:1] == (upload_id,):
                return standing
        upload = self._upload(name, key, upload_id)
        self.check(name, key, if_match, if_none_match)
        if if_match is not None or if_none_match is not None:
            bucket = self.buckets[name]
            made = max((version.made for version in bucket.keys.get(key, [])[:1]), default=0)
            if made > upload.began or (upload.is_overtaken and bucket.current(key) is None):
                raise Refused("Overtaken")
        if any(number not in upload.parts for number in named):
            raise Refused("PartInvalid")
        parts = [upload.parts[number] for number in named]
        content = (upload_id, *(part.content for part in parts))
        version = replace(version, content=content, size=sum(part.size for part in parts))
        version = self.put(name, key, version)
        del self.buckets[name].uploads[upload_id]
        self.completed[upload_id] = (name, key, version.version_id, named)
        return version

    def _upload(self, name: str, key: str, upload_id: str) -> Upload:
        upload = self._bucket(name).uploads.get(upload_id)
        if upload is None or upload.key != key:
            raise Refused("UploadMissing")
        return upload

    # Listings: whole ones, in order; `page` cuts them.

    def objects(self, name: str) -> Iterator[Entry]:
        """Current live versions in key order."""
        bucket = self._bucket(name)
        for key in in_key_order(bucket.keys):
            version = bucket.current(key)
            if version is not None:
                yield Entry(key, version)

    def versions(self, name: str) -> Iterator[Entry]:
        """All versions and markers in key order, newest first within a key."""
        bucket = self._bucket(name)
        for key in in_key_order(bucket.keys):
            for index, version in enumerate(bucket.keys[key]):
                yield Entry(key, version, is_latest=index == 0)


def in_key_order(keys: Iterable[str]) -> list[str]:
    """Keys by their UTF-8 bytes."""
    return sorted(keys, key=str.encode)


def page(
    entries: Iterable[Entry], prefix: str, after: str, delimiter: str, limit: int
) -> tuple[list[Entry], bool]:
    """What a listing page holds of entries already cut at the marker, and whether it is truncated.

    `after` only keeps out common prefixes that are not greater than it.
    """
    folded: list[Entry] = []
    for entry in entries:
        if not entry.key.startswith(prefix):
            continue
        found = entry.key.find(delimiter, len(prefix)) if delimiter else -1
        if found < 0:
            folded.append(entry)
            continue
        common = entry.key[: found + len(delimiter)]
        if common.encode() <= after.encode() or (folded and folded[-1] == Entry(common, None)):
            continue
        folded.append(Entry(common, None))
    return folded[: max(0, limit)], len(folded) > limit > 0
