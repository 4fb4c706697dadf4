"""A real objstore server as a subprocess: started, killed and restarted the way an operator would."""

import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ROOT_ACCESS_KEY = "TESTROOTACCESSKEY001"
ROOT_SECRET_KEY = "test-root-secret-key-0123456789abcdef"
REGION = "us-east-1"
START_TIMEOUT_S = 60.0


# Below the ports that Linux gives to outgoing connections: no client takes that of a server that is stopped.
PORTS = range(12_000, 32_000)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listened on a moment ago, by chance another each time:
    several test processes run side by side, and servers that listen with SO_REUSEPORT would share one."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Server:
    """One server over `drives`; `start`/`stop`/`kill` may alternate, the port stays the same."""

    def __init__(
        self,
        directory: Path,
        *,
        drive_count: int = 6,
        workers: int = 2,
        options: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        """`tls`: certificate and key; with them the server speaks HTTPS."""
        self.directory = directory
        self.drives = [directory / f"d{number}" for number in range(1, drive_count + 1)]
        for drive in self.drives:
            drive.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.workers = workers
        self.options = list(options)
        self.environment = environment or {}
        self.certificate = None if tls is None else tls[0]
        if tls is not None:
            files = {"OBJSTORE_TLS_CERTIFICATE": str(tls[0]), "OBJSTORE_TLS_KEY": str(tls[1])}
            self.environment = {**self.environment, **files}
        self.log_path = directory / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        scheme = "http" if self.certificate is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "objstore", *arguments]

    def full_environment(self) -> dict[str, str]:
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OBJSTORE_"))
        }
        return {
            **clean,
            "OBJSTORE_ROOT_ACCESS_KEY": ROOT_ACCESS_KEY,
            "OBJSTORE_ROOT_SECRET_KEY": ROOT_SECRET_KEY,
            "XDG_STATE_HOME": str(self.directory / "state"),
            **self.environment,
        }

    def spawn(self) -> None:
        """Start the process without waiting for it to serve."""
        assert self.process is None
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(
                    "serve",
                    *map(str, self.drives),
                    "--address",
                    "127.0.0.1",
                    "--port",
                    str(self.port),
                    "--workers",
                    str(self.workers),
                    *self.options,
                ),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self.full_environment(),
                cwd=self.directory,
                start_new_session=True,
            )

    def start(self) -> "Server":
        """Start and wait until it is ready; a server that dies or hangs fails with the end of its log."""
        self.spawn()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()  # nobody else will: the caller has no running server in hand
            raise
        return self

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self.process is not None
            if self.process.poll() is not None:
                raise AssertionError(f"server exited with {self.process.returncode}:\n{self.log_tail()}")
            if self.is_ready():
                return
            time.sleep(0.05)
        raise AssertionError(f"server not ready after {timeout_s} s:\n{self.log_tail()}")

    def is_ready(self) -> bool:
        context = None if self.certificate is None else ssl.create_default_context(cafile=self.certificate)
        try:
            with urllib.request.urlopen(
                f"{self.endpoint}/health/ready", timeout=2, context=context
            ) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self, timeout_s: float = 30.0) -> int:
        """SIGTERM, wait, the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout_s)
        finally:
            if self.process.poll() is None:
                self.kill()
            self.process = None

    def kill(self) -> None:
        """SIGKILL to the supervisor and every one of its processes, as `kill -9` of the group does."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None

    def children(self) -> dict[str, list[int]]:
        """Process ids of the running children by role: ledger, worker, jobs."""
        assert self.process is not None
        found: dict[str, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except (OSError, IndexError, ValueError):
                continue
            if parent != self.process.pid:
                continue
            for role in (b"_ledger", b"_worker", b"_jobs"):
                if role in command:
                    found.setdefault(role[1:].decode(), []).append(int(entry.name))
        return found

    def log_tail(self, characters: int = 4000) -> str:
        return self.log_path.read_text(errors="replace")[-characters:] if self.log_path.exists() else ""

    def client(
        self, access_key: str = ROOT_ACCESS_KEY, secret_key: str = ROOT_SECRET_KEY, **config: Any
    ) -> Any:
        """A boto3 S3 client for this server, as a user would make one: nothing but endpoint and keys."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            verify=None if self.certificate is None else str(self.certificate),
            config=Config(retries={"max_attempts": 1}, **config),
        )

    def run(self, *arguments: str, check: bool = True) -> str:
        """Run one `objstore` command against this server's drives; its standard output."""
        finished = subprocess.run(
            self.command(*arguments),
            env=self.full_environment(),
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if check and finished.returncode:
            raise AssertionError(f"objstore {arguments} exited {finished.returncode}: {finished.stderr}")
        return finished.stdout

    def make_user(self, name: str) -> dict[str, Any]:
        """A further user with a key: the JSON of `objstore user add`."""
        made: dict[str, Any] = json.loads(
            self.run("user", "add", name, "--json", *(f"--drive={drive}" for drive in self.drives))
        )
        return made
