"""Who policies speak of: accounts and users as ARNs, canonical ids, services, everyone.

Every user here is an account of its own, with a canonical id. AWS's ARNs name accounts by 12 digits, so
each user has such a number too: the canonical id itself where an operator chose one of 12 digits, and
otherwise one derived from it. An ARN without account number (arn:aws:iam:::user/name) means a user of
this server by name or canonical id.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from objstore.model import Identity

_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_MADE_CANONICAL: Final = re.compile(r"[0-9a-f]{64}")
_CANONICAL: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:(?P<service>iam|sts)::(?P<account>[0-9]{12}|[A-Za-z0-9_]*):(?P<rest>[^*?]+)"
)
_SERVICE: Final = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com")
_ROLE_KINDS: Final = frozenset({"role", "assumed-role", "federated-user"})


@lru_cache(maxsize=4096)
def account_id(user_id: str) -> str:
    """The 12 digits that stand for a user where AWS names an account."""
    if _ACCOUNT.fullmatch(user_id):
        return user_id
    digest = hashlib.sha256(b"objstore account\0" + user_id.encode()).digest()
    return str(int.from_bytes(digest[:8]) % 900_000_000_000 + 100_000_000_000)


def is_account(text: str, user_id: str) -> bool:
    """Whether `text` names this user's account: by its 12 digits, or by the canonical id."""
    return text in (user_id, account_id(user_id))


def could_be_account(text: str) -> bool:
    """Whether `text` has the form of an account's number, or of a canonical id as it is made here."""
    return _ACCOUNT.fullmatch(text) is not None or _MADE_CANONICAL.fullmatch(text) is not None


def arn(identity: Identity) -> str:
    """The ARN of who asks: `…:root` for the deployment's root user."""
    who = "root" if identity.is_root else f"user/{identity.name}"
    return f"arn:aws:iam::{account_id(identity.user_id)}:{who}"


@dataclass(frozen=True, slots=True)
class Principal:
    """One entry of a Principal element. `kind`: everyone, account, user, canonical, service, other."""

    kind: str
    account: str = ""
    name: str = ""

    def is_of(self, identity: Identity, service: str = "") -> bool:
        """Whether it means `identity`, or the service of that name acting by itself."""
        if self.kind == "everyone":
            return True
        if service:
            return self.kind == "service" and self.name == service
        if identity.is_anonymous:
            return False
        match self.kind:
            case "account":
                return self.account == account_id(identity.user_id)
            case "canonical":
                return self.name == identity.user_id
            case "user":
                is_own_account = self.account in ("", account_id(identity.user_id))
                return is_own_account and self.name in (identity.name, identity.user_id)
        return False


EVERYONE: Final = Principal("everyone")


def parse_principal(kind: str, text: str) -> Principal:
    """One entry under "AWS", "CanonicalUser", "Service" or "Federated". ValueError."""
    match kind:
        case "AWS":
            return _parse_aws(text)
        case "CanonicalUser" if _CANONICAL.fullmatch(text):
            return Principal("canonical", name=text)
        case "Service" if _SERVICE.fullmatch(text):
            return Principal("service", name=text)
        case "Federated" if text and "*" not in text:
            return Principal("other", name=text)
    raise ValueError(text)


def _parse_aws(text: str) -> Principal:
    if text == "*":
        return EVERYONE
    if _ACCOUNT.fullmatch(text):
        return Principal("account", account=text)
    found = _ARN.fullmatch(text)
    if found is None:
        raise ValueError(text)
    account, rest = found["account"], found["rest"]
    if rest == "root" and account:
        return Principal("account", account=account)
    kind, _, path = rest.partition("/")
    if kind == "user" and path:
        return Principal("user", account=account, name=path.rpartition("/")[2])
    if kind in _ROLE_KINDS and path:
        return Principal("other", account=account, name=rest)
    raise ValueError(text)
