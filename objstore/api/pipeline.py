"""The life of a request, top to bottom: `S3Door.answer`."""

import hashlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from objstore import blocking
from objstore.api import authenticate, matching, render, website
from objstore.api.authenticate import NOBODY, Credentials
from objstore.api.body import ChunkedBody, PlainBody, check_framing, open_body
from objstore.api.call import Buckets, Call, Operation, Scope
from objstore.api.exchange import Exchange
from objstore.api.observing import LineSink, Observer
from objstore.api.render import Response
from objstore.iam.authorise import owns
from objstore.iam.circumstances import NOTHING_SAID, Asked, Circumstances
from objstore.iam.mfa import MfaDevices
from objstore.iam.permissions import Permissions
from objstore.iam.principals import could_be_account, is_account
from objstore.model import Bucket, Identity
from objstore.s3 import checksums, errors, integrity, names, sigv4, xml
from objstore.s3.documents import cors
from objstore.s3.documents.acl import AccessControlPolicy
from objstore.s3.documents.locking import LegalHold, Retention
from objstore.s3.documents.multipart import CompleteMultipartUpload
from objstore.s3.errors import S3Error
from objstore.s3.integrity import Integrity
from objstore.service import Services

BUCKET_SCOPES: Final = frozenset({"bucket", "object"})
"""Scopes whose requests name a bucket that must be there."""
CONTROL_VERSION: Final = "v20180820"
"""The first segment of S3 Control's paths; only with its x-amz-account-id is it no bucket."""
ACCOUNT_BLOCK_PATH: Final = "configuration/publicAccessBlock"
"""The rest of the path, where it is about public access to an account's buckets."""
REPEATABLE: Final = frozenset({"events", "tagKeys"})
"""Query parameters that may come several times."""
PARSE_INLINE_BYTES: Final = 32 * 1024
"""Longer documents are parsed off the event loop."""

_log = logging.getLogger("objstore.api")


class Index(Protocol):
    """Where facts are read: what the door needs to know of it."""

    @property
    def is_readable(self) -> bool:
        """Whether it can be read now."""
        ...

    async def wait_readable(self) -> None:
        """Wait (bounded) until it can. Raises what is answered then."""
        ...


