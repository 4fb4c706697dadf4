"""Connections to addresses that settings name, without being led astray by names or redirects.

Names are resolved once for each connection, here, and every address found is judged before it is
connected to, so a name whose address changes between check and use gains nothing. Link-local addresses
(where clouds keep their instances' credentials), multicast and the unspecified address are never
connected to; this machine itself only if the URL says so by its address or as localhost.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

CONNECT_S: Final = 5.0
LOCALHOST: Final = "localhost"


def is_permitted(address: str, host: str) -> bool:
    """Whether a URL with this host may be connected to at this address."""
    try:
        found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
    if found.is_link_local or found.is_multicast or found.is_unspecified:
        return False
    if found.is_loopback:
        return host.lower() == LOCALHOST or _is_same(host, address)
    return found.is_global or found.is_private


def is_address(host: str) -> bool:
    """Whether a URL's host is an address: it is connected to without asking any resolver."""
    return ":" in host or host.replace(".", "").isdigit()


def _is_same(host: str, address: str) -> bool:
    try:
        return ip_address(host) == ip_address(address)
    except ValueError:
        return False


class GuardedResolver(AbstractResolver):
    """Resolves names to those of their addresses that may be connected to."""

    def __init__(self) -> None:
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError where there is none."""
        found = await self._resolver.resolve(host, port, family)
        permitted = [one for one in found if is_permitted(one["host"], host)]
        if not permitted:
            raise OSError(None, f"{host} has no address that may be connected to")
        return permitted

    async def close(self) -> None:
        """Nothing is held."""
        await self._resolver.close()


def guarded_connector(connections_max: int = 32) -> aiohttp.TCPConnector:
    """What sessions of such connections connect with. Addresses in URLs never reach a resolver: the
    caller judges them (`is_address`, `is_permitted`)."""
    return aiohttp.TCPConnector(resolver=GuardedResolver(), use_dns_cache=False, limit=connections_max)


def client_session(timeout_s: float, **more: Any) -> aiohttp.ClientSession:
    """A session for such connections; send with `allow_redirects=False`."""
    return aiohttp.ClientSession(
        connector=guarded_connector(),
        timeout=aiohttp.ClientTimeout(total=timeout_s, connect=CONNECT_S),
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        **more,
    )
