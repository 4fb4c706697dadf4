"""Who an access key belongs to, and the secret its requests are signed with.

Looked up once per access key and configuration epoch: the ledger moves the epoch on whenever a user or
a key changes, so a disabled key stops working with the next request in every worker.
"""

from typing import Any, Final, Protocol

from objstore.iam.sealing import Sealer
from objstore.meta import queries
from objstore.model import AccessKey, Identity, User

CACHE_MAX: Final = 10_000
"""Access keys remembered per process; past it the cache starts anew."""


class Reader(Protocol):
    """The part of `meta.client.Metadata` that is used here."""

    def read_now(self, query: Any, *args: Any) -> Any:
        """The answer of a point lookup, inline."""
        ...


class Epoch(Protocol):
    """The part of `SharedState` that is used here."""

    @property
    def epoch(self) -> int:
        """Moves when users or keys changed."""
        ...


class Credentials:
    """Access keys of one deployment, as one process sees them."""

    def __init__(self, metadata: Reader, sealer: Sealer, shared_state: Epoch) -> None:
        self._metadata = metadata
        self._sealer = sealer
        self._shared_state = shared_state
        self._known: dict[str, tuple[Identity, str]] = {}
        self._epoch = -1

    def find(self, access_key: str) -> tuple[Identity, str] | None:
        """Identity and secret of an enabled key of an enabled user; None for every other key.

        Unknown keys are not remembered: they cost a point lookup, and no memory.
        Raises SealBroken when the key file does not fit the stored secret.
        """
        epoch = self._shared_state.epoch  # read before the rows: what is read later can only be newer
        if epoch != self._epoch or len(self._known) >= CACHE_MAX:
            self._known.clear()
            self._epoch = epoch
        found = self._known.get(access_key)
        if found is None:
            found = self._look_up(access_key)
            if found is not None:
                self._known[access_key] = found
        return found

    def _look_up(self, access_key: str) -> tuple[Identity, str] | None:
        row: AccessKey | None = self._metadata.read_now(queries.access_key, access_key)
        if row is None or not row.is_enabled:
            return None
        user: User | None = self._metadata.read_now(queries.user_by_id, row.user_id)
        if user is None or not user.is_enabled:
            return None
        identity = Identity(
            user_id=user.id,
            name=user.name,
            display_name=user.display_name,
            access_key=access_key,
            is_root=user.is_root,
        )
        return identity, self._sealer.open(row.secret_sealed, access_key)