class S3Door:
    """What answers S3 requests: the services behind it and the names it goes by."""

    def __init__(
        self,
        services: Services,
        buckets: Buckets,
        credentials: Credentials,
        permissions: Permissions,
        devices: MfaDevices,
        translate: Callable[[BaseException], S3Error | None],
        *,
        regions: Sequence[str],
        domains: Sequence[str] = (),
        website_domains: Sequence[str] = (),
        host_id: str = "",
        spool: LineSink | None = None,
        index: Index | None = None,
    ) -> None:
        """`regions`: those accepted in signatures, the server's own first. `domains`: see `parse_target`.
        `website_domains`: those under which a bucket is a website.

        `translate` is `service.failures.translate`; what it does not know is an InternalError. `spool` takes
        the lines of buckets' access logs; without it there are none. While `index` cannot be read (its ledger
        starts, or builds it anew) requests wait.
        """
        self.index = index
        self.services = services
        self.permissions = permissions
        self.authoriser = permissions.authoriser
        self.buckets = buckets
        self.credentials = credentials
        self.devices = devices
        self.translate = translate
        self.regions = tuple(regions)
        self.domains = names.regional_forms(domains, regions, "s3")
        self.website_domains = names.regional_forms(website_domains, regions, "s3-website")
        self.host_id = host_id or os.urandom(24).hex()
        self.observer = Observer(services.watches, self.authoriser, self.host_id, spool)

    async def answer(self, exchange: Exchange) -> Response:
        """The response to a request. Never raises, except when the exchange is cancelled."""
        exchange.observer = self.observer
        response = await self._answer(exchange)
        if exchange.origin is not None and (allowed := self._cross_origin(exchange)):
            response.headers = {**response.headers, **allowed}
        return response

    async def _answer(self, exchange: Exchange) -> Response:
        request = exchange.request
        bucket: Bucket | None = None
        named = ""
        about = NOTHING_SAID
        try:
            if self.index is not None and not self.index.is_readable:
                await self.index.wait_readable()
            headers = _fold(request.headers)
            check_framing(headers)
            if self.website_domains and (site := names.bucket_in_host(headers["host"], self.website_domains)):
                exchange.origin = (headers["origin"], site) if "origin" in headers else None
                return await website.answer(self, exchange, headers, site)
            address = names.parse_target(request.target, headers["host"], self.domains)
            if "origin" in headers and address.bucket:
                exchange.origin = headers["origin"], address.bucket
            named, exchange.key = address.bucket, address.key
            query = names.parse_query(address.raw_query, REPEATABLE)
            contradiction = _adopt_presigned_headers(query, headers)
            operation = matching.match(request.method, _scope(address, headers), query, headers)
            exchange.operation = operation

            signed = sigv4.SignedRequest(request.method, address.raw_path, address.raw_query, request.headers)
            proof = NOBODY
            if request.method != "OPTIONS":  # a preflight has the query, not the headers, that may be signed
                proof = authenticate.authenticate(
                    signed,
                    self.credentials,
                    self.regions,
                    bucket=address.bucket,
                    is_path_style=address.path_style,
                )
            exchange.identity = proof.identity
            if contradiction is not None:
                raise contradiction

            if operation.handler is None:
                raise _not_offered(operation)
            if operation.scope == "object":
                names.check_key(address.key)
            if operation.scope in BUCKET_SCOPES and operation.name != "CreateBucket":
                # Of no bucket, a preflight has an answer of its own, and a form says first who asks.
                is_told_later = operation.name in ("PreflightBucket", "PreflightObject", "PostObject")
                find = self.buckets.find if is_told_later else self._find_bucket
                bucket = exchange.bucket = find(address.bucket)
                if bucket is not None:
                    exchange.watch = self.observer.watches.of(bucket)
            about = exchange.about = Circumstances(
                query, headers, request.remote, request.is_secure, tls=request.tls
            )
            _check_owner(bucket, headers)
            if operation.anonymous_refusal and proof.identity.is_anonymous:
                raise errors.AccessDenied(operation.anonymous_refusal)
            if not operation.is_judged_by_document:
                self._authorise(operation, proof.identity, bucket, address.key, about)

            body = open_body(exchange.wire, operation, proof, headers)
            document = await _read_document(operation, body, headers)
            if document is not None:
                about = exchange.about = about._replace(document=document)
            if operation.is_judged_by_document:
                self._authorise(operation, proof.identity, bucket, address.key, about)
            call = Call(
                operation=operation,
                request_id=exchange.request_id,
                identity=proof.identity,
                services=self.services,
                permissions=self.permissions,
                method=request.method,
                bucket_name=address.bucket,
                key=address.key,
                query=query,
                headers=headers,
                body=body,
                document=document,
                bucket=bucket,
                remote=request.remote,
                is_secure=request.is_secure,
                path_style=address.path_style,
                host=headers["host"],
                host_id=self.host_id,
                raw_path=address.raw_path,
                authority=self,
                about=about,
                notes=exchange.notes,
            )
            response = await render.render(await operation.handler(call), request.method)
            if self._charges(call):
                response.headers = {**response.headers, "x-amz-request-charged": "requester"}
            return response
        except Exception as exc:
            if about is NOTHING_SAID:
                about = Circumstances(remote=request.remote, is_secure=request.is_secure)
            if exchange.bucket is None and named:
                self._note_bucket(exchange, named, about)
            return self._refuse(exchange, exc, bucket, about)

    def is_path_style(self, target: str, host: str) -> bool:
        """Whether `host` is the server's own name and not that of a bucket."""
        is_website = names.bucket_in_host(host, self.website_domains) is not None
        return not is_website and names.parse_target(target, host, self.domains).path_style

    # What handlers may ask further: `call.Authority`.

    async def require(
        self,
        identity: Identity,
        action: str,
        bucket_name: str,
        key: str | None,
        version_id: str | None,
        about: Circumstances,
    ) -> Bucket:
        """See `call.Authority.require`."""
        bucket = self._find_bucket(bucket_name)
        self.authoriser.require(Asked(identity, action, bucket, key, version_id, about))
        return bucket

    def refuse_denied(
        self, identity: Identity, action: str, bucket: Bucket, key: str | None, about: Circumstances
    ) -> None:
        """See `call.Authority.refuse_denied`."""
        self.authoriser.refuse_denied(Asked(identity, action, bucket, key, about=about))

    async def prove_mfa(self, identity: Identity, bucket: Bucket, header: str) -> None:
        """See `call.Authority.prove_mfa`."""
        await self.devices.prove(identity, bucket, header)

    def authenticate_form(self, fields: Mapping[str, str]) -> Identity:
        """See `call.Authority.authenticate_form`."""
        return authenticate.authenticate_form(fields, self.credentials, self.regions)

    def _find_bucket(self, name: str) -> Bucket:
        """The bucket of this name; as on S3, anybody may learn that there is none."""
        bucket = self.buckets.find(name)
        if bucket is not None:
            return bucket
        names.check_bucket_name(name)
        raise errors.NoSuchBucket(BucketName=name)

    def _note_bucket(self, exchange: Exchange, name: str, about: Circumstances) -> None:
        """Whoever is refused before the bucket matters still stands in its log."""
        try:
            bucket = self.buckets.find(name)
        except Exception as exc:
            if self.translate(exc) is None:
                raise
            return
        if bucket is not None and exchange.operation.scope in BUCKET_SCOPES:
            exchange.bucket, exchange.about = bucket, about
            exchange.watch = self.observer.watches.of(bucket)

    def _cross_origin(self, exchange: Exchange) -> dict[str, str]:
        """The headers that let the page read the answer; none where the bucket's CORS rules do not."""
        request = exchange.request
        if exchange.origin is None or request.method == "OPTIONS":
            return {}
        origin, name = exchange.origin
        try:
            bucket = self.buckets.find(name)
            rules = None if bucket is None else self.services.subresources.find(bucket, "cors")
        except Exception as exc:
            if self.translate(exc) is None:
                raise
            return {}
        # A program that is no browser may name what it asks about outside a preflight, too.
        asked = {k.lower(): v for k, v in request.headers if k.lower().startswith("access-control-request-")}
        method = asked.get("access-control-request-method") or request.method
        requested = cors.requested_headers(asked.get("access-control-request-headers", ""))
        match = None if rules is None else cors.find(rules, origin, method, requested)
        return {} if match is None else match.headers()

    def _authorise(
        self,
        operation: Operation,
        identity: Identity,
        bucket: Bucket | None,
        key: str,
        about: Circumstances,
    ) -> None:
        """Raise AccessDenied unless the sender may do this."""
        action, version_id = operation.action, about.query.get("versionId")
        if operation.version_action is not None and version_id is not None:
            action = operation.version_action
        if action is not None:
            self.authoriser.require(Asked(identity, action, bucket, key or None, version_id, about))

    def _may_list(self, identity: Identity, bucket: Bucket | None, about: Circumstances) -> bool:
        """Whether the sender may learn that there is no such key; no, while that cannot be looked up."""
        if bucket is None:
            return False
        try:
            return self.authoriser.is_allowed(Asked(identity, "s3:ListBucket", bucket, about=about))
        except Exception as exc:
            if self.translate(exc) is None:
                raise
            return False

    def _charges(self, call: Call) -> bool:
        """Whether whoever sent this request pays for it, or for what it copies."""
        source = call.notes.source
        if source is not None and self._pays(call.identity, source.bucket):
            return True
        return call.bucket is not None and self._pays(call.identity, call.bucket)

    def _pays(self, identity: Identity, bucket: Bucket) -> bool:
        return not owns(identity, bucket) and self.authoriser.access_of(bucket).requester_pays

    def _refuse(
        self, exchange: Exchange, failure: Exception, bucket: Bucket | None, about: Circumstances
    ) -> Response:
        error = self.translate(failure)
        if error is None:
            _log.error(
                "%s failed",
                exchange.operation.name,
                exc_info=failure,
                extra={"request_id": exchange.request_id},
            )
            error = errors.InternalError()
        if isinstance(error, errors.NoSuchKey) and not self._may_list(exchange.identity, bucket, about):
            error = errors.AccessDenied()
        exchange.code = error.code
        request = exchange.request
        if isinstance(error, errors.MethodNotAllowed):
            error.elements = {"Method": request.method, **error.elements}
        if exchange.operation.name == "HeadBucket" and error.status in (301, 400, 403):
            error.headers.setdefault("x-amz-bucket-region", bucket.region if bucket else self.regions[0])
        resource = request.target.partition("?")[0].encode("utf-8", "replace").decode()
        return render.render_error(
            error,
            request.method,
            resource,
            exchange.request_id,
            self.host_id,
            is_control=exchange.operation.scope == "control",
        )


