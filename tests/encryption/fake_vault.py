"""As much of Vault's transit engine as its API documentation says, over HTTP on the loopback."""

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "s.a-token"


class FakeVault:
    """Keys by name, each a list of versions."""

    def __init__(self) -> None:
        self.keys: dict[str, list[bytes]] = {}
        self.asked: list[str] = []
        self.is_sealed = False
        self.breaks_off = 0
        self.tokens = {TOKEN}
        self.address = ""

    def make(self, name: str) -> None:
        self.keys.setdefault(name, []).append(AESGCM.generate_key(256))

    def answer(self, method: str, path: str, token: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append(f"{method} {path}")
        if self.is_sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if token not in self.tokens:
            return 403, {"errors": ["permission denied"]}
        mount, action, name = path.removeprefix("/v1/").split("/", 2)
        if mount != "transit":
            return 404, {"errors": [f'no handler for route "{mount}/{action}/{name}"']}
        versions = self.keys.get(name)
        if action == "keys":
            return (
                (404, {"errors": []})
                if versions is None
                else (200, {"data": {"latest_version": len(versions)}})
            )
        if versions is None:
            return 400, {"errors": ["encryption key not found"]}
        bound = base64.b64decode(body.get("associated_data", ""))
        if action == "encrypt":
            nonce = os.urandom(12)
            sealed = nonce + AESGCM(versions[-1]).encrypt(nonce, base64.b64decode(body["plaintext"]), bound)
            text = f"vault:v{len(versions)}:{base64.b64encode(sealed).decode()}"
            return 200, {"data": {"ciphertext": text, "key_version": len(versions)}}
        _, version, text = body["ciphertext"].split(":")
        sealed = base64.b64decode(text)
        try:
            plain = AESGCM(versions[int(version[1:]) - 1]).decrypt(sealed[:12], sealed[12:], bound)
        except (InvalidTag, IndexError):
            return 400, {"errors": ["cipher: message authentication failed"]}
        return 200, {"data": {"plaintext": base64.b64encode(plain).decode()}}


@contextmanager
def running_vault() -> Iterator[FakeVault]:
    """A fake Vault that answers at its `address`."""
    vault = FakeVault()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if vault.breaks_off:
                vault.breaks_off -= 1
                self.close_connection = True
                return
            status, document = vault.answer(
                self.command, self.path, self.headers.get("X-Vault-Token", ""), json.loads(body or b"{}")
            )
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _answer

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    vault.address = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield vault
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
