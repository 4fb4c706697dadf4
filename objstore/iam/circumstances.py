"""The circumstances of a request, as the condition keys of policies ask for them.

Nothing is worked out until a policy asks: most requests meet none.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from objstore import clock
from objstore.iam.patterns import Lookup
from objstore.iam.principals import account_id, arn
from objstore.model import Bucket, Identity, ObjectVersion, Upload
from objstore.s3.copy_source import HEADER as COPY_SOURCE
from objstore.s3.copy_source import parse_copy_source
from objstore.s3.documents.access import OwnershipControls
from objstore.s3.documents.control import TagResourceRequest
from objstore.s3.documents.inventory import InventoryConfiguration
from objstore.s3.documents.locking import LegalHold, Retention
from objstore.s3.documents.tagging import Tagging
from objstore.s3.encryption import HEADER, KMS_KEY_HEADER, encryption_headers
from objstore.s3.errors import S3Error
from objstore.s3.object_headers import parse_tagging
from objstore.s3.xml import write_instant

_NOTHING: Final[Mapping[str, str]] = {}
_DAY_S: Final = 24 * 60 * 60


class Circumstances(NamedTuple):
    """What a request says besides who asks for what. Header names are lower case.

    (A tuple, as `Asked` is, because one is made for every request: a frozen dataclass takes 1 µs more.)
    """

    query: Mapping[str, str] = _NOTHING
    headers: Mapping[str, str] = _NOTHING
    remote: str = ""
    """The address it came from."""
    is_secure: bool = False
    tags: Mapping[str, str] | None = None
    """The tags it would give an object, where they stand neither in x-amz-tagging nor in the document."""
    document: Any = None
    """The document it came with, parsed; None while it is unread."""
    tls: Any = None
    """The connection's `ssl.SSLObject`; None without TLS, or where nobody knows."""


NOTHING_SAID: Final = Circumstances()


class Asked(NamedTuple):
    """One question: may `identity` do `action` to `bucket`, or to `key` in it?"""

    identity: Identity
    action: str
    bucket: Bucket | None
    key: str | None = None
    version_id: str | None = None
    about: Circumstances = NOTHING_SAID

    @property
    def resource(self) -> str:
        """The ARN of what it is about."""
        name = "" if self.bucket is None else self.bucket.name
        return f"arn:aws:s3:::{name}" if self.key is None else f"arn:aws:s3:::{name}/{self.key}"


def lookup_of(
    asked: Asked,
    version: Callable[[], ObjectVersion | None],
    bucket_tags: Mapping[str, str] = _NOTHING,
    upload: Callable[[], Upload | None] = lambda: None,
) -> Lookup:
    """The values of condition keys for this question; `version` finds the object as it is, `upload` the
    upload that the request belongs to.

    `bucket_tags` are the bucket's own as far as they decide anything, which they do with ABAC enabled.
    """

    def lookup(key: str) -> tuple[str, ...] | None:
        name, _, tag = key.partition("/")
        if tag:
            if name in _BUCKET_TAG_KEYS:
                value = bucket_tags.get(tag)
            else:
                value = _tag_value(asked, name, tag, version)
            return None if value is None else (value,)
        several = _SEVERAL.get(name)
        if several is not None:
            return several(asked)
        find = _KEYS.get(name)
        if find is not None:
            value = find(asked)
        elif name.startswith(("s3:x-amz-", "s3:if-")):
            value = asked.about.headers.get(name[3:])
            if value is None and name in _TOLD_BY_UPLOAD and asked.action == "s3:PutObject":
                value = _encryption_of(upload(), name[3:])
        else:
            value = None
        return None if value is None else (value,)

    return lookup


def service_keys(service: str, source: Bucket) -> Mapping[str, tuple[str, ...] | None]:
    """The condition keys that are different when a service acts by itself on behalf of a bucket."""
    return {
        "aws:principalisawsservice": ("true",),
        "aws:principalservicename": (service,),
        "aws:principaltype": None,
        "aws:securetransport": ("true",),
        "aws:sourceaccount": (account_id(source.owner_id),),
        "aws:sourcearn": (f"arn:aws:s3:::{source.name}",),
        "aws:sourceip": None,
        "aws:userid": None,
    }


def _encryption_of(upload: Upload | None, header: str) -> str | None:
    """What the request that began an upload said, or could have said, of encryption.

    A part may not say it again, so that a policy that asks for it would let nobody upload parts.
    """
    if upload is None or upload.attributes.encryption is None:
        return None
    return encryption_headers(upload.attributes.encryption).get(header)


