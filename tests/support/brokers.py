"""Real brokers on the loopback interface: started, killed and started again on the same port and data."""

import asyncio
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

import pytest

from tests.support.server import free_port

START_S: Final = 60.0
POSTGRES_BIN: Final = "/usr/lib/postgresql/*/bin"
RABBITMQ: Final = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
KAFKA_JARS: Final = Path(os.environ.get("OBJSTORE_TEST_KAFKA", ".venv/kafka")).absolute()
"""Kafka's jars and what they need; `.ci/run` fetches them."""


class Broker:
    """One broker. Subclasses say what to run; `url` is what a target is given."""

    program: ClassVar[str]

    def __init__(self) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"objstore-{type(self).__name__.lower()}-"))
        self.process: subprocess.Popen[bytes] | None = None

    def skip_unless_installed(self) -> None:
        if self.find() is None:
            shutil.rmtree(self.directory, ignore_errors=True)
            pytest.skip(f"NOT TESTED: {self.program} is not installed")

    def find(self) -> str | None:
        own = Path(sys.executable).parent / self.program
        return (
            str(own) if own.exists() else shutil.which(self.program, path=f"{os.environ['PATH']}:/usr/sbin")
        )

    def prepare(self) -> None:
        """Once, before the first start."""

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def user(self) -> str | None:
        """Who runs it; None: whoever runs the tests."""
        return None

    def url(self, **parameters: str) -> str:
        raise NotImplementedError

    def start(self) -> None:
        assert self.process is None
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self.environment(),
                cwd=self.directory,
                start_new_session=True,
                user=self.user(),
            )
        deadline = time.monotonic() + START_S
        while not self.is_up():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log_tail()
            time.sleep(0.05)

    def is_up(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.process = None
        deadline = time.monotonic() + 10
        while Broker.is_up(self):  # a child of the process we waited for may die a little later
            assert time.monotonic() < deadline, self.log_tail()
            time.sleep(0.02)

    def close(self) -> None:
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log_tail(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-3000:]


class RedisServer(Broker):
    program = "redis-server"

    def command(self) -> Sequence[str]:
        found = self.find()
        assert found
        options = f"--bind 127.0.0.1 --port {self.port} --requirepass s3cret --appendonly yes"
        return [found, *options.split(), "--save", ""]

    def url(self, **parameters: str) -> str:
        return f"redis://:s3cret@127.0.0.1:{self.port}/0?{_query(parameters)}"


class NatsServer(Broker):
    program = "nats-server"

    def command(self) -> Sequence[str]:
        found = self.find()
        assert found
        options = f"-a 127.0.0.1 -p {self.port} -js -sd {self.directory} --user me --pass s3cret"
        return [found, *options.split()]

    def url(self, **parameters: str) -> str:
        return f"nats://me:s3cret@127.0.0.1:{self.port}?{_query(parameters)}"


class Mosquitto(Broker):
    program = "mosquitto"

    def prepare(self) -> None:
        settings = (
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.directory}/\nautosave_interval 1\nautosave_on_changes true\n"
            "user root\n"
        )
        (self.directory / "settings").write_text(settings)

    def command(self) -> Sequence[str]:
        found = self.find()
        assert found
        return [found, "-c", str(self.directory / "settings")]

    def url(self, **parameters: str) -> str:
        return f"mqtt://127.0.0.1:{self.port}?{_query(parameters)}"


class RabbitMq(Broker):
    """Its own epmd, on a port of its own, is ended with it."""

    program = "rabbitmq-server"

    def __init__(self) -> None:
        super().__init__()
        self.epmd_port = free_port()

    def find(self) -> str | None:
        return str(RABBITMQ) if RABBITMQ.exists() else None

    def prepare(self) -> None:
        (self.directory / "plugins").write_text("[].")
        (self.directory / "settings.conf").write_text("")

    def command(self) -> Sequence[str]:
        return [str(RABBITMQ)]

    def environment(self) -> dict[str, str]:
        directory = str(self.directory)
        return {
            "PATH": os.environ["PATH"],
            "HOME": directory,
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"objstore{self.port}@localhost",
            "RABBITMQ_MNESIA_BASE": directory,
            "RABBITMQ_LOG_BASE": directory,
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{directory}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{directory}/settings.conf",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_PID_FILE": f"{directory}/pid",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1 -kernel inet_dist_use_interface {127,0,0,1}",
        }

    def close(self) -> None:
        super().close()
        if (epmd := shutil.which("epmd")) is not None:
            environment = {**os.environ, "ERL_EPMD_PORT": str(self.epmd_port)}
            subprocess.run([epmd, "-kill"], env=environment, capture_output=True, timeout=10, check=False)

    def url(self, **parameters: str) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/?{_query(parameters)}"


