"""Keys that Vault keeps: the provider over HTTP."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from objstore.encryption.provider import KmsUnavailable
from objstore.encryption.vault import Vault
from tests.encryption.fake_vault import TOKEN, FakeVault, running_vault
from tests.encryption.providers import KEY, KeyProviderConformance
from tests.support.server import free_port


@asynccontextmanager
async def connected(tmp_path: Path, vault: FakeVault, mount: str = "transit") -> AsyncIterator[Vault]:
    token_file = tmp_path / "token"
    if not token_file.exists():
        token_file.write_text(f"{TOKEN}\n")
    provider = Vault(vault.address, mount, token_file)
    try:
        yield provider
    finally:
        await provider.close()


class TestVault(KeyProviderConformance):
    @pytest.fixture(autouse=True)
    def _vault(self, tmp_path: Path) -> Any:
        with running_vault() as vault:
            self.vault, self.tmp_path = vault, tmp_path
            yield

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Any]:
        async with connected(self.tmp_path, self.vault) as provider:
            yield provider

    async def make_key(self, provider: Any, name: str) -> None:
        self.vault.make(name)

    async def rotate(self, provider: Any, name: str) -> None:
        self.vault.make(name)
        provider._known.clear()  # what it knows of the newest version is up to a minute old


class TestRealTransit(KeyProviderConformance):
    """The same of the engine itself, where a `vault` or `bao` (OpenBao, its fork) is installed."""

    @pytest.fixture(autouse=True)
    def _transit(self, tmp_path: Path) -> Any:
        found = shutil.which("vault") or shutil.which("bao")
        if found is None:
            pytest.skip("NEITHER vault NOR bao IS INSTALLED: the real transit engine is not tested")
        address = f"127.0.0.1:{free_port()}"
        self.run_, self.tmp_path = found, tmp_path
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            **{f"{name}_ADDR": f"http://{address}" for name in ("VAULT", "BAO")},
            **{f"{name}_TOKEN": "devroot" for name in ("VAULT", "BAO")},
        }
        self.address = f"http://{address}"
        (tmp_path / "token").write_text("devroot")
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [found, "server", "-dev", "-dev-root-token-id=devroot", f"-dev-listen-address={address}"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )
        try:
            deadline = time.monotonic() + 30
            while self.call("secrets", "enable", "transit", check=False):
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()[-2000:]
                time.sleep(0.2)
            yield
        finally:
            process.terminate()
            process.wait(30)

    def call(self, *arguments: str, check: bool = True) -> int:
        return subprocess.run(
            [self.run_, *arguments], env=self.environment, check=check, capture_output=True, timeout=60
        ).returncode

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[Any]:
        vault = Vault(self.address, "transit", self.tmp_path / "token")
        try:
            yield vault
        finally:
            await vault.close()

    async def make_key(self, provider: Any, name: str) -> None:
        await asyncio.to_thread(self.call, "write", "-f", f"transit/keys/{name}")

    async def rotate(self, provider: Any, name: str) -> None:
        await asyncio.to_thread(self.call, "write", "-f", f"transit/keys/{name}/rotate")
        provider._known.clear()


def test_what_breaks_off_is_asked_again(tmp_path: Path) -> None:
    async def main() -> None:
        with running_vault() as vault:
            vault.make("k")
            async with connected(tmp_path, vault) as provider:
                wrapped = await provider.wrap("k", KEY, b"")
                vault.breaks_off = 1
                assert await provider.unwrap("k", wrapped, b"") == KEY
                vault.breaks_off = 5
                with pytest.raises(KmsUnavailable):
                    await provider.unwrap("k", wrapped, b"")

    asyncio.run(main())


def test_a_vault_that_cannot_answer_is_unavailable(tmp_path: Path) -> None:
    async def main() -> None:
        with running_vault() as vault:
            vault.make("k")
            async with connected(tmp_path, vault) as provider:
                wrapped = await provider.wrap("k", KEY, b"")
                vault.is_sealed = True
                with pytest.raises(KmsUnavailable):
                    await provider.unwrap("k", wrapped, b"")
                vault.is_sealed = False
            async with connected(tmp_path, vault, "elsewhere") as provider:
                with pytest.raises(KmsUnavailable):
                    await provider.unwrap("k", wrapped, b"")
            gone = vault
        async with connected(tmp_path, gone) as provider:
            with pytest.raises(KmsUnavailable):
                await provider.unwrap("k", wrapped, b"")

    asyncio.run(main())


def test_the_token_is_read_again_when_it_changes(tmp_path: Path) -> None:
    async def main() -> None:
        with running_vault() as vault:
            vault.make("k")
            async with connected(tmp_path, vault) as provider:
                wrapped = await provider.wrap("k", KEY, b"")
                vault.tokens = {"s.another"}
                with pytest.raises(KmsUnavailable):
                    await provider.unwrap("k", wrapped, b"")
                (tmp_path / "token").write_text("s.another")
                assert await provider.unwrap("k", wrapped, b"") == KEY
                (tmp_path / "token").unlink()
                with pytest.raises(KmsUnavailable):
                    await provider.unwrap("k", wrapped, b"")

    asyncio.run(main())
