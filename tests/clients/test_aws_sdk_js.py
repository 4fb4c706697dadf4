"""The AWS SDK for JavaScript, version 3: a program of its usual calls (`aws_sdk_js/smoke.mjs`)."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.programs import TIMEOUT_S, program
from tests.support.server import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

pytestmark = pytest.mark.clients

SOURCE = Path(__file__).parent / "aws_sdk_js"


@pytest.fixture(scope="module")
def sdk() -> Path:
    """A directory with the program and the packages its lock file names, installed once for each."""
    npm, lock = program("npm"), (SOURCE / "package-lock.json").read_bytes()
    installed = Path(sys.prefix) / "clients-js" / hashlib.sha256(lock).hexdigest()[:16]
    if not (installed / "complete").exists():
        shutil.rmtree(installed, ignore_errors=True)
        installed.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCE / name, installed)
        quiet = ("--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
        finished = subprocess.run(
            [npm, "ci", *quiet], cwd=installed, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        if finished.returncode:
            message = f"npm COULD NOT INSTALL the AWS SDK for JavaScript: {finished.stderr[-2000:]}"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        (installed / "complete").touch()
    shutil.copy(SOURCE / "smoke.mjs", installed)
    return installed


def test_its_usual_calls(server: Server, sdk: Path, bucket_name: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "SMOKE_ENDPOINT": server.endpoint,
        "SMOKE_REGION": REGION,
        "SMOKE_BUCKET": bucket_name,
        "SMOKE_ACCESS_KEY": ROOT_ACCESS_KEY,
        "SMOKE_SECRET_KEY": ROOT_SECRET_KEY,
    }
    finished = subprocess.run(
        [program("node"), "smoke.mjs"],
        cwd=sdk,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    steps = (SOURCE / "smoke.mjs").read_text().count('  async "')
    assert finished.stdout.count("done: ") == steps
