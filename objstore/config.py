"""Every setting: its type, default, unit and one sentence. Read once at start and passed down.

One name everywhere: `chunk_bytes` in the file is OBJSTORE_CHUNK_BYTES in the environment and
--chunk-bytes on the command line; a flag wins over the environment, the environment over the file,
the file over the default. Names nobody knows are refused, in the file and in the environment alike.

`config/objstore.toml` and the table in `docs/configuration.md` are written by `as_toml` and
`as_markdown` below; a test fails when they are stale.
"""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

KIB: Final = 1024
MIB: Final = 1024 * KIB
ENVIRONMENT_PREFIX: Final = "OBJSTORE_"
CONFIG_VARIABLE: Final = "OBJSTORE_CONFIG"
DEFAULT_DRIVES: Final = 6
"""How many drive directories a single data directory is divided into."""

_NOT_SETTINGS: Final = re.compile(
    r"OBJSTORE_(CONFIG|PROCESS_ROLE|SERVICE_\w*|PORT_\w*)=.*|OBJSTORE_PORT=tcp:.*", re.DOTALL
)
"""Variables with our prefix that are none of our settings; the last ones are set by Kubernetes in every
container that can see a service called `objstore`."""


ACCESS_KEY_PATTERN: Final = re.compile(r"[A-Za-z0-9._-]{3,128}")
ACCESS_KEY_RULE: Final = "3 to 128 letters, digits, dots, underscores and hyphens are allowed"
SECRET_LENGTH_MIN: Final = 8
SECRETS: Final = frozenset({"root_secret_key", "metrics_token", "remotes", "targets"})
"""Settings that are no flags: everyone on the machine can read command lines."""


class ConfigError(Exception):
    """A setting is wrong; the message names it, its value, and what is allowed."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """k data and m parity shards: any k of the k + m bring the bytes back, any m drives may be lost."""

    data_shards: int
    parity_shards: int

    @property
    def total_shards(self) -> int:
        """n = k + m."""
        return self.data_shards + self.parity_shards

    @classmethod
    def parse(cls, value: object) -> Self:
        """From "4+2"."""
        if isinstance(value, cls):
            return value
        match = re.fullmatch(r"\s*(\d{1,3})\s*\+\s*(\d{1,3})\s*", value) if isinstance(value, str) else None
        if match is None:
            raise ValueError('must be k+m, for instance "4+2" for 4 data and 2 parity shards')
        erasure = cls(int(match[1]), int(match[2]))
        if erasure.data_shards < 1 or erasure.total_shards > 255:
            raise ValueError("k must be at least 1 and k + m at most 255")
        return erasure

    def __str__(self) -> str:
        return f"{self.data_shards}+{self.parity_shards}"


def _several(value: object) -> object:
    """A list may be written as one text with commas, which is all an environment variable can hold."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _absolute(path: Path) -> Path:
    return Path.cwd() / path.expanduser()  # not resolve(): a symbolic link to a drive keeps its name


def _region(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9-]{1,63}", value):
        raise ValueError("must be 1 to 63 lower-case letters, digits and hyphens")
    return value


def _key_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{0,128}", value):
        raise ValueError("must be up to 128 letters, digits, dots, underscores and hyphens")
    return value


