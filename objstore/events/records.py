"""The event record, as S3 shapes it, and what of it a request knows.

Source: Amazon S3 User Guide, "Event message structure".
"""

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import quote_plus

from objstore.events.targets import target_of
from objstore.meta.commands import Notice
from objstore.meta.commands.events import LIVE
from objstore.meta.queries import Event
from objstore.model import Bucket
from objstore.s3.documents.notification import NotificationConfiguration, is_told, subscriptions
from objstore.s3.xml import write_instant

TEST_EVENT: Final = "s3:TestEvent"
_VERSIONS: Final[Mapping[str, str]] = {
    "ObjectCreated": "2.1",
    "ObjectRemoved": "2.1",
    "ObjectRestore:Post": "2.1",
    "ObjectRestore:Completed": "2.1",
    "Replication": "2.2",
}
_LATER_VERSION: Final = "2.3"
"""Of the kinds of events that came later."""
_WITHOUT_ORDER: Final = ("ObjectTagging:", "ObjectAcl:")
"""Events that neither make nor remove anything: S3 gives them no sequencer and no size."""
_MARKER_ETAG: Final = hashlib.md5(b"", usedforsecurity=False).hexdigest()
"""What S3 says is the ETag of a new delete marker."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Who did it, from where, in which request. `event` is what the operation is called as an event."""

    event: str
    principal_id: str
    source_ip: str
    request_id: str
    host_id: str


RULES: Final = "s3.amazonaws.com"
"""Whom S3 names where its own rules did it."""
REQUEST_ID_BYTES: Final = 8
HOST_ID_BYTES: Final = 24
"""What no request did gets ids of its own, as on S3."""
LIVE_ID: Final = "listen"
"""The configuration that records name where there is none: somebody listens."""


def about(
    origin: Origin, bucket: Bucket, configuration_id: str, data: Mapping[str, Any] | None = None
) -> bytes:
    """What is known before the change is made, for the outbox. `data`: what the record has besides."""
    facts: dict[str, Any] = {
        **asdict(origin),
        "request_id": origin.request_id or secrets.token_hex(REQUEST_ID_BYTES).upper(),
        "host_id": origin.host_id or secrets.token_hex(HOST_ID_BYTES),
        "configuration_id": configuration_id,
        "bucket": bucket.name,
        "owner_id": bucket.owner_id,
        "region": bucket.region,
    }
    if data is not None:
        facts["data"] = data
    return json.dumps(facts, separators=(",", ":")).encode()


def notices(
    document: NotificationConfiguration,
    bucket: Bucket,
    key: str,
    events: Collection[str],
    origin: Origin,
    data: Mapping[str, Any] | None = None,
) -> tuple[Notice, ...]:
    """Whom to tell of these events. `data`: what their records have besides."""
    return tuple(
        Notice(event, target_of(one.arn), about(origin, bucket, one.id, data))
        for one in subscriptions(document)
        for event in events
        if is_told(one, event, key)
    )


def live_notices(
    bucket: Bucket, events: Collection[str], origin: Origin, data: Mapping[str, Any] | None = None
) -> tuple[Notice, ...]:
    """Word of these events for whoever listens now."""
    facts = about(origin, bucket, LIVE_ID, data)
    return tuple(Notice(event, LIVE, facts) for event in events)


def document_of(event: Event) -> dict[str, Any]:
    """What a target is sent: one record, or a test event."""
    facts = json.loads(event.about)
    if event.event == TEST_EVENT:
        return {
            "Service": "Amazon S3",
            "Event": TEST_EVENT,
            "Time": write_instant(event.time_ms),
            "Bucket": facts["bucket"],
            "RequestId": facts["request_id"],
            "HostId": facts["host_id"],
        }
    return {"Records": [_record(event, facts)]}


def document_heard(event: Event) -> dict[str, Any]:
    """What those who listen are sent: one record, with the names that MinIO's clients look for.

    `mc mirror --watch` knows events by `s3:` before the name, and decodes a key if it has a `%2F`.
    """
    record = _record(event, json.loads(event.about))
    record["eventName"] = event.event
    record["s3"]["object"]["key"] = quote_plus(event.key, safe="")
    return {"Records": [record]}


def _record(event: Event, facts: Mapping[str, Any]) -> dict[str, Any]:
    name = event.event.removeprefix("s3:")
    has_order = not name.startswith(_WITHOUT_ORDER)
    about_object: dict[str, Any] = {"key": quote_plus(event.key, safe="/")}
    if event.size is not None and has_order:
        about_object["size"] = event.size
    etag = _MARKER_ETAG if name.endswith(":DeleteMarkerCreated") else event.etag
    if etag is not None:
        about_object["eTag"] = etag
    if event.version_id is not None:
        about_object["versionId"] = event.version_id
    if has_order:
        about_object["sequencer"] = f"{event.sequence:016X}"
    return {
        "eventVersion": _VERSIONS.get(name, _VERSIONS.get(name.partition(":")[0], _LATER_VERSION)),
        "eventSource": "aws:s3",
        "awsRegion": facts["region"],
        "eventTime": write_instant(event.time_ms),
        "eventName": name,
        "userIdentity": {"principalId": facts["principal_id"]},
        "requestParameters": {"sourceIPAddress": facts["source_ip"]},
        "responseElements": {"x-amz-request-id": facts["request_id"], "x-amz-id-2": facts["host_id"]},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": facts["configuration_id"],
            "bucket": {
                "name": facts["bucket"],
                "ownerIdentity": {"principalId": facts["owner_id"]},
                "arn": f"arn:aws:s3:::{facts['bucket']}",
            },
            "object": about_object,
        },
        **facts.get("data", {}),
    }
