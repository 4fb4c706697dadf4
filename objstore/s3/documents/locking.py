"""Object lock: a bucket's default retention, and what protects one version."""

from typing import Literal

from objstore.s3.xml import Instant, document

Mode = Literal["GOVERNANCE", "COMPLIANCE"]


@document
class EventHoldDuration:
    days: int | None = None
    years: int | None = None


@document
class DefaultRetention:
    """`days` or `years`, not both."""

    mode: Mode | None = None
    days: int | None = None
    years: int | None = None
    default_event_hold: EventHoldDuration | None = None


@document("Rule")
class ObjectLockRule:
    default_retention: DefaultRetention | None = None


@document
class ObjectLockConfiguration:
    object_lock_enabled: Literal["Enabled"] | None = None
    rule: ObjectLockRule | None = None


@document
class Retention:
    """Both absent: no retention."""

    mode: Mode | None = None
    retain_until_date: Instant | None = None
    event_hold: Literal["ON", "OFF"] | None = None
    event_hold_duration: EventHoldDuration | None = None


@document
class LegalHold:
    status: Literal["ON", "OFF"] | None = None
