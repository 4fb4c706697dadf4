"""Devices and their codes on the real tables."""

import asyncio
import re
from base64 import b32encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from objstore import clock
from objstore.iam.keys import Issued, UserInvalid
from objstore.iam.mfa import STEP_S, IssuedDevice, MfaDevices, code_of, matching_step
from objstore.iam.principals import account_id
from objstore.iam.sealing import SealBroken, Sealer
from objstore.iam.users import Users
from objstore.meta import queries
from objstore.meta.commands.mfa import FAILURES_FREE, PAUSE_MS
from objstore.model import Bucket, Identity, User
from objstore.s3.errors import AccessDenied, InvalidArgument, NotDeviceOwnerError, TokenCodeInvalidError
from tests.meta.support.sqlite_database import SqliteDatabase

NOW_MS = 1_700_000_000_000
RFC_SECRET = b32encode(b"12345678901234567890").decode()


class Metadata:
    """The client of the metadata, without a ledger."""

    def __init__(self) -> None:
        self.database = SqliteDatabase()

    async def write(self, command: Any) -> Any:
        return self.database.write(command, clock.now_ms())

    async def read(self, query: Callable[..., Any], *args: Any) -> Any:
        return self.database.read(query, *args)


class Scene:
    """Root, and a user who owns a bucket and has a device."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self.advance = advance
        self.metadata = Metadata()
        self.sealer = Sealer.generate()
        self.users = Users(self.metadata, self.sealer)
        self.devices = MfaDevices(self.metadata, self.sealer)
        asyncio.run(self.users.provide_root("ROOT", "root-secret"))
        self.root = asyncio.run(self.users.by_name("root"))
        self.alice = asyncio.run(self.users.add("alice", Issued("ALICE", "alice-secret")))
        self.bucket = Bucket(1, "bucket", self.alice.id, "here", 0)
        self.device = self.add(self.alice)

    def add(self, user: User, name: str | None = None) -> IssuedDevice:
        return asyncio.run(self.devices.add(user, name))

    def code(self, device: IssuedDevice, steps: int = 0) -> str:
        return code_of(device.secret, clock.now_s() // STEP_S + steps)

    def prove(self, header: str, user: User | None = None) -> None:
        asyncio.run(self.devices.prove(identity(user or self.alice), self.bucket, header))

    def show(self, device: IssuedDevice, steps: int = 0, user: User | None = None) -> None:
        self.prove(f"{device.serial} {self.code(device, steps)}", user)


def identity(user: User) -> Identity:
    return Identity(user.id, user.name, user.display_name, "KEY", is_root=user.is_root)


@pytest.fixture
def scene() -> Iterator[Scene]:
    with clock.held(NOW_MS) as advance:
        yield Scene(advance)


@pytest.mark.parametrize(
    ("at_s", "code"),
    [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ],
)
def test_codes_are_those_of_rfc_6238(at_s: int, code: str) -> None:
    """Appendix B, of whose eight digits the last six."""
    assert code_of(RFC_SECRET, at_s // STEP_S) == code
    assert matching_step(RFC_SECRET, code, at_s) == at_s // STEP_S


def test_a_clock_may_be_one_step_off() -> None:
    code = code_of(RFC_SECRET, 1000)
    found = {step: matching_step(RFC_SECRET, code, step * STEP_S) for step in range(998, 1003)}
    assert found == {998: None, 999: 1000, 1000: 1000, 1001: 1000, 1002: None}


def test_a_device_is_issued_as_apps_take_it(scene: Scene) -> None:
    assert scene.device.serial == f"arn:aws:iam::{account_id(scene.alice.id)}:mfa/alice"
    assert re.fullmatch("[A-Z2-7]{32}", scene.device.secret)
    assert scene.device.uri.startswith("otpauth://totp/objstore:alice?")
    assert f"secret={scene.device.secret}&" in scene.device.uri
    assert scene.device.secret not in repr(scene.device)
    assert scene.add(scene.root).serial.endswith(":mfa/root-account-mfa-device")
    assert scene.add(scene.alice, "phone").serial.endswith(":mfa/phone")
    with pytest.raises(UserInvalid, match="device: 'a b' is not allowed"):
        scene.add(scene.alice, "a b")


def test_the_secret_is_sealed_for_its_device(scene: Scene) -> None:
    (row,) = asyncio.run(scene.devices.of(scene.alice))
    assert scene.device.secret.encode() not in row.secret_sealed
    assert scene.sealer.open(row.secret_sealed, row.serial) == scene.device.secret
    with pytest.raises(SealBroken):
        scene.sealer.open(row.secret_sealed, row.serial + "2")


def test_a_code_counts_once(scene: Scene) -> None:
    scene.show(scene.device, -1)
    scene.show(scene.device)
    scene.show(scene.device, 1)
    for steps in (-2, -1, 0, 1, 2):
        with pytest.raises(TokenCodeInvalidError):
            scene.show(scene.device, steps)
    scene.advance(STEP_S * 1000)
    scene.show(scene.device, 1)


def test_codes_of_two_devices_count_each(scene: Scene) -> None:
    second = scene.add(scene.alice, "second")
    scene.show(scene.device)
    scene.show(second)


@pytest.mark.parametrize(
    "header", ["", "serial", "serial ", " 123456", "serial  123456", "a b c", "serial\t123456"]
)
def test_what_is_no_serial_number_and_code(scene: Scene, header: str) -> None:
    with pytest.raises(InvalidArgument, match="Mfa header is invalid"):
        scene.prove(header)


@pytest.mark.parametrize("code", ["12345", "1234567", "12345a", "١٢٣٤٥٦", "+12345"])
def test_what_is_no_code_is_not_even_tried(scene: Scene, code: str) -> None:
    with pytest.raises(TokenCodeInvalidError):
        scene.prove(f"{scene.device.serial} {code}")
    assert asyncio.run(scene.devices.of(scene.alice))[0].failures == 0


def test_a_device_is_its_users_alone(scene: Scene) -> None:
    of_root = scene.add(scene.root)
    for header in (f"{of_root.serial} {scene.code(of_root)}", "20899872 301749"):
        with pytest.raises(NotDeviceOwnerError):
            scene.prove(header)
    with pytest.raises(NotDeviceOwnerError):
        scene.show(scene.device, user=scene.root)
    scene.show(of_root, user=scene.root)  # who counts as every bucket's owner


def test_nobody_but_the_owner_proves_anything_and_no_code_is_lost(scene: Scene) -> None:
    bob = asyncio.run(scene.users.add("bob", Issued("BOB", "bob-secret")))
    of_bob = scene.add(bob)
    for device in (of_bob, scene.device):
        with pytest.raises(AccessDenied, match="only be performed by the bucket owner"):
            scene.show(device, user=bob)
    scene.show(scene.device)


def test_guessing_makes_the_device_pause(scene: Scene) -> None:
    near = {scene.code(scene.device, steps) for steps in range(-1, 2)}
    wrong = next(code for code in map("{:06}".format, range(10)) if code not in near)
    for _ in range(FAILURES_FREE):
        with pytest.raises(TokenCodeInvalidError):
            scene.prove(f"{scene.device.serial} {wrong}")
    with pytest.raises(TokenCodeInvalidError):
        scene.show(scene.device)
    scene.advance(PAUSE_MS)
    scene.show(scene.device)


def test_a_removed_device_proves_nothing(scene: Scene) -> None:
    asyncio.run(scene.devices.remove(scene.device.serial))
    with pytest.raises(NotDeviceOwnerError):
        scene.show(scene.device)
    assert scene.metadata.database.read(queries.mfa_devices_of, scene.alice.id) == []
