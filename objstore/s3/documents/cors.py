"""Cross-origin rules of a bucket."""

from objstore.s3.xml import document, element


@document
class CORSRule:
    id: str | None = element("ID", default=None)
    allowed_headers: tuple[str, ...] = element("AllowedHeader", default=())
    allowed_methods: tuple[str, ...] = element("AllowedMethod")
    allowed_origins: tuple[str, ...] = element("AllowedOrigin")
    expose_headers: tuple[str, ...] = element("ExposeHeader", default=())
    max_age_seconds: int | None = None


@document
class CORSConfiguration:
    rules: tuple[CORSRule, ...] = element("CORSRule")
