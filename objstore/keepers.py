"""Who keeps master keys, put together from the settings."""

from objstore.config import Config
from objstore.encryption.envelope import LOCAL, Envelopes
from objstore.encryption.keyring import Keyring
from objstore.encryption.provider import KeyProvider
from objstore.encryption.vault import Vault
from objstore.iam.sealing import Sealer
from objstore.meta.client import Metadata
from objstore.shared_state import SharedState


def keyring_of(metadata: Metadata, sealer: Sealer, shared: SharedState) -> Keyring:
    """The server's own keyring."""
    return Keyring(metadata, sealer, shared)


def envelopes_of(config: Config, keyring: Keyring) -> Envelopes:
    """Envelopes over the keyring, and over Vault where the settings name one. Close them."""
    providers: dict[str, KeyProvider] = {LOCAL: keyring}
    if config.vault_address is not None and config.vault_token_file is not None:
        providers["vault"] = Vault(
            config.vault_address, config.vault_mount, config.vault_token_file, config.vault_ca_file
        )
    return Envelopes(keyring, providers, config.kms, config.kms_default_key)
