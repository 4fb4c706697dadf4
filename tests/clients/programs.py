"""Real client programs, configured as their own documentation says: endpoint and keys, no quirk flags."""

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.server import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

TIMEOUT_S = 300
AWKWARD_NAMES = (
    "plain.txt",
    "with space.txt",
    "plus+plus.txt",
    "percent%41.txt",
    "hash#question?.txt",
    "ampersand&equals=.txt",
    "quote'double\".txt",
    "unicode-ü-日本語-😀.txt",
    "dots..txt",
    "tilde~.txt",
    "semi;colon:at@comma,.txt",
    "brackets[]{}().txt",
    "deep/er/than/that/leaf.bin",
    "deep/er.txt",
    "empty",
)


def program(name: str) -> str:
    """The path of a client program; the test is skipped, loudly, where it is not installed."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        message = f"{name} IS NOT INSTALLED: install it (Debian: apt-get install {name}) to run this test"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


class Client:
    """Runs one program with a home directory of its own, so that nothing of the machine's leaks in."""

    def __init__(self, name: str, home: Path, environment: dict[str, str]) -> None:
        self.path = program(name)
        home.mkdir(parents=True, exist_ok=True)
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", **environment}

    def __call__(self, *arguments: str | Path, fails: bool = False, stdin: bytes | None = None) -> str:
        """Run with `arguments`; its output. It must succeed, or with `fails` must not."""
        finished = subprocess.run(
            [self.path, *map(str, arguments)],
            env=self.environment,
            input=stdin,
            timeout=TIMEOUT_S,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        text = finished.stdout.decode(errors="replace")
        assert bool(finished.returncode) == fails, (
            f"{self.path} {arguments} exited {finished.returncode}:\n{text}"
        )
        return text


def aws_cli(server: Server, home: Path) -> Client:
    """aws cli through its environment variables alone."""
    return Client(
        "aws",
        home,
        {
            "AWS_ACCESS_KEY_ID": ROOT_ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": server.endpoint,
        },
    )


def awkward_tree(root: Path, random_source: random.Random, extra_bytes: int = 0) -> Path:
    """A directory of files whose names clients get wrong, with seeded contents."""
    for name in AWKWARD_NAMES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            b"" if name == "empty" else random_source.randbytes(random_source.randrange(1, 40_000))
        )
    if extra_bytes:
        (root / "large.bin").write_bytes(random_source.randbytes(extra_bytes))
    # S3 tells times in whole seconds: a file that is written in the second of its upload seems newer.
    an_hour_ago = time.time() - 3600
    for path in root.rglob("*"):
        os.utime(path, (an_hour_ago, an_hour_ago))
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Relative path → bytes of every file below `root`."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
