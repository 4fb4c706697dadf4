"""The URL of a target, as the settings give it: taken apart once, its password never shown."""

import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

CA: Final = "ca"
"""The parameter that names a file of certificates to trust, in PEM."""


@dataclass(frozen=True, slots=True)
class TargetUrl:
    """`scheme://user:password@host:port,host:port/path?parameter=value`, decoded."""

    scheme: str
    hosts: tuple[tuple[str, int], ...]
    """One or more, each with its port."""
    path: str = ""
    """Without the leading slash."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    text: str = field(default="", repr=False)
    """The URL as it was given."""

    @classmethod
    def parse(cls, text: str, port: int) -> Self:
        """`port` is for hosts that come without. Raises ValueError, which does not show the password."""
        scheme, separator, rest = text.partition("://")
        authority = rest.partition("/")[0].partition("?")[0].partition("#")[0]
        account, at, places = authority.rpartition("@")
        username, colon, password = account.partition(":")
        if not separator or "#" in rest:
            raise ValueError("the URL must be scheme://host…, with a # written as %23")
        split = urlsplit(rest[len(authority) :])
        pairs = parse_qsl(split.query, keep_blank_values=True)
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a parameter of the URL is given twice")
        return cls(
            scheme,
            tuple(_place(place, port) for place in places.split(",")),
            unquote(split.path.removeprefix("/")),
            dict(pairs),
            unquote(username) if at and username else None,
            unquote(password) if colon else None,
            text,
        )

    @property
    def host(self) -> str:
        """The first host."""
        return self.hosts[0][0]

    @property
    def port(self) -> int:
        """The first host's port."""
        return self.hosts[0][1]

    def require_one_host(self) -> None:
        """Raises ValueError where there are several."""
        if len(self.hosts) > 1:
            raise ValueError(f"{self.scheme}:// takes one host")

    def require_parameters(self, needed: Collection[str], allowed: Collection[str] = ()) -> None:
        """Raises ValueError unless all `needed` parameters are there with a value, and no others."""
        for name in needed:
            if not self.parameters.get(name):
                raise ValueError(f"{self.scheme}:// needs the parameter {name}=…")
        for name in self.parameters:
            if name not in needed and name not in allowed:
                known = ", ".join(sorted({*needed, *allowed})) or "none"
                raise ValueError(f"{self.scheme}:// has no parameter {name}; there are: {known}")

    def tls(self) -> ssl.SSLContext:
        """What checks the other side: the system's authorities, or those in the file `ca`.

        Raises ValueError where that cannot be read.
        """
        file = self.parameters.get(CA)
        try:
            return ssl.create_default_context(cafile=file)
        except (OSError, ssl.SSLError):
            raise ValueError(f"{CA}={Path(file or '')}: no certificates could be read from it") from None

    def redact(self, text: str) -> str:
        """`text` without the URL and its password, wherever they stand in it."""
        for secret in (self.text, self.password):
            if secret:
                text = text.replace(secret, "***")
        return text


def _place(text: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        found = port if parts.port is None else parts.port
    except ValueError:
        found = 0
    if not found or not parts.hostname:
        raise ValueError("the URL must have a host, and ports from 1 to 65535")
    return parts.hostname, found
