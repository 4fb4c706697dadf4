"""Devices that show one-time codes, and the codes that were used.

A code counts once, whichever worker it comes to, and guessing is slowed down: both are decided here, where
all workers meet, and outlive a restart.
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from objstore import clock
from objstore.meta import queries
from objstore.meta.interface import (
    Database,
    MfaDeviceExists,
    MfaDeviceMissing,
    TooManyMfaDevices,
    UserMissing,
)
from objstore.model import MfaDevice

DEVICES_MAX: Final = 8
"""Devices one user may have, as on AWS."""
FAILURES_FREE: Final = 5
"""Wrong codes in a row after which a device pauses."""
PAUSE_MS: Final = 30_000
"""The first pause; each further wrong code doubles it."""
PAUSE_MS_MAX: Final = 60 * 60 * 1000
"""The longest one. At three codes in a million that count, guessing takes decades then."""


def pause_ms(failures: int) -> int:
    """How long a device takes no code after so many wrong ones in a row (RFC 4226, section 7.3)."""
    if failures < FAILURES_FREE:
        return 0
    return min(PAUSE_MS << min(failures - FAILURES_FREE, 32), PAUSE_MS_MAX)


@dataclass(frozen=True, slots=True)
class AddMfaDevice:
    """Give a user a device. Returns it. Raises UserMissing, MfaDeviceExists, TooManyMfaDevices."""

    serial: str
    user_id: str
    secret_sealed: bytes
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> MfaDevice:
        if queries.user_by_id(db, self.user_id) is None:
            raise UserMissing(user=self.user_id)
        if queries.mfa_device(db, self.serial) is not None:
            raise MfaDeviceExists(serial=self.serial)
        if len(queries.mfa_devices_of(db, self.user_id)) >= DEVICES_MAX:
            raise TooManyMfaDevices(limit=DEVICES_MAX)
        db.execute(
            "INSERT INTO mfa_devices (serial, user_id, secret_sealed, created_ms, last_step, failures, "
            "failed_ms) VALUES (?, ?, ?, ?, 0, 0, 0)",
            (self.serial, self.user_id, self.secret_sealed, now_ms),
        )
        return MfaDevice(self.serial, self.user_id, self.secret_sealed, now_ms)


@dataclass(frozen=True, slots=True)
class RemoveMfaDevice:
    """Remove a device: its codes count no longer. Raises MfaDeviceMissing."""

    serial: str
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> None:
        if db.execute("DELETE FROM mfa_devices WHERE serial = ?", (self.serial,)) == 0:
            raise MfaDeviceMissing(serial=self.serial)


@dataclass(frozen=True, slots=True)
class UseMfaCode:
    """Somebody showed a code of a device: whether it counts, which no code ever does a second time.

    `step` is the time step that the code is of, None where it is of none near now. Once a code counted, only
    those of later steps do. While the device pauses after too many wrong codes none counts, not even a right
    one, and none is held against it. Raises MfaDeviceMissing.
    """

    serial: str
    step: int | None
    advances_epoch: ClassVar[bool] = False

    def apply(self, db: Database, now_ms: int) -> bool:
        device = queries.mfa_device(db, self.serial)
        if device is None:
            raise MfaDeviceMissing(serial=self.serial)
        now_ms = min(now_ms, clock.now_ms())  # see times.py: a pause must end, whatever the clock once said
        if 0 <= now_ms - device.failed_ms < pause_ms(device.failures):
            return False
        if self.step is None:
            db.execute(
                "UPDATE mfa_devices SET failures = ?, failed_ms = ? WHERE serial = ?",
                (device.failures + 1, now_ms, self.serial),
            )
            return False
        if self.step <= device.last_step:
            return False
        db.execute(
            "UPDATE mfa_devices SET last_step = ?, failures = 0, failed_ms = 0 WHERE serial = ?",
            (self.step, self.serial),
        )
        return True
