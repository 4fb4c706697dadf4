"""Keys that HashiCorp Vault keeps: its transit engine, asked over HTTP, seals and opens our data keys.

Vault never sees an object's bytes. Keys are made, rotated and deleted there, by whoever may. The token is
read from a file, and again whenever the file changes, as Vault's agent keeps one up to date.
Source: Vault, "Transit secrets engine (API)": encrypt, decrypt with associated data, read key.
"""

import base64
import binascii
import json
import logging
import re
import ssl
from pathlib import Path
from typing import Any, Final

import aiohttp

from objstore import clock, outbound
from objstore.encryption.provider import KmsKeyMissing, KmsKeyUnfit, KmsUnavailable
from objstore.encryption.stream import KEY_BYTES

ANSWER_S: Final = 5.0
"""How long one answer may take, connecting included."""
ANSWER_BYTES_MAX: Final = 64 * 1024
ATTEMPTS: Final = 2
"""How often what broke off is asked again: sealing and opening can be repeated."""
KNOWN_S: Final = 60.0
"""How long a key that was there is taken to be there. Asked before sealing, because Vault makes a key that
is missing where the token may, and a typing mistake is not to make a key."""
KNOWN_MAX: Final = 1000
_SEALED: Final = re.compile(rb"vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/=]+")

log = logging.getLogger("objstore.encryption.vault")


class Vault:
    """One transit engine: a KeyProvider. Lives in one event loop; connects when it is first asked."""

    def __init__(self, address: str, mount: str, token_file: Path, ca_file: Path | None = None) -> None:
        """`address` is a URL such as https://vault.example.org:8200; `mount` is where the engine is."""
        self._base = f"{address.rstrip('/')}/v1/{mount.strip('/')}"
        self._token_file = token_file
        self._ca_file = ca_file
        self._token = ""
        self._token_changed_ns = -1
        self._session: aiohttp.ClientSession | None = None
        self._known: dict[str, tuple[float, int]] = {}

    async def wrap(self, name: str, key: bytes, context: bytes) -> bytes:
        """See KeyProvider."""
        await self.newest_version(name)
        body = {"plaintext": _text(key), "associated_data": _text(context)}
        answer = await self._ask("POST", f"encrypt/{name}", body)
        ciphertext = answer.get("ciphertext")
        wrapped = ciphertext.encode() if isinstance(ciphertext, str) and ciphertext.isascii() else b""
        if not _SEALED.fullmatch(wrapped):
            raise KmsUnavailable("Vault's answer has no ciphertext")
        return wrapped

    async def unwrap(self, name: str, wrapped: bytes, context: bytes) -> bytes:
        """See KeyProvider."""
        self.version_of(wrapped)
        body = {"ciphertext": wrapped.decode(), "associated_data": _text(context)}
        answer = await self._ask("POST", f"decrypt/{name}", body)
        try:
            key = base64.b64decode(answer.get("plaintext", ""), validate=True)
        except (binascii.Error, ValueError, TypeError):
            key = b""
        if len(key) != KEY_BYTES:
            raise KmsKeyUnfit(f"what Vault opened with {name} is no data key")
        return key

    def unwrap_now(self, name: str, wrapped: bytes, context: bytes) -> bytes | None:
        """Never: Vault has to be asked."""
        return None

    async def newest_version(self, name: str) -> int:
        """See KeyProvider. As of at most a minute ago."""
        until_s, version = self._known.get(name, (0.0, 0))
        if until_s > clock.monotonic_s():
            return version
        found = (await self._ask("GET", f"keys/{name}", None)).get("latest_version")
        if not isinstance(found, int):
            raise KmsUnavailable("Vault's answer has no version")
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[name] = clock.monotonic_s() + KNOWN_S, found
        return found

    def version_of(self, wrapped: bytes) -> int:
        """See KeyProvider."""
        match = _SEALED.fullmatch(wrapped)
        if match is None:
            raise KmsKeyUnfit("not sealed by Vault")
        return int(match[1])

    async def close(self) -> None:
        """Release the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, method: str, path: str, body: dict[str, str] | None) -> dict[str, Any]:
        """The `data` of Vault's answer. Raises KmsKeyMissing, KmsKeyUnfit, KmsUnavailable."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._ask_once(method, path, body)
            except (aiohttp.ClientError, OSError, TimeoutError) as exc:
                if attempt == ATTEMPTS:
                    log.warning("Vault cannot be asked: %s", exc or type(exc).__name__)
                    raise KmsUnavailable("Vault cannot be asked") from exc
        raise AssertionError("unreachable")

    async def _ask_once(self, method: str, path: str, body: dict[str, str] | None) -> dict[str, Any]:
        headers = {"X-Vault-Token": self._read_token(), "X-Vault-Request": "true"}
        async with self._connected().request(
            method, f"{self._base}/{path}", json=body, headers=headers, allow_redirects=False
        ) as answer:
            document = _parsed(await _body(answer))
            status = answer.status
        if status == 200 and isinstance(data := document.get("data"), dict):
            return data
        name = path.partition("/")[2]
        complaint = "; ".join(map(str, document.get("errors") or ()))
        if "key not found" in complaint or (status == 404 and path.startswith("keys/")):
            raise KmsKeyMissing(f"Key '{name}' does not exist")
        if status == 400 and path.startswith("decrypt/"):
            raise KmsKeyUnfit(f"Vault does not open it with {name}: {complaint}")
        log.warning("Vault answers %d to %s: %s", status, path, complaint)
        raise KmsUnavailable(f"Vault answers {status}")

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            more: dict[str, Any] = {}
            if self._ca_file is not None:
                context = ssl.create_default_context(cafile=str(self._ca_file))
                more["connector"] = aiohttp.TCPConnector(ssl=context, limit=32)
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=ANSWER_S, connect=outbound.CONNECT_S),
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                **more,
            )
        return self._session

    def _read_token(self) -> str:
        try:
            changed_ns = self._token_file.stat().st_mtime_ns
            if changed_ns != self._token_changed_ns:
                self._token = self._token_file.read_text().strip()
                self._token_changed_ns = changed_ns
        except OSError as exc:
            log.warning("vault_token_file cannot be read: %s", exc)
            raise KmsUnavailable("there is no token for Vault") from exc
        return self._token


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = b""
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > ANSWER_BYTES_MAX:
            raise KmsUnavailable("Vault's answer is too long")
    return body


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
