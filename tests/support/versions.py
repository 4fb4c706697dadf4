"""The versions and delete markers of a bucket in the one order in which S3 lists them.

boto3 tells them apart, and times tell whole seconds.
"""

import re
from typing import Any
from urllib.parse import unquote_plus

_ENTRY = re.compile(rb"<(Version|DeleteMarker)>(.*?)</\1>", re.DOTALL)
_KEY, _ID = re.compile(rb"<Key>(.*?)</Key>"), re.compile(rb"<VersionId>(.*?)</VersionId>")
_BEFORE_PARSE = "before-parse.s3.ListObjectVersions"


def listed_versions(client: Any, bucket: str) -> list[tuple[str, str, bool, bool]]:
    """Key, version id, whether it is the latest, and whether a marker: by key, newest first. One page."""
    bodies: list[bytes] = []

    def note(response_dict: dict[str, Any], **_: Any) -> None:
        bodies.append(response_dict["body"])

    client.meta.events.register(_BEFORE_PARSE, note)
    try:
        client.list_object_versions(Bucket=bucket)
    finally:
        client.meta.events.unregister(_BEFORE_PARSE, note)
    (body,) = bodies
    return [
        (
            unquote_plus(_text(_KEY, entry)),
            _text(_ID, entry),
            b"<IsLatest>true</IsLatest>" in entry,
            kind == b"DeleteMarker",
        )
        for kind, entry in _ENTRY.findall(body)
    ]


def _text(pattern: re.Pattern[bytes], entry: bytes) -> str:
    found = pattern.search(entry)
    assert found is not None, entry
    return found[1].decode()
