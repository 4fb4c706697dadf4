"""A user's devices, and codes of them that were not used yet."""

import json
import time

from objstore.iam.mfa import STEP_S, code_of
from tests.support.server import Server

CODES: tuple[str, ...] = tuple(f"{number:06}" for number in range(10))


class Devices:
    """Devices of one user, enough for the codes that tests need at once: each counts once, and of a device
    two at a time are sure to be in time, that of this step and that of the next."""

    def __init__(self, server: Server, user: str, count: int) -> None:
        drives = [f"--drive={drive}" for drive in server.drives]
        self._secrets: dict[str, str] = {}
        for number in range(count):
            name = f"{user}-{number}"
            made = server.run("user", "mfa", "add", user, "--device", name, "--json", *drives)
            device = json.loads(made)
            self._secrets[device["serial"]] = device["secret"]
        *good, self._spoilt = self._secrets  # the one that wrong codes are tried on pauses after some
        self._last_step = dict.fromkeys(good, 0)

    def proof(self) -> str:
        """An x-amz-mfa that nobody sent yet; waits for the next code where all were."""
        while True:
            now = int(time.time()) // STEP_S
            serial = min(self._last_step, key=self._last_step.__getitem__)
            step = max(now, self._last_step[serial] + 1)
            if step <= now + 1:
                self._last_step[serial] = step
                return f"{serial} {code_of(self._secrets[serial], step)}"
            time.sleep(0.5)

    def wrong(self) -> str:
        """One with a code that is none."""
        now = int(time.time()) // STEP_S
        near = {code_of(self._secrets[self._spoilt], now + off) for off in range(-3, 4)}
        return f"{self._spoilt} {next(code for code in CODES if code not in near)}"
