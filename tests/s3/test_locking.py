"""Object lock documents: what a bucket may be configured with, and what a version gets."""

from typing import Any

import pytest

from objstore.model import ObjectLock
from objstore.s3 import errors
from objstore.s3.documents.locking import (
    DAY_MS,
    DefaultRetention,
    EventHoldDuration,
    ObjectLockConfiguration,
    ObjectLockRule,
    Retention,
    check,
    default_lock,
    lock_of,
    retention_of,
)

NOW_MS = 1_700_000_000_000


def configuration(**retention: Any) -> ObjectLockConfiguration:
    rule = ObjectLockRule(default_retention=DefaultRetention(**retention))
    return ObjectLockConfiguration(object_lock_enabled="Enabled", rule=rule)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ObjectLockConfiguration(object_lock_enabled="Enabled"), None),
        (configuration(mode="GOVERNANCE", days=1), ObjectLock("GOVERNANCE", NOW_MS + DAY_MS)),
        (configuration(mode="COMPLIANCE", years=2), ObjectLock("COMPLIANCE", NOW_MS + 730 * DAY_MS)),
        (configuration(mode="COMPLIANCE", days=36_500), ObjectLock("COMPLIANCE", NOW_MS + 36_500 * DAY_MS)),
    ],
)
def test_default_retention(wanted: ObjectLockConfiguration, expected: ObjectLock | None) -> None:
    check(wanted)
    assert default_lock(wanted, NOW_MS) == expected


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (ObjectLockConfiguration(), errors.MalformedXML),
        (ObjectLockConfiguration(object_lock_enabled="Enabled", rule=ObjectLockRule()), errors.MalformedXML),
        (configuration(mode="GOVERNANCE"), errors.MalformedXML),
        (configuration(days=1), errors.MalformedXML),
        (configuration(mode="GOVERNANCE", days=1, years=1), errors.MalformedXML),
        (configuration(mode="GOVERNANCE", days=0), errors.InvalidArgument),
        (configuration(mode="GOVERNANCE", days=36_501), errors.InvalidArgument),
        (configuration(mode="GOVERNANCE", years=101), errors.InvalidArgument),
        (
            configuration(mode="GOVERNANCE", days=1, default_event_hold=EventHoldDuration(days=1)),
            errors.NotImplemented,
        ),
    ],
)
def test_configurations_that_cannot_be(wanted: ObjectLockConfiguration, error: type[Exception]) -> None:
    with pytest.raises(error):
        check(wanted)


def test_retention_there_and_back() -> None:
    wanted = Retention(mode="GOVERNANCE", retain_until_date=NOW_MS + 1)
    lock = lock_of(wanted, NOW_MS)
    assert lock == ObjectLock("GOVERNANCE", NOW_MS + 1)
    assert retention_of(lock) == wanted
    assert lock_of(Retention(), NOW_MS) == ObjectLock()


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (Retention(mode="GOVERNANCE"), errors.MalformedXML),
        (Retention(retain_until_date=NOW_MS + 1), errors.MalformedXML),
        (Retention(mode="COMPLIANCE", retain_until_date=NOW_MS), errors.InvalidArgument),
        (Retention(event_hold="ON"), errors.NotImplemented),
    ],
)
def test_retention_that_cannot_be(wanted: Retention, error: type[Exception]) -> None:
    with pytest.raises(error):
        lock_of(wanted, NOW_MS)
