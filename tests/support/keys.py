"""A keyring over any metadata, under a key file of zeros."""

from typing import Any

from objstore.encryption.envelope import LOCAL, Envelopes
from objstore.encryption.keyring import Keyring
from objstore.iam.sealing import Sealer
from tests.support.shared import NeverMoves


def envelopes_over(facts: Any) -> Envelopes:
    """Envelopes whose master keys are kept in `facts`."""
    keyring = Keyring(facts, Sealer(bytes(32)), NeverMoves())
    return Envelopes(keyring, {LOCAL: keyring}, LOCAL, "default")