def _domain(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", value):
        raise ValueError("must be a host name in lower case, without scheme and port")
    return value


def _server(value: str) -> str:
    try:
        url = urlsplit(value)
        is_server = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        is_server = (
            is_server and "@" not in url.netloc and url.path in ("", "/") and not url.query + url.fragment
        )
    except ValueError:
        is_server = False
    if not is_server:
        raise ValueError("the URL must be http:// or https:// with a host and perhaps a port, and no more")
    return value.rstrip("/")


TIERED_CLASSES: Final = (
    "STANDARD_IA",
    "INTELLIGENT_TIERING",
    "ONEZONE_IA",
    "GLACIER_IR",
    "GLACIER",
    "DEEP_ARCHIVE",
)
TIER_PREFIX_BYTES_MAX: Final = 512


def _tier(value: str) -> str:
    match = re.fullmatch(r"([A-Z_]+)=([A-Za-z0-9_-]{1,64})/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(/.*)?", value)
    if match is None:
        raise ValueError("must be CLASS=remote/bucket or CLASS=remote/bucket/prefix")
    if match[1] not in TIERED_CLASSES:
        raise ValueError(f"the class must be one of {', '.join(TIERED_CLASSES)}")
    if len((match[4] or "").encode()) > TIER_PREFIX_BYTES_MAX:
        raise ValueError(f"the prefix must be at most {TIER_PREFIX_BYTES_MAX} bytes long")
    return value


class Remote(BaseModel):
    """Another S3 server, as the settings name it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")
    url: Annotated[str, AfterValidator(_server)]
    region: Annotated[str, AfterValidator(_region)] = "us-east-1"
    access_key: str = Field(min_length=1)
    secret_key: SecretStr = Field(min_length=1)
    users: tuple[str, ...] = ()
    """Who may have buckets replicated there, besides root; "*" is everyone."""


def _remotes(value: object) -> object:
    """An environment variable has them as a JSON array."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError("must be a JSON array of objects") from None


def _named_once(remotes: tuple[Remote, ...]) -> tuple[Remote, ...]:
    if len({remote.name for remote in remotes}) < len(remotes):
        raise ValueError("each must have a name of its own")
    return remotes


_TARGET: Final = re.compile(r"([A-Za-z0-9_-]{1,64})=[a-z+]+://.+", re.DOTALL)


def _target(value: SecretStr) -> SecretStr:
    if _TARGET.fullmatch(value.get_secret_value()) is None:
        raise ValueError(
            "must be name=scheme://…, the name of up to 64 letters, digits, hyphens and underscores"
        )
    return value


def _several_targets(value: object) -> object:
    """Like `_several`; a comma within a URL does not part it."""
    return (
        re.split(r"\s*,\s*(?=[A-Za-z0-9_-]{1,64}=[a-z+]+://)", value.strip())
        if isinstance(value, str)
        else value
    )


AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Paths = Annotated[tuple[AbsolutePath, ...], NoDecode, BeforeValidator(_several)]
ErasureField = Annotated[Erasure, NoDecode, BeforeValidator(Erasure.parse), PlainSerializer(str)]
Region = Annotated[str, AfterValidator(_region)]
KeyName = Annotated[str, AfterValidator(_key_name)]
Regions = Annotated[tuple[Region, ...], NoDecode, BeforeValidator(_several)]
Domains = Annotated[tuple[Annotated[str, AfterValidator(_domain)], ...], NoDecode, BeforeValidator(_several)]


Targets = Annotated[
    tuple[Annotated[SecretStr, AfterValidator(_target)], ...], NoDecode, BeforeValidator(_several_targets)
]
Tiers = Annotated[tuple[Annotated[str, AfterValidator(_tier)], ...], NoDecode, BeforeValidator(_several)]
Remotes = Annotated[tuple[Remote, ...], NoDecode, BeforeValidator(_remotes), AfterValidator(_named_once)]


def _setting(default: Any, sentence: str, *, unit: str = "", example: str = "", **limits: Any) -> Any:
    """One row of the table below. `example` stands in the file where there is no default."""
    return Field(
        default,
        description=sentence,
        json_schema_extra={"unit": unit, "example": example},
        validate_default=True,
        **limits,
    )


class Config(BaseSettings):
    """The settings of one server. Frozen; secrets do not show in its repr."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, arbitrary_types_allowed=True
    )
    sections: ClassVar[dict[str, str]] = {
        "drives": "Bytes: drives, coding, index",
        "address": "The S3 door",
        "region": "Names",
        "default_encryption": "Encryption",
        "root_access_key": "Credentials",
        "garbage_grace_s": "The night shift",
        "log_level": "Log",
    }
    """The field that opens a section of the file, and the section's title."""

    drives: Paths = _setting(
        ("data",),
        "Directories that hold the bytes, best one per disk; a single one is divided into 6, d1 to d6.",
        min_length=1,
    )
    erasure: ErasureField = _setting(
        "4+2",
        "Data and parity shards of new blobs, k+m: any m drives may be lost; k+m drives are needed.",
        unit="k+m",
    )
    chunk_bytes: ByteSize = _setting(
        "8 MiB", "How much of a large object is coded at once.", unit="bytes", ge=64 * KIB, le=64 * MIB
    )
    reserve_bytes: ByteSize = _setting(
        "256 MiB",
        "Space left free on every drive, so that deletes, repairs and the journal work on a full one.",
        unit="bytes",
        ge=1 * MIB,
    )
    index_directory: AbsolutePath | None = _setting(
        None,
        "Directory for the metadata index on a faster disk; without it, it lies on a drive.",
        example="/mnt/nvme/objstore",
    )

    state_directory: AbsolutePath | None = _setting(
        None,
        "Directory where a start notes what it serves, so that drives that are all missing are not taken for "
        "new ones; without it, systemd's or the user's state directory.",
        example="/var/lib/objstore",
    )
    may_create: bool = _setting(
        True,
        "Make a new deployment where all drives are empty; off, a start without its drives is refused.",
    )

    address: str = _setting(
        "127.0.0.1",
        "Address the S3 door listens on; 0.0.0.0 is every IPv4 address of the machine, :: IPv6 as well.",
        min_length=1,
    )
    port: int = _setting(9000, "Port of the S3 door; 0 lets the system choose one.", ge=0, le=65535)
    workers: int = _setting(
        0, "Processes that answer requests; 0: one per CPU.", unit="processes", ge=0, le=128
    )
    tls_certificate: AbsolutePath | None = _setting(
        None,
        "Certificate chain in PEM; with it the door speaks HTTPS. Read again on SIGHUP.",
        example="/etc/objstore/tls.crt",
    )
    tls_key: AbsolutePath | None = _setting(
        None,
        "Private key of the certificate in PEM, readable by the server only.",
        example="/etc/objstore/tls.key",
    )
    connections_max: int = _setting(
        4096, "Open client connections per worker; further ones wait.", unit="connections", ge=1, le=1_000_000
    )
    memory_budget_bytes: ByteSize = _setting(
        "96 MiB",
        "Body bytes a worker holds at once; past it, it stops reading from clients until some are stored.",
        unit="bytes",
        ge=16 * MIB,
    )
    idle_timeout_s: float = _setting(
        75.0, "A connection without a request is closed after this long.", unit="seconds", gt=0
    )
    stall_timeout_s: float = _setting(
        60.0,
        "A request is broken off when its client sends or takes nothing for this long.",
        unit="seconds",
        gt=0,
    )
    drain_s: float = _setting(
        30.0,
        "How long requests under way may still take when the server stops.",
        unit="seconds",
        ge=0,
        le=3600,
    )

    region: Region = _setting("us-east-1", "The region this server is; clients sign their requests for it.")
    other_regions: Regions = _setting(
        (),
        "Further regions accepted in signatures and as a bucket's location; us-east-1 always is.",
        example='["eu-west-1"]',
    )
    domains: Domains = _setting(
        (),
        "Domains under which a bucket is a host name, as in bucket.s3.example.org.",
        example='["s3.example.org"]',
    )
    website_domains: Domains = _setting(
        (),
        "Domains under which buckets are websites, as in bucket.s3-website.example.org.",
        example='["s3-website.example.org"]',
    )
    buckets_max: int = _setting(10_000, "Buckets one user may own.", unit="buckets", ge=1, le=1_000_000)

    select_concurrency: int = _setting(
        2,
        "Queries (SelectObjectContent) a worker runs at once, each in a process of its own; 0: none.",
        unit="queries",
        ge=0,
        le=64,
    )
    select_memory_bytes: ByteSize = _setting(
        "256 MiB", "Data one query may hold in memory.", unit="bytes", ge=64 * MIB, le=65_536 * MIB
    )
    select_time_s: float = _setting(300.0, "How long one query may take.", unit="seconds", ge=1, le=86_400)

    new_buckets: Literal["blocked", "acls"] = _setting(
        "blocked",
        "What a new bucket gets: ACLs off and public access blocked, as on AWS today; or ACLs on and "
        "nothing blocked.",
    )
    display_names: bool = _setting(
        False, "Show a DisplayName in Owner and Grantee, as AWS did until November 2025."
    )

    default_encryption: Literal["none", "AES256"] = _setting(
        "none",
        "What buckets without an encryption configuration of their own do: nothing, or SSE-S3 as on AWS.",
    )
    sse_c_blocked: bool = _setting(
        False, "Refuse SSE-C in buckets whose configuration does not allow it, as AWS does since April 2026."
    )
    sse_c_over_http: bool = _setting(
        False, "Take the keys of SSE-C over plain HTTP, too: for tests, and behind a proxy that ends TLS."
    )
    kms: Literal["local", "vault"] = _setting(
        "local", "Who keeps the keys of SSE-KMS for new objects: the server's own keyring, or Vault."
    )
    vault_address: str | None = _setting(
        None, "URL of a HashiCorp Vault.", example="https://vault.example.org:8200"
    )
    vault_mount: str = _setting("transit", "Where in Vault the transit engine is mounted.", min_length=1)
    vault_token_file: AbsolutePath | None = _setting(
        None, "File with the token for Vault, read again when it changes.", example="/run/vault/token"
    )
    vault_ca_file: AbsolutePath | None = _setting(
        None,
        "Certificate authorities in PEM that Vault's certificate is checked with; without it, the system's.",
        example="/etc/objstore/vault-ca.crt",
    )
    kms_default_key: KeyName = _setting(
        "default",
        "The KMS key of SSE-KMS where none is named, `alias/aws/s3` to clients; empty: one must be named.",
    )

    root_access_key: str | None = _setting(
        None, "Access key of the root user; without it one is generated at the first start.", example="AKROOT"
    )
    root_secret_key: SecretStr | None = _setting(
        None,
        "Secret key of the root user, 8 characters or more; never on the command line.",
        example="(a long random text)",
    )
    key_file: AbsolutePath | None = _setting(
        None,
        "File with the key that seals stored secrets; without it, a copy lies on every drive.",
        example="/etc/objstore/secret.key",
    )

    garbage_grace_s: float = _setting(
        30.0,
        "Bytes of deleted and overwritten objects stay this long, for reads under way.",
        unit="seconds",
        ge=1,
    )
    orphan_grace_s: float = _setting(
        86_400.0,
        "Bytes no object refers to, left by a crash, are deleted after this long.",
        unit="seconds",
        ge=86_400,
    )
    scrub_cycle_days: float = _setting(
        14.0, "Every stored byte is read and verified once in this time; 0: never.", unit="days", ge=0
    )
    targets: Targets = _setting(
        (),
        "Where bucket notifications can go, each as name=URL (https, redis, nats, amqp, mqtt, kafka, "
        "postgresql); a client names one as arn:aws:sqs:REGION:000000000000:NAME.",
        example='["audit=https://events.example.org/s3"]',
    )
    events_retry_hours: float = _setting(
        24.0, "An event that its target does not take is given up after this long.", unit="hours", gt=0
    )
    remotes: Remotes = _setting(
        (),
        "Other S3 servers that objects may be sent to, each with name, url, region, access_key, "
        "secret_key and perhaps users; never on the command line.",
    )
    tiers: Tiers = _setting(
        (),
        "Where lifecycle rules move the bytes of a storage class, each as CLASS=remote/bucket/prefix; "
        "a class without one is a label.",
        example='["GLACIER=vault/archive/objstore"]',
    )
    bucket_logs_every_s: float = _setting(
        300.0,
        "Server access logs reach the buckets that they are delivered to after about this long.",
        unit="seconds",
        gt=0,
        le=86_400,
    )
    inventory_debug_day_s: float = _setting(
        0.0,
        "For tests: how long a day of inventories is; 0: a day, which begins at midnight UTC.",
        unit="seconds",
        ge=0,
        le=86_400,
    )
    replication_retry_hours: float = _setting(
        168.0,
        "What a destination cannot be sent for this long is given up as FAILED.",
        unit="hours",
        gt=0,
    )
    lifecycle_debug_day_s: float = _setting(
        0.0,
        "For tests: how long a day of lifecycle rules is; 0: a day, due at midnight UTC.",
        unit="seconds",
        ge=0,
        le=86_400,
    )

    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "Least severe messages logged."
    )
    log_format: Literal["json", "text"] = _setting(
        "json", "One JSON object or one readable line per message."
    )
    access_log: bool = _setting(True, "Log one line per request.")
    metrics_token: SecretStr | None = _setting(
        None,
        "Bearer token that GET /metrics asks for; without one only this machine is answered. Never on the "
        "command line.",
        example="(a long random text)",
    )
    metrics_public: bool = _setting(False, "Answer GET /metrics to everyone who asks.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what it is given: `load` puts flags, environment and file together."""
        return (init_settings,)

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        wanted = self.erasure.total_shards
        if len(set(self.drives)) < len(self.drives):
            raise ValueError(
                f"drives: {_listed(self.drives)} names a directory twice; each must be another one"
            )
        if 1 < len(self.drives) < wanted:
            raise ValueError(
                f'erasure: "{self.erasure}" needs {wanted} drives and there are {len(self.drives)}; '
                f"allowed is any k+m with k + m of at most {len(self.drives)}"
            )
        self._check_tiers()
        names = [target.get_secret_value().partition("=")[0] for target in self.targets]
        if len(set(names)) < len(names):
            raise ValueError(f"targets: {_listed(names)} has a name twice; each must be another one")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError(
                "tls_certificate and tls_key: one is set without the other; both or none are allowed"
            )
        if (self.root_access_key is None) != (self.root_secret_key is None):
            raise ValueError(
                "root_access_key and root_secret_key: one is set without the other; both or none are allowed"
            )
        if (
            self.root_secret_key is not None
            and len(self.root_secret_key.get_secret_value()) < SECRET_LENGTH_MIN
        ):
            raise ValueError(
                f"root_secret_key: too short; at least {SECRET_LENGTH_MIN} characters are allowed"
            )
        if (self.vault_address is None) != (self.vault_token_file is None):
            raise ValueError(
                "vault_address and vault_token_file: one is set without the other; both or none are allowed"
            )
        if self.vault_address is not None and urlsplit(self.vault_address).scheme not in ("http", "https"):
            raise ValueError(
                f"vault_address: {self.vault_address!r} is no URL; http:// or https:// is allowed"
            )
        if self.kms == "vault" and self.vault_address is None:
            raise ValueError('kms: "vault" needs vault_address and vault_token_file')
        if self.root_access_key is not None and not ACCESS_KEY_PATTERN.fullmatch(self.root_access_key):
            raise ValueError(f"root_access_key: {self.root_access_key!r} is not allowed; {ACCESS_KEY_RULE}")
        return self

    def _check_tiers(self) -> None:
        classes = [tier.partition("=")[0] for tier in self.tiers]
        if len(set(classes)) < len(classes):
            raise ValueError("tiers: a storage class is named twice; each can have one tier")
        named = {remote.name for remote in self.remotes}
        for tier in self.tiers:
            remote = tier.partition("=")[2].partition("/")[0]
            if remote not in named:
                raise ValueError(f"tiers: {tier!r} names the remote {remote!r}, which is not in remotes")

    def for_children(self) -> dict[str, Any]:
        """The settings as plain values for a child process, without the root credentials.

        Other secrets are among them: for the pipe to the child, and for nothing else.
        """
        plain = self.model_dump(mode="json", exclude={"root_access_key", "root_secret_key"})
        if self.metrics_token is not None:
            plain["metrics_token"] = self.metrics_token.get_secret_value()
        plain["targets"] = [target.get_secret_value() for target in self.targets]
        for shown, remote in zip(plain["remotes"], self.remotes, strict=True):
            shown["secret_key"] = remote.secret_key.get_secret_value()
        return plain


def _listed(values: object) -> str:
    return ", ".join(str(value) for value in values) if isinstance(values, tuple | list) else str(values)


def load(
    flags: Mapping[str, Any] | None = None,
    path: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Config:
    """The settings from flags, environment, the TOML file at `path` and the defaults, in this order.

    Raises ConfigError, with every wrong setting on a line of its own.
    """
    flags = {name: value for name, value in (flags or {}).items() if value is not None}
    path = path or (Path(environment[CONFIG_VARIABLE]) if environment.get(CONFIG_VARIABLE) else None)
    from_file = _read_file(path) if path is not None else {}
    from_environment = _read_environment(environment)
    try:
        return Config(**{**from_file, **from_environment, **flags})
    except ValidationError as exc:
        raise ConfigError(
            "\n".join(_explain(error, flags, from_environment, path) for error in exc.errors())
        ) from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as exc:
        raise ConfigError(f"settings file {path}: {exc.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"settings file {path} is not valid TOML: {exc}") from None
    unknown = sorted(set(values) - set(Config.model_fields))
    if unknown:
        raise ConfigError(f"settings file {path}: " + "; ".join(_unknown(name, name) for name in unknown))
    return values


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    unknown = []
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or not value:
            continue
        if _NOT_SETTINGS.fullmatch(f"{variable}={value}"):
            continue
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if name in Config.model_fields:
            values[name] = value
        else:
            unknown.append(_unknown(variable, name))
    if unknown:
        raise ConfigError("environment: " + "; ".join(sorted(unknown)))
    return values


def _unknown(written: str, name: str) -> str:
    near = difflib.get_close_matches(name, Config.model_fields, n=1)
    return f"there is no setting {written}" + (f" (did you mean {near[0]}?)" if near else "")


def _explain(error: Any, flags: Mapping[str, Any], environment: Mapping[str, Any], path: Path | None) -> str:
    """One wrong setting: name, value, where it came from, what is allowed."""
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    name = str(error["loc"][0])
    if name not in Config.model_fields:
        return _unknown(name, name)
    if name in flags:
        origin = f"--{name.replace('_', '-')}" if name != "drives" else "the command line"
    elif name in environment:
        origin = f"{ENVIRONMENT_PREFIX}{name.upper()}"
    else:
        origin = str(path) if path else "default"
    if name == "remotes":
        message = " ".join([*map(str, error["loc"][1:]), message])
    value = "(hidden)" if name in SECRETS else repr(error["input"])
    return f"{name}: {value} (from {origin}) is not allowed: {message[0].lower()}{message[1:]}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value) if isinstance(value, int | float) else f'"{value}"'


def _rows() -> Iterator[tuple[str, str, str, str, str]]:
    """Name, default as TOML or "", unit, sentence and example of every setting, in order."""
    for name, field in Config.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict) and field.description is not None
        default = "" if field.default is None else _toml(field.default)
        yield name, default, str(extra["unit"]), field.description, str(extra["example"])


def as_toml() -> str:
    """config/objstore.toml: every setting, commented out, with its default."""
    lines = [
        "# Every setting of objstore with its default. Take away the # in front of a line to change it.",
        f"# The environment ({ENVIRONMENT_PREFIX}CHUNK_BYTES) and flags (--chunk-bytes) win over this file.",
        '# Sizes may be written as numbers of bytes or as "8 MiB". Written by `make docs` from config.py.',
    ]
    for name, default, unit, sentence, example in _rows():
        if name in Config.sections:
            lines += ["", f"## {Config.sections[name]}"]
        lines += ["", f"# {sentence}" + (f" ({unit})" if unit else "")]
        if default:
            lines.append(f"#{name} = {default}")
        else:
            lines.append(
                f"#{name} = {example if example[0] in '[0123456789' else _toml(example)}  # no default"
            )
    return "\n".join(lines) + "\n"


DIALECT: Final = (
    "region",
    "other_regions",
    "domains",
    "website_domains",
    "buckets_max",
    "new_buckets",
    "display_names",
    "default_encryption",
    "sse_c_blocked",
    "sse_c_over_http",
    "kms_default_key",
    "lifecycle_debug_day_s",
)
"""The settings that change what clients of S3 are answered."""


def as_markdown(names: Container[str] | None = None) -> str:
    """The table of docs/configuration.md, or of the settings of these names alone."""
    lines = ["| Setting | Default | Unit | What it is |", "|---|---|---|---|"]
    lines += [
        f"| `{name}` | {f'`{default}`' if default else '—'} | {unit or '—'} | {sentence} |"
        for name, default, unit, sentence, _ in _rows()
        if names is None or name in names
    ]
    return "\n".join(lines) + "\n"