class Postgresql(Broker):
    program = "postgres"

    def find(self) -> str | None:
        found = sorted(Path("/").glob(f"{POSTGRES_BIN[1:]}/postgres"))
        return str(found[-1]) if found else None

    def user(self) -> str | None:
        return "postgres" if os.geteuid() == 0 else None  # it refuses to be run by root

    def prepare(self) -> None:
        found, password = self.find(), self.directory / "password"
        assert found
        password.write_text("s3cret")
        if user := self.user():
            account = pwd.getpwnam(user)
            for path in (self.directory, password):
                os.chown(path, account.pw_uid, account.pw_gid)
        initdb = str(Path(found).parent / "initdb")
        options = f"-D {self.directory}/data -U me --pwfile {password} -A scram-sha-256 -E UTF8 --no-sync"
        subprocess.run(
            [initdb, *options.split(), "--locale=C"],
            check=True,
            capture_output=True,
            timeout=60,
            user=self.user(),
            cwd=self.directory,
        )

    def command(self) -> Sequence[str]:
        found = self.find()
        assert found
        options = f"-D {self.directory}/data -p {self.port} -h 127.0.0.1 -k {self.directory} -F"
        return [found, *options.split()]

    def is_up(self) -> bool:
        async def ask() -> None:
            import asyncpg

            connection = await asyncpg.connect(self.url().partition("?")[0], timeout=2)
            await connection.close()

        try:
            asyncio.run(ask())
        except Exception:
            return False
        return True

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGQUIT)  # at once, without leaving shared memory behind
        self.process.wait(10)
        self.process = None

    def url(self, **parameters: str) -> str:
        return f"postgresql://me:s3cret@127.0.0.1:{self.port}/postgres?{_query(parameters)}"


class Kafka(Broker):
    """One node that is broker and controller (KRaft)."""

    program = "java (with Kafka's jars, which .ci/run fetches)"

    def find(self) -> str | None:
        return shutil.which("java") if any(KAFKA_JARS.glob("kafka_*.jar")) else None

    def java(self, main: str, *arguments: str) -> Sequence[str]:
        found = self.find()
        assert found
        options = "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto"
        return [found, *options.split(), "-cp", f"{KAFKA_JARS}/*", main, *arguments]

    def prepare(self) -> None:
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{(controller := free_port())}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": f"{self.directory}/data",
            "num.partitions": "3",
            "broker.session.timeout.ms": "1000",  # how long it does not let itself in after a kill
            "broker.heartbeat.interval.ms": "200",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
        }
        path = self.directory / "settings"
        path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        arguments = ("format", "--config", str(path), "--cluster-id", "MkU3OEVBNTcwNTJENDM2Qk")
        subprocess.run(
            self.java("kafka.tools.StorageTool", *arguments), check=True, capture_output=True, timeout=60
        )

    def command(self) -> Sequence[str]:
        return self.java("kafka.Kafka", str(self.directory / "settings"))

    def is_up(self) -> bool:
        async def ask() -> None:
            from aiokafka.admin import AIOKafkaAdminClient

            admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{self.port}", request_timeout_ms=2000)
            try:
                await admin.start()
                assert (await admin.describe_cluster())["brokers"]
            finally:
                await admin.close()

        try:
            asyncio.run(ask())
        except Exception:
            return False
        return True

    def url(self, **parameters: str) -> str:
        return f"kafka://127.0.0.1:{self.port}?{_query(parameters)}"


def _query(parameters: dict[str, str]) -> str:
    return "&".join(f"{name}={value}" for name, value in parameters.items())
