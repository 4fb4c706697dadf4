"""The kinds of targets, by the scheme of their URL, and the making of those that the settings name."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from objstore.events.targets import Target


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of target: `objstore.events.<name>` has its class `type`."""

    name: str
    """As in ARNs of MinIO's form."""
    type: str
    schemes: tuple[str, ...]
    library: str = ""
    """The client library that it needs besides objstore's own, which the extra `name` brings."""
    loggers: tuple[str, ...] = ()
    """What that writes to the log; left out, since every failure is told of once by who sends."""


KINDS: Final = (
    Kind("webhook", "Webhook", ("http", "https")),
    Kind("redis", "Redis", ("redis", "rediss"), "redis"),
    Kind("nats", "Nats", ("nats", "nats+tls"), "nats-py", ("nats",)),
    Kind("amqp", "Amqp", ("amqp", "amqps"), "aio-pika", ("aio_pika", "aiormq")),
    Kind("mqtt", "Mqtt", ("mqtt", "mqtts"), "aiomqtt", ("mqtt",)),
    Kind("kafka", "Kafka", ("kafka", "kafka+tls"), "aiokafka", ("aiokafka",)),
    Kind("postgresql", "Postgresql", ("postgresql",), "asyncpg", ("asyncpg",)),
)
BY_SCHEME: Final = {scheme: kind for kind in KINDS for scheme in kind.schemes}


class TargetsError(Exception):
    """A target cannot be what the settings say. The message names it and holds no secret."""


def kinds_of(settings: Iterable[str]) -> dict[str, str]:
    """The kind's name of every target, each given as `name=url`, by the target's name."""
    found = (setting.partition("=") for setting in settings)
    return {name: BY_SCHEME[url.partition("://")[0]].name for name, _, url in found}


def make_targets(settings: Iterable[str]) -> dict[str, Target]:
    """The targets by name, each given as `name=url`. None connects before it has an event to send.

    Raises TargetsError where a URL is wrong or the client library is not installed.
    """
    made: dict[str, Target] = {}
    for setting in settings:
        name, _, url = setting.partition("=")
        kind = BY_SCHEME.get(url.partition("://")[0])
        if kind is None:
            raise TargetsError(f"target {name}: the URL must begin with one of {', '.join(BY_SCHEME)}")
        try:
            module = import_module(f"objstore.events.{kind.name}")
        except ModuleNotFoundError as exc:
            if (exc.name or "objstore").startswith("objstore"):
                raise
            raise TargetsError(
                f"target {name} needs the library {kind.library}: pip install 'objstore[{kind.name}]'"
            ) from None
        for logger in kind.loggers:
            logging.getLogger(logger).setLevel(logging.CRITICAL)
        try:
            made[name] = getattr(module, kind.type)(url)
        except ValueError as exc:
            raise TargetsError(f"target {name}: {exc}") from None
    return made