def _tag_value(asked: Asked, name: str, tag: str, version: Callable[[], ObjectVersion | None]) -> str | None:
    if name == "s3:existingobjecttag":
        found = version()
        return None if found is None else found.tags.get(tag)
    if name == "s3:requestobjecttag":
        return _request_tags(asked).get(tag)
    if name == "aws:requesttag":
        return _bucket_tags_given(asked).get(tag)
    return None


def _request_tags(asked: Asked) -> Mapping[str, str]:
    if asked.about.tags is not None:
        return asked.about.tags
    if asked.key is not None and isinstance(asked.about.document, Tagging):
        return {tag.key: tag.value for tag in asked.about.document.tags}
    try:
        return parse_tagging(asked.about.headers.get("x-amz-tagging", ""))
    except S3Error:  # the handler will say what is wrong with them
        return _NOTHING


def _bucket_tags_given(asked: Asked) -> Mapping[str, str]:
    """The tags that a request would give the bucket itself."""
    document = asked.about.document
    if asked.key is None and isinstance(document, Tagging | TagResourceRequest):
        return {tag.key: tag.value for tag in document.tags}
    return _NOTHING


def _bucket_tag_keys(asked: Asked) -> tuple[str, ...] | None:
    """The keys of the tags that a request would give the bucket, or take away."""
    if asked.action == "s3:UntagResource":
        return tuple(asked.about.query.get("tagKeys", "").split(","))
    return tuple(_bucket_tags_given(asked)) or None


def _inventory_fields(asked: Asked) -> tuple[str, ...] | None:
    document = asked.about.document
    if not isinstance(document, InventoryConfiguration):
        return None
    return document.optional_fields or ()


def _known(value: Callable[[Identity], str]) -> Callable[[Asked], str | None]:
    """Of callers who have said who they are."""
    return lambda asked: None if asked.identity.is_anonymous else value(asked.identity)


def _query(name: str) -> Callable[[Asked], str | None]:
    return lambda asked: asked.about.query.get(name)


def _header(name: str) -> Callable[[Asked], str | None]:
    return lambda asked: asked.about.headers.get(name)


def _principal_type(asked: Asked) -> str:
    if asked.identity.is_anonymous:
        return "Anonymous"
    return "Account" if asked.identity.is_root else "User"


def _owner_account(asked: Asked) -> str | None:
    return None if asked.bucket is None else account_id(asked.bucket.owner_id)


def auth_type(asked: Asked) -> str | None:
    """How the request was signed: s3:authType; None when nobody signed it."""
    if asked.identity.is_anonymous:
        return None
    if "authorization" in asked.about.headers:
        return "REST-HEADER"
    return "REST-QUERY-STRING" if _is_presigned(asked) else "POST"


def _is_presigned(asked: Asked) -> bool:
    return "X-Amz-Signature" in asked.about.query or "Signature" in asked.about.query


def signature_version(asked: Asked) -> str | None:
    """s3:signatureversion; None when nobody signed it."""
    if asked.identity.is_anonymous:
        return None
    is_v2 = (
        asked.about.headers.get("authorization", "").startswith("AWS ") or "Signature" in asked.about.query
    )
    return "AWS" if is_v2 else "AWS4-HMAC-SHA256"


def _signature_age_ms(asked: Asked) -> str | None:
    """Of a SigV4 signature: how long ago it was made."""
    text = asked.about.query.get("X-Amz-Date") or asked.about.headers.get("x-amz-date")
    if asked.identity.is_anonymous or text is None:
        return None
    try:
        signed = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None
    return str(max(0, clock.now_ms() - int(signed.timestamp() * 1000)))


def _copy_source(asked: Asked) -> str | None:
    """Bucket and key in one form, however the header writes them."""
    header = asked.about.headers.get(COPY_SOURCE)
    if header is None:
        return None
    try:
        source = parse_copy_source(header)
    except S3Error:
        return header
    return f"{source.bucket}/{source.key}"


def _lock_mode(asked: Asked) -> str | None:
    document = asked.about.document
    if isinstance(document, Retention):
        return document.mode
    return asked.about.headers.get("x-amz-object-lock-mode")


def _legal_hold(asked: Asked) -> str | None:
    document = asked.about.document
    if isinstance(document, LegalHold):
        return document.status
    return asked.about.headers.get("x-amz-object-lock-legal-hold")


