"""What every keeper of keys must do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from objstore.encryption.provider import KeyProvider, KmsKeyMissing, KmsKeyUnfit

KEY = bytes(range(32))


class KeyProviderConformance:
    """Inherit, and say how a provider with the key `name` is made, and how the key is rotated."""

    @asynccontextmanager
    async def provider(self) -> AsyncIterator[KeyProvider]:
        raise NotImplementedError
        yield

    async def make_key(self, provider: Any, name: str) -> None:
        raise NotImplementedError

    async def rotate(self, provider: Any, name: str) -> None:
        raise NotImplementedError

    def test_what_is_wrapped_is_unwrapped(self) -> None:
        async def main() -> None:
            async with self.provider() as provider:
                await self.make_key(provider, "k")
                wrapped = await provider.wrap("k", KEY, b"context")
                assert KEY not in wrapped
                assert await provider.wrap("k", KEY, b"context") != wrapped
                assert await provider.unwrap("k", wrapped, b"context") == KEY
                assert provider.unwrap_now("k", wrapped, b"context") in (None, KEY)

        asyncio.run(main())

    def test_nothing_else_opens_it(self) -> None:
        async def main() -> None:
            async with self.provider() as provider:
                await self.make_key(provider, "k")
                await self.make_key(provider, "other")
                wrapped = await provider.wrap("k", KEY, b"context")
                for name, sealed, context in (
                    ("k", wrapped, b"another context"),
                    ("other", wrapped, b"context"),
                    ("k", wrapped[:-4], b"context"),
                    ("k", b"junk", b"context"),
                ):
                    with pytest.raises(KmsKeyUnfit):
                        await provider.unwrap(name, sealed, context)

        asyncio.run(main())

    def test_a_key_that_is_not_there(self) -> None:
        async def main() -> None:
            async with self.provider() as provider:
                await self.make_key(provider, "k")
                wrapped = await provider.wrap("k", KEY, b"")
                with pytest.raises(KmsKeyMissing):
                    await provider.wrap("absent", KEY, b"")
                with pytest.raises(KmsKeyMissing):
                    await provider.unwrap("absent", wrapped, b"")
                with pytest.raises(KmsKeyMissing):
                    await provider.newest_version("absent")

        asyncio.run(main())

    def test_older_versions_still_open(self) -> None:
        async def main() -> None:
            async with self.provider() as provider:
                await self.make_key(provider, "k")
                first = await provider.wrap("k", KEY, b"")
                await self.rotate(provider, "k")
                second = await provider.wrap("k", KEY, b"")
                assert (provider.version_of(first), provider.version_of(second)) == (1, 2)
                assert await provider.newest_version("k") == 2
                assert await provider.unwrap("k", first, b"") == KEY
                assert await provider.unwrap("k", second, b"") == KEY

        asyncio.run(main())
