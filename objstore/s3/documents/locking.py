"""Object lock: a bucket's default retention, and what protects one version."""

from typing import Final, Literal, cast

from objstore.model import ObjectLock
from objstore.s3 import errors
from objstore.s3.errors import InvalidArgument, MalformedXML
from objstore.s3.xml import Instant, document

Mode = Literal["GOVERNANCE", "COMPLIANCE"]

DAYS_MAX: Final = 36_500
YEARS_MAX: Final = 100
DAYS_OF_YEAR: Final = 365
DAY_MS: Final = 86_400_000


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


def check(wanted: ObjectLockConfiguration) -> None:
    """Raise MalformedXML, InvalidArgument, NotImplemented unless this can be a bucket's configuration."""
    if wanted.object_lock_enabled is None:
        raise MalformedXML
    if wanted.rule is None:
        return
    default = wanted.rule.default_retention
    if default is None or default.mode is None or (default.days is None) == (default.years is None):
        raise MalformedXML
    if default.default_event_hold is not None:
        raise errors.NotImplemented("Event holds are not supported.")
    name, value, most = ("Days", default.days, DAYS_MAX)
    if default.years is not None:
        name, value, most = ("Years", default.years, YEARS_MAX)
    assert value is not None
    if value <= 0:
        raise InvalidArgument(
            f"Default retention period must be a positive integer value for '{name}'",
            ArgumentName=name,
            ArgumentValue=value,
        )
    if value > most:
        raise InvalidArgument(
            f"Default retention period too large for '{name}'", ArgumentName=name, ArgumentValue=value
        )


def default_lock(configuration: ObjectLockConfiguration, now_ms: int) -> ObjectLock | None:
    """The retention of a version made at `now_ms` without its own; None without a rule."""
    default = None if configuration.rule is None else configuration.rule.default_retention
    if default is None or default.mode is None:
        return None
    days = default.days if default.days is not None else (default.years or 0) * DAYS_OF_YEAR
    return ObjectLock(default.mode, now_ms + days * DAY_MS)


def lock_of(wanted: Retention, now_ms: int) -> ObjectLock:
    """The retention that a document asks for. Raises MalformedXML, InvalidArgument, NotImplemented."""
    if wanted.event_hold is not None or wanted.event_hold_duration is not None:
        raise errors.NotImplemented("Event holds are not supported.")
    if (wanted.mode is None) != (wanted.retain_until_date is None):
        raise MalformedXML
    if wanted.retain_until_date is None:
        return ObjectLock()
    if wanted.retain_until_date <= now_ms:
        raise InvalidArgument("The retain until date must be in the future!", ArgumentName="RetainUntilDate")
    return ObjectLock(wanted.mode, wanted.retain_until_date)


def retention_of(lock: ObjectLock) -> Retention:
    """The document of a lock that has a retention."""
    return Retention(mode=cast(Mode, lock.mode), retain_until_date=lock.retain_until_ms)
