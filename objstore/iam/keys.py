"""Access keys and secrets: their rules, and how they are generated."""

import secrets
from base64 import b32encode
from dataclasses import dataclass, field
from typing import Final

from objstore.config import ACCESS_KEY_PATTERN, ACCESS_KEY_RULE, SECRET_LENGTH_MIN

SECRET_LENGTH_MAX: Final = 128


class UserInvalid(Exception):
    """A property of a user or key is not allowed; the message names it and what is allowed."""


@dataclass(frozen=True, slots=True)
class Issued:
    """An access key with its secret, which is shown this once."""

    access_key: str
    secret_key: str = field(repr=False)


def new_access_key() -> str:
    """20 characters, capital letters and digits 2-7: 96 random bits and a bit."""
    return b32encode(secrets.token_bytes(13)).decode()[:20]


def new_secret_key() -> str:
    """40 characters that need no quoting in a shell or a URL: 240 random bits."""
    return secrets.token_urlsafe(30)


def issue(access_key: str | None = None, secret_key: str | None = None) -> Issued:
    """An access key and its secret, chosen or generated. Raises UserInvalid."""
    if access_key is not None and not ACCESS_KEY_PATTERN.fullmatch(access_key):
        raise UserInvalid(f"access key: {access_key!r} is not allowed; {ACCESS_KEY_RULE}")
    if secret_key is not None and not SECRET_LENGTH_MIN <= len(secret_key) <= SECRET_LENGTH_MAX:
        raise UserInvalid(f"secret key: {SECRET_LENGTH_MIN} to {SECRET_LENGTH_MAX} characters are allowed")
    return Issued(access_key or new_access_key(), secret_key or new_secret_key())