def _scope(address: names.Address, headers: Mapping[str, str]) -> Scope:
    if address.key:
        is_control = address.bucket == CONTROL_VERSION and "x-amz-account-id" in headers
        if is_control and address.path_style:
            return "account" if address.key == ACCOUNT_BLOCK_PATH else "control"
        return "object"
    return "bucket" if address.bucket else "service"


_ONCE: Final = frozenset(
    {
        "authorization",
        "content-length",
        "content-md5",
        "content-type",
        "date",
        "expect",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "range",
        "transfer-encoding",
        "x-amz-content-sha256",
        "x-amz-copy-source",
        "x-amz-date",
        "x-amz-decoded-content-length",
        "x-amz-security-token",
        "x-amz-trailer",
    }
)
"""Headers that two readers would understand differently if they came twice."""


def _fold(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Headers by lower-case name; repeated ones joined by a comma. Raises BadRequest."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        name = name.lower()
        if name not in headers:
            headers[name] = value
        elif name in _ONCE:
            raise errors.BadRequest(f"The {name} header must be sent once.")
        else:
            headers[name] += f",{value}"
    if "host" not in headers:
        raise errors.BadRequest("The Host header is missing.")
    return headers


_PRESIGNING: Final = frozenset(
    {
        "x-amz-algorithm",
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    }
)


def _adopt_presigned_headers(query: Mapping[str, str], headers: dict[str, str]) -> S3Error | None:
    """Take the x-amz-* headers that a presigned URL carries in its query for headers.

    Some SDKs presign them so (`&x-amz-acl=…`), and whoever signed meant them. Done before anything is
    decided, so that there is one view of what is asked. The answer where both disagree and the signature is
    right all the same; None where they agree.
    """
    is_version_2 = "AWSAccessKeyId" in query and "Signature" in query
    if "X-Amz-Signature" not in query and not is_version_2:
        return None
    contradiction: S3Error | None = None
    for parameter, value in query.items():
        name = parameter.lower()
        is_content = is_version_2 and name in ("content-type", "content-md5")
        if not (name.startswith("x-amz-") or is_content) or name in _PRESIGNING:
            continue
        if headers.setdefault(name, value) != value:
            contradiction = errors.InvalidArgument(
                "A header and a query parameter of the same name have different values.",
                ArgumentName=name,
                ArgumentValue=value,
            )
    return contradiction


def _check_owner(bucket: Bucket | None, headers: Mapping[str, str]) -> None:
    """Raise AccessDenied unless the bucket's owner is the one whom the sender expects,
    InvalidBucketOwnerAWSAccountID where that could be nobody."""
    expected = headers.get("x-amz-expected-bucket-owner")
    if expected is not None and bucket is not None and not is_account(expected, bucket.owner_id):
        if could_be_account(expected):
            raise errors.AccessDenied
        raise errors.InvalidBucketOwnerAWSAccountID(
            "The value of the expected bucket owner parameter must be an AWS Account ID..."
            f" [{ascii(expected)[1:-1]}]"
        )


def _not_offered(operation: Operation) -> S3Error:
    return errors.NotImplemented(f"{operation.name} is not implemented. {operation.reason}".rstrip())


_MALFORMED: Final[Mapping[type[Any], type[S3Error]]] = {AccessControlPolicy: errors.MalformedACL}
"""What S3 says instead of MalformedXML of a few documents."""
_MISSING: Final[Mapping[type[Any], type[S3Error]]] = {
    CompleteMultipartUpload: errors.MalformedXML,
    LegalHold: errors.MalformedXML,
    Retention: errors.MalformedXML,
    bytes: errors.MalformedPolicy,  # the one document that is no XML
}
"""What S3 says instead of MissingRequestBodyError where a few documents are not there."""


async def _read_document(
    operation: Operation, body: PlainBody | ChunkedBody, headers: Mapping[str, str]
) -> Any:
    """The operation's document, its digests checked; None where there is none to read.

    Raises MalformedXML, MissingRequestBody, and what `integrity.check` raises.
    """
    cls = operation.document
    if cls is None:
        return None
    try:
        data = await body.read(xml.limit_of(cls))
    except errors.EntityTooLarge:
        raise errors.MalformedXML from None
    announced = integrity.parse_integrity(_about_body(operation, headers))
    if announced.is_given:
        _check_digests(announced, data, body.trailers)
    if not data:
        if operation.is_document_optional:
            return None
        raise _MISSING.get(cls, errors.MissingRequestBody)
    if cls is bytes:
        return data
    try:
        if len(data) <= PARSE_INLINE_BYTES:
            return xml.parse(cls, data)
        return await blocking.run(xml.parse, cls, data)
    except errors.MalformedXML as exc:
        raise _MALFORMED.get(cls, type(exc))() from exc


def _about_body(operation: Operation, headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers that speak of digests of this request's body."""
    if not operation.checksums_are_of_object:
        return headers
    return {"content-md5": headers["content-md5"]} if "content-md5" in headers else {}


def _check_digests(announced: Integrity, data: bytes, trailers: Mapping[str, str]) -> None:
    value = None
    if announced.algorithm is not None:
        hasher = checksums.ALGORITHMS[announced.algorithm].new()
        hasher.update(data)
        value = checksums.encoded(hasher.digest())
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    integrity.check(announced, md5, value, trailers)
