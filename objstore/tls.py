"""The door's certificate."""

import ssl

from objstore.config import Config, ConfigError


def tls_context(config: Config) -> ssl.SSLContext | None:
    """From the certificate and key files; None where none is set. Raises ConfigError when they do not fit."""
    if config.tls_certificate is None or config.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key)
    except (OSError, ssl.SSLError) as exc:
        files = f"{config.tls_certificate} and {config.tls_key}"
        raise ConfigError(
            f"tls_certificate and tls_key: {files} cannot be used ({exc.strerror or exc}); "
            "allowed are a certificate chain and its unencrypted private key, in PEM"
        ) from None
    return context
