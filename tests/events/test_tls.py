"""Targets over TLS: the broker's certificate must be one that is trusted; others are told no password."""

import asyncio
import gc
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from objstore.events.kinds import make_targets
from objstore.events.targets import Message, TargetError
from tests.support.brokers import Broker, Mosquitto, NatsServer, Postgresql, RabbitMq, RedisServer
from tests.support.certificates import certificate

MESSAGE = Message(b'{"Event":"s3:TestEvent"}', "bucket/key", "1")


class Secure(Broker):
    """A broker that speaks TLS only, with a certificate of its own making."""

    certificate: Path
    key: Path

    def prepare(self) -> None:
        self.certificate, self.key = certificate(self.directory, "broker")
        super().prepare()


class SecureRedis(Secure, RedisServer):
    def command(self) -> Sequence[str]:
        found = self.find()
        assert found
        return [
            found,
            *f"--bind 127.0.0.1 --port 0 --tls-port {self.port} --tls-auth-clients no".split(),
            *["--requirepass", "s3cret"],
            *f"--tls-cert-file {self.certificate} --tls-key-file {self.key}".split(),
            *f"--tls-ca-cert-file {self.certificate}".split(),
        ]

    def url(self, **parameters: str) -> str:
        return super().url(list="events", **parameters).replace("redis:", "rediss:")


class SecureNats(Secure, NatsServer):
    def command(self) -> Sequence[str]:
        return [*super().command(), "--tls", "--tlscert", str(self.certificate), "--tlskey", str(self.key)]

    def url(self, **parameters: str) -> str:
        return super().url(subject="s3.events", **parameters).replace("nats:", "nats+tls:")


class SecureMosquitto(Secure, Mosquitto):
    def prepare(self) -> None:
        super().prepare()
        with (self.directory / "settings").open("a") as file:
            file.write(f"certfile {self.certificate}\nkeyfile {self.key}\n")

    def url(self, **parameters: str) -> str:
        return super().url(topic="s3", **parameters).replace("mqtt:", "mqtts:")


class SecureRabbitMq(Secure, RabbitMq):
    def prepare(self) -> None:
        super().prepare()
        (self.directory / "settings.conf").write_text(
            f"listeners.tcp = none\nlisteners.ssl.default = 127.0.0.1:{self.port}\n"
            f"ssl_options.cacertfile = {self.certificate}\nssl_options.certfile = {self.certificate}\n"
            f"ssl_options.keyfile = {self.key}\nssl_options.verify = verify_none\n"
        )

    def environment(self) -> dict[str, str]:
        given = super().environment()
        del given["RABBITMQ_NODE_PORT"], given["RABBITMQ_NODE_IP_ADDRESS"]
        return given

    def url(self, **parameters: str) -> str:
        return super().url(routing_key="nobody", **parameters).replace("amqp:", "amqps:")


class SecurePostgresql(Secure, Postgresql):
    def prepare(self) -> None:
        super().prepare()
        self.key.chmod(0o600)
        if user := self.user():
            shutil.chown(self.key, user)

    def command(self) -> Sequence[str]:
        options = f"-c ssl=on -c ssl_cert_file={self.certificate} -c ssl_key_file={self.key}"
        return [*super().command(), *options.split()]

    def url(self, **parameters: str) -> str:
        if not parameters:
            return super().url()
        return super().url(table="s3", sslmode="verify-full", sslrootcert=parameters["ca"])


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> Iterator[Secure]:
    made: Secure = request.param()
    made.skip_unless_installed()
    try:
        made.prepare()
        made.start()
        yield made
    finally:
        made.close()


async def send(url: str) -> None:
    (target,) = make_targets([f"x={url}"]).values()
    try:
        await target.send(MESSAGE)
    finally:
        await target.close()


@pytest.mark.parametrize("broker", [SecureRedis, SecureMosquitto, SecurePostgresql], indirect=True)
def test_a_broker_whose_certificate_is_trusted_takes_events(broker: Secure) -> None:
    asyncio.run(send(broker.url(ca=str(broker.certificate))))


@pytest.mark.parametrize(
    ("broker", "reason"),
    [(SecureNats, "NoStreamResponseError"), (SecureRabbitMq, "NO_ROUTE")],
    indirect=["broker"],
)
def test_a_broker_that_has_no_place_for_an_event_does_not_take_it(broker: Secure, reason: str) -> None:
    with pytest.raises(TargetError, match=reason):  # said over TLS, by the broker itself
        asyncio.run(send(broker.url(ca=str(broker.certificate))))


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # paho leaves it to the collector
@pytest.mark.parametrize(
    "broker", [SecureRedis, SecureNats, SecureMosquitto, SecureRabbitMq, SecurePostgresql], indirect=True
)
def test_a_broker_whose_certificate_is_not_trusted_is_told_nothing(broker: Secure, tmp_path: Path) -> None:
    stranger, _ = certificate(tmp_path, "stranger")
    with pytest.raises(TargetError) as failed:
        asyncio.run(send(broker.url(ca=str(stranger))))
    assert "certificate" in str(failed.value).lower() or "ssl" in str(failed.value).lower()
    gc.collect()
