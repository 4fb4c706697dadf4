"""Devices that show one-time codes, and what a request proves with one: x-amz-mfa.

The codes are those of RFC 6238 as every authenticator app makes them: SHA-1, six digits, one each 30
seconds. A device's clock may be one step off to either side.
"""

import os
import re
from base64 import b32decode, b32encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from objstore import clock
from objstore.iam.authorise import owns
from objstore.iam.keys import UserInvalid
from objstore.iam.principals import account_id
from objstore.iam.sealing import Sealer
from objstore.meta import commands, queries
from objstore.meta.interface import MfaDeviceMissing
from objstore.model import Bucket, Identity, MfaDevice, User
from objstore.s3.errors import AccessDenied, InvalidArgument, NotDeviceOwnerError, TokenCodeInvalidError

HEADER: Final = "x-amz-mfa"
STEP_S: Final = 30
DIGITS: Final = 6
STEPS_OFF: Final = 1
"""How many steps the clocks of device and server may differ, to either side."""
SECRET_BYTES: Final = 20
"""What RFC 4226 section 4 recommends."""
ISSUER: Final = "objstore"
_HASH: Final = SHA1()  # noqa: S303 - what apps take for granted; in HMAC its collisions do no harm
ROOT_DEVICE: Final = "root-account-mfa-device"
"""What AWS calls the device of an account's root user."""

_PROOF: Final = re.compile(r"(\S+) (\S+)")
_CODE: Final = re.compile(rf"[0-9]{{{DIGITS}}}")
_DEVICE_NAME: Final = re.compile(r"[A-Za-z0-9+=,.@_-]{1,128}")


class MetadataClient(Protocol):
    """The part of `meta.client.Metadata` that is used here."""

    async def write(self, command: Any) -> Any:
        """Have a command decided and committed; its result."""
        ...

    async def read(self, query: Callable[..., Any], *args: Any) -> Any:
        """What a query finds."""
        ...


@dataclass(frozen=True, slots=True)
class IssuedDevice:
    """A new device with its secret, which is shown this once."""

    serial: str
    secret: str = field(repr=False)
    """Base32, as an app takes it typed in."""
    uri: str = field(repr=False)
    """The same as an app takes it from a QR code (otpauth://totp/…)."""


class MfaDevices:
    """The devices of all users. Secrets are sealed before they leave the process."""

    def __init__(self, metadata: MetadataClient, sealer: Sealer) -> None:
        self._metadata = metadata
        self._sealer = sealer

    async def add(self, user: User, name: str | None = None) -> IssuedDevice:
        """A new device of a user, called `name`, or as the user is.

        Raises UserInvalid (the name), MfaDeviceExists, TooManyMfaDevices.
        """
        if name is None:
            name = ROOT_DEVICE if user.is_root else user.name
        if not _DEVICE_NAME.fullmatch(name):
            raise UserInvalid(
                f"device: {name!r} is not allowed; 1 to 128 letters, digits and +=,.@_- are allowed"
            )
        key = os.urandom(SECRET_BYTES)
        serial, secret = f"arn:aws:iam::{account_id(user.id)}:mfa/{name}", b32encode(key).decode()
        await self._metadata.write(commands.AddMfaDevice(serial, user.id, self._sealer.seal(secret, serial)))
        uri = TOTP(key, DIGITS, _HASH, STEP_S).get_provisioning_uri(user.name, ISSUER)
        return IssuedDevice(serial, secret, uri)

    async def of(self, user: User) -> Sequence[MfaDevice]:
        """A user's devices, by serial number."""
        devices: Sequence[MfaDevice] = await self._metadata.read(queries.mfa_devices_of, user.id)
        return devices

    async def remove(self, serial: str) -> None:
        """Remove a device. Raises MfaDeviceMissing."""
        await self._metadata.write(commands.RemoveMfaDevice(serial))

    async def prove(self, identity: Identity, bucket: Bucket, header: str) -> None:
        """Make sure that `header` is the code of a device of the sender's, who must be the bucket's owner.

        The code is used up when this returns. Raises InvalidArgument (no serial number and code),
        AccessDenied (not the owner), NotDeviceOwnerError, TokenCodeInvalidError (wrong, used before, or too
        many were wrong: see `commands.UseMfaCode`); SealBroken, MetadataError.
        """
        proof = _PROOF.fullmatch(header)
        if proof is None:
            raise InvalidArgument(
                "Mfa header is invalid -- the header should be formatted as {serialNumber}(space){tokenCode}",
                ArgumentName=HEADER,
                ArgumentValue=ascii(header)[1:-1],
            )
        if not owns(identity, bucket):
            raise AccessDenied("This operation may only be performed by the bucket owner")
        serial, code = proof.groups()
        device: MfaDevice | None = await self._metadata.read(queries.mfa_device, serial)
        if device is None or device.user_id != identity.user_id:
            raise _not_owned(serial, code)
        if not _CODE.fullmatch(code):
            raise TokenCodeInvalidError
        step = matching_step(self._sealer.open(device.secret_sealed, serial), code, clock.now_s())
        try:
            counts = await self._metadata.write(commands.UseMfaCode(serial, step))
        except MfaDeviceMissing as exc:
            raise _not_owned(serial, code) from exc
        if not counts:
            raise TokenCodeInvalidError


def code_of(secret: str, step: int) -> str:
    """The code of a device with this secret (base32) in a time step."""
    return HOTP(b32decode(secret), DIGITS, _HASH).generate(step).decode()


def matching_step(secret: str, code: str, now_s: int) -> int | None:
    """The time step near now that a code is of; None if there is none. Takes as long for every code."""
    now = now_s // STEP_S
    found = None
    for step in range(max(0, now - STEPS_OFF), now + STEPS_OFF + 1):
        if compare_digest(code_of(secret, step), code):
            found = step
    return found


def _not_owned(serial: str, code: str) -> NotDeviceOwnerError:
    return NotDeviceOwnerError(
        f"The device with serial number {ascii(serial)[1:-1]} that generated token {ascii(code)[1:-1]} is "
        "not owned by the authenticated user"
    )
