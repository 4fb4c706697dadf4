"""Sealing old data keys anew, under the newest version of what seals them. No object's bytes are touched.

After a key was rotated, what was written before is still sealed under its older versions. This walks all
versions and uploads under way. What cannot be opened now is counted and left as it is: run it again.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from objstore.encryption.provider import KmsError
from objstore.meta import encrypted
from objstore.meta.commands import (
    ReplaceAnnotationEncryption,
    ReplaceEncryption,
    ReplaceUploadEncryption,
)
from objstore.meta.encrypted import Encrypted, Page
from objstore.meta.interface import Conflict, Refusal
from objstore.model import Encryption

PAGE: Final = 500
PASSES_MAX: Final = 5
"""A version that becomes current or noncurrent meanwhile may be passed by; so it is gone through again until
nothing was found to do."""

log = logging.getLogger("objstore.jobs.resealing")


class Facts(Protocol):
    """The part of `meta.client.Metadata` that is used here."""

    async def write(self, command: Any) -> Any: ...
    async def read(self, query: Any, *args: Any) -> Any: ...


class Renewing(Protocol):
    """The part of `service.encryption.Encryptions` that is used here."""

    async def renewed(self, encryption: Encryption) -> Encryption | None:
        """The same data key under the newest version; None where it is already. Raises KmsError."""
        ...


@dataclass(slots=True)
class Resealed:
    """What was done."""

    looked_at: int = 0
    sealed: int = 0
    failed: int = 0


async def reseal(facts: Facts, keys: Renewing) -> Resealed:
    """Seal every data key anew that an older version of its key seals. Raises MetadataError."""
    sealed = 0
    for _ in range(PASSES_MAX):
        done = Resealed()
        for walk in (encrypted.current_after, encrypted.past_after):
            await _walk(facts, keys, walk, _of_version, done)
        await _walk(facts, keys, encrypted.annotations_after, _of_annotation, done)
        await _walk(facts, keys, encrypted.uploads_after, _of_upload, done)
        sealed += done.sealed
        if not done.sealed:
            break
    return Resealed(done.looked_at, sealed, done.failed)


async def _walk(
    facts: Facts,
    keys: Renewing,
    walk: Callable[..., Page],
    command: Callable[[Encrypted, Encryption], Any],
    done: Resealed,
) -> None:
    last = None
    while True:
        page: Page = await facts.read(walk, last, PAGE)
        for one in page.found:
            done.looked_at += 1
            await _reseal(facts, keys, one, command, done)
        if page.last is None:
            return
        last = page.last


async def _reseal(
    facts: Facts,
    keys: Renewing,
    one: Encrypted,
    command: Callable[[Encrypted, Encryption], Any],
    done: Resealed,
) -> None:
    try:
        renewed = await keys.renewed(one.encryption)
        if renewed is not None:
            await facts.write(command(one, renewed))
            done.sealed += 1
    except KmsError as exc:
        done.failed += 1
        log.warning(
            "the data key of %s %s in bucket %d stays as it is: %s", one.key, one.id, one.bucket_id, exc
        )
    except (Conflict, Refusal):  # it was deleted, or sealed anew, and that under the newest version
        return


def _of_version(one: Encrypted, renewed: Encryption) -> ReplaceEncryption:
    return ReplaceEncryption(one.bucket_id, one.key, one.id, one.encryption.wrapped_key, renewed)


def _of_annotation(one: Encrypted, renewed: Encryption) -> ReplaceAnnotationEncryption:
    return ReplaceAnnotationEncryption(one.bucket_id, one.key, one.encryption.wrapped_key, renewed)


def _of_upload(one: Encrypted, renewed: Encryption) -> ReplaceUploadEncryption:
    return ReplaceUploadEncryption(one.bucket_id, one.key, one.id, one.encryption.wrapped_key, renewed)