def _retain_until(asked: Asked) -> str | None:
    document = asked.about.document
    if isinstance(document, Retention):
        until = document.retain_until_date
        return None if until is None else write_instant(until)
    return asked.about.headers.get("x-amz-object-lock-retain-until-date")


def _remaining_days(asked: Asked) -> str | None:
    text = _retain_until(asked)
    if text is None:
        return None
    try:
        until = datetime.fromisoformat(text)
    except ValueError:
        return None
    seconds = (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - clock.now_s()
    return str(int(seconds // _DAY_S))


def _ownership(asked: Asked) -> str | None:
    document = asked.about.document
    if isinstance(document, OwnershipControls) and document.rules:
        return document.rules[0].object_ownership
    return asked.about.headers.get("x-amz-object-ownership")


def _payload(asked: Asked) -> str | None:
    """What is signed of the body: a presigned request mostly signs nothing of it and says so nowhere."""
    given = asked.about.headers.get("x-amz-content-sha256") or asked.about.query.get("X-Amz-Content-Sha256")
    if given is None and "X-Amz-Signature" in asked.about.query:
        return "UNSIGNED-PAYLOAD"
    return given


def _tls_version(asked: Asked) -> str | None:
    """ "1.2" or "1.3"."""
    version = None if asked.about.tls is None else asked.about.tls.version()
    return None if version is None else str(version).removeprefix("TLSv")


def _is_creation(asked: Asked) -> str | None:
    if asked.action != "s3:PutObject":
        return None
    is_part = "uploads" in asked.about.query or "partNumber" in asked.about.query
    return "false" if is_part else "true"


_TOLD_BY_UPLOAD: Final = frozenset(f"s3:{header}" for header in (HEADER, KMS_KEY_HEADER))
_BUCKET_TAG_KEYS: Final = frozenset({"aws:resourcetag", "s3:buckettag"})

_SEVERAL: Final[Mapping[str, Callable[[Asked], tuple[str, ...] | None]]] = {
    "aws:tagkeys": _bucket_tag_keys,
    "s3:inventoryaccessibleoptionalfields": _inventory_fields,
    "s3:requestobjecttagkeys": lambda asked: tuple(_request_tags(asked)),
}
"""The keys that may have several values."""

_KEYS: Final[Mapping[str, Callable[[Asked], str | None]]] = {
    "aws:currenttime": lambda asked: write_instant(clock.now_ms()),
    "aws:epochtime": lambda asked: str(clock.now_s()),
    "aws:principalaccount": _known(lambda identity: account_id(identity.user_id)),
    "aws:principalarn": _known(arn),
    "aws:principalisawsservice": lambda asked: "false",
    "aws:principaltype": _principal_type,
    "aws:referer": _header("referer"),
    "aws:requestedregion": lambda asked: None if asked.bucket is None else asked.bucket.region,
    "aws:resourceaccount": _owner_account,
    "aws:securetransport": lambda asked: "true" if asked.about.is_secure else "false",
    "aws:sourceip": lambda asked: asked.about.remote or None,
    "aws:useragent": _header("user-agent"),
    "aws:userid": lambda asked: "anonymous" if asked.identity.is_anonymous else asked.identity.user_id,
    "aws:username": lambda asked: (
        None if asked.identity.is_anonymous or asked.identity.is_root else asked.identity.name
    ),
    "aws:viaawsservice": lambda asked: "false",
    "s3:annotationname": _query("annotationName"),
    "s3:authtype": auth_type,
    "s3:delimiter": _query("delimiter"),
    "s3:max-keys": _query("max-keys"),
    "s3:object-lock-legal-hold": _legal_hold,
    "s3:object-lock-mode": _lock_mode,
    "s3:object-lock-remaining-retention-days": _remaining_days,
    "s3:object-lock-retain-until-date": _retain_until,
    "s3:objectcreationoperation": _is_creation,
    "s3:prefix": _query("prefix"),
    "s3:resourceaccount": _owner_account,
    "s3:signatureage": _signature_age_ms,
    "s3:signatureversion": signature_version,
    "s3:tlsversion": _tls_version,
    "s3:versionid": lambda asked: asked.version_id,
    "s3:x-amz-content-sha256": _payload,
    "s3:x-amz-copy-source": _copy_source,
    "s3:x-amz-object-ownership": _ownership,
}
"""How each condition key's value is found; those that are a header's name are not listed."""
