"""Another S3 server, as the settings name it."""

from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from objstore.config import Remote


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is and as whom it is asked. `url` is scheme, host and perhaps port, no more."""

    name: str
    url: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def of(cls, remote: Remote) -> Self:
        """The endpoint of a setting."""
        secret = remote.secret_key.get_secret_value()
        return cls(remote.name, remote.url, remote.region, remote.access_key, secret)

    @property
    def is_secure(self) -> bool:
        """Connections to it are encrypted."""
        return self.url.startswith("https:")

    @property
    def hostname(self) -> str:
        """Name or address alone."""
        return urlsplit(self.url).hostname or ""

    @property
    def host(self) -> str:
        """The Host header: the port is left out where it is the scheme's own."""
        parts = urlsplit(self.url)
        name = f"[{parts.hostname}]" if ":" in self.hostname else self.hostname
        default = 443 if self.is_secure else 80
        return name if parts.port in (None, default) else f"{name}:{parts.port}"
