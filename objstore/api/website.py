"""A bucket as a website: GET and HEAD for browsers, at a domain of its own, with errors as pages.

Everyone may ask, and gets what the bucket's policy gives to everyone. Source: Amazon S3 user guide, "Key
differences between a website endpoint and a REST API endpoint".
"""

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from html import escape
from http import HTTPStatus
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import quote

from objstore.api import render
from objstore.api.call import Authority, Buckets, Call, Operation, Reply
from objstore.api.exchange import Exchange
from objstore.api.handlers import objects
from objstore.api.observing import Observer
from objstore.api.render import Response
from objstore.iam.circumstances import Circumstances
from objstore.iam.permissions import Permissions
from objstore.model import ANONYMOUS, Bucket
from objstore.s3 import errors, names
from objstore.s3.documents import website as rules
from objstore.s3.documents.website import WebsiteConfiguration
from objstore.s3.errors import S3Error
from objstore.s3.object_headers import REDIRECT_HEADER
from objstore.service import Services

WEBSITE: Final = Operation("WebsiteGet", "GET", "object", (), "s3:GetObject", objects.get)
"""What metrics and logs call a page; no row of the table, for the host chooses it and not the request."""
_CONDITIONAL: Final = (
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
)
_NO_ERROR_DOCUMENT: Final = "An Error Occurred While Attempting to Retrieve a Custom Error Document"
_log = logging.getLogger("objstore.api")


class Door(Authority, Protocol):
    """The part of the S3 door that a website needs."""

    services: Services
    permissions: Permissions
    buckets: Buckets
    observer: Observer
    host_id: str
    translate: Callable[[BaseException], S3Error | None]


async def answer(door: Door, exchange: Exchange, headers: Mapping[str, str], name: str) -> Response:
    """The response to a request that came to the website of the bucket called `name`."""
    exchange.operation = WEBSITE
    try:
        site = _Site(door, exchange, headers, name)
        return await render.render(await site.answer(), exchange.request.method)
    except _NoErrorDocument as exc:
        exchange.code = exc.error.code
        return _page(exc.error, exchange.request.method, exchange.request_id, door.host_id, exc.failure)
    except Exception as exc:
        error = door.translate(exc)
        if error is None:
            _log.error("website failed", exc_info=exc, extra={"request_id": exchange.request_id})
            error = errors.InternalError()
        exchange.code = error.code
        return _page(error, exchange.request.method, exchange.request_id, door.host_id)


class _NoErrorDocument(Exception):
    """The site's own page for `error` could not be had, because of `failure`."""

    def __init__(self, error: S3Error, failure: S3Error) -> None:
        super().__init__(error, failure)
        self.error, self.failure = error, failure


class _NoBody:
    """The body of a request that needs none."""

    length: int | None = 0
    trailers: Mapping[str, str] = MappingProxyType({})

    async def __aiter__(self) -> AsyncIterator[bytes]:
        return
        yield b""

    async def read(self, limit: int) -> bytes:
        return b""


class _Site:
    """One request to one website."""

    def __init__(self, door: Door, exchange: Exchange, headers: Mapping[str, str], name: str) -> None:
        request = exchange.request
        if request.method not in ("GET", "HEAD"):
            raise errors.MethodNotAllowed(
                headers={"allow": "GET, HEAD"}, Method=request.method, ResourceType="OBJECT"
            )
        bucket = door.buckets.find(name)
        if bucket is None:
            raise errors.NoSuchBucket(BucketName=name)
        exchange.bucket, exchange.watch = bucket, door.observer.watches.of(bucket)
        exchange.about = Circumstances({}, headers, request.remote, request.is_secure)
        configuration = door.services.subresources.find(bucket, "website")
        if configuration is None:
            raise errors.NoSuchWebsiteConfiguration(BucketName=name)
        self.bucket: Bucket = bucket
        self.configuration: WebsiteConfiguration = configuration
        self.scheme = "https" if request.is_secure else "http"
        self.host = headers["host"]
        address = names.parse_target(request.target, self.host)
        self.raw_path, self.raw_query = address.raw_path, address.raw_query
        self.key = exchange.key = names.decode_strictly(address.raw_path[1:])
        self.call = Call(
            operation=WEBSITE,
            request_id=exchange.request_id,
            identity=ANONYMOUS,
            services=door.services,
            permissions=door.permissions,
            method=request.method,
            bucket_name=name,
            key=self.key,
            query={},
            headers={key: value for key, value in headers.items() if not key.startswith("x-amz-")},
            body=_NoBody(),
            bucket=bucket,
            remote=request.remote,
            is_secure=request.is_secure,
            path_style=False,
            host=self.host,
            host_id=door.host_id,
            raw_path=address.raw_path,
            authority=door,
            about=exchange.about,
            notes=exchange.notes,
        )

    async def answer(self) -> Reply:
        everything = self.configuration.redirect_all_requests_to
        if everything is not None:
            return _redirect(
                301, rules.redirect_of_all(everything, self.raw_path, self.raw_query, self.scheme)
            )
        rule = rules.rule_for(self.configuration.routing_rules, self.key, None)
        if rule is not None:
            return _redirect(*rules.redirect_of(rule, self.key, self.scheme, self.host))
        assert self.configuration.index_document is not None, "checked when it was configured"
        suffix = self.configuration.index_document.suffix
        key = self.key + suffix if not self.key or self.key.endswith("/") else self.key
        try:
            return await self._object(key)
        except S3Error as error:
            if error.status < 400 or error.status >= 500 or error.status == 416:
                raise
            is_missing = error.status in (403, 404) and key == self.key
            if is_missing and await self._is_public(f"{key}/{suffix}"):
                return _redirect(302, f"/{quote(key)}/")
            rule = rules.rule_for(self.configuration.routing_rules, self.key, error.status)
            if rule is not None:
                return _redirect(*rules.redirect_of(rule, self.key, self.scheme, self.host))
            return await self._error_document(error)

    async def _object(self, key: str, call: Call | None = None) -> Reply:
        """The reply that is this object. Raises what a GET raises; AccessDenied in place of NoSuchKey for
        whoever may not list the bucket."""
        call = replace(call or self.call, key=names.check_key(key))
        await call.require("s3:GetObject", self.bucket.name, key)
        try:
            version = await call.services.objects.find(self.bucket, key)
        except errors.NoSuchKey:
            await call.require("s3:ListBucket", self.bucket.name)
            raise
        target = version.attributes.headers.get(REDIRECT_HEADER)
        if target is not None:
            return _redirect(301, target)
        return await (objects.head if call.method == "HEAD" else objects.get)(call)

    async def _is_public(self, key: str) -> bool:
        """Whether there is such an object and everyone may read it."""
        try:
            await self.call.require("s3:GetObject", self.bucket.name, names.check_key(key))
            await self.call.services.objects.find(self.bucket, key)
        except S3Error:
            return False
        return True

    async def _error_document(self, error: S3Error) -> Reply:
        """The site's own page for an error, with the error's status. Raises `error` where it has none,
        _NoErrorDocument where it cannot be had."""
        document = self.configuration.error_document
        if document is None:
            raise error
        plain = {name: value for name, value in self.call.headers.items() if name not in _CONDITIONAL}
        try:
            reply = await self._object(document.key, replace(self.call, headers=plain))
        except S3Error as failure:
            raise _NoErrorDocument(error, failure) from None
        if reply.status == 200:
            reply.status = error.status
            reply.headers = {**reply.headers, **_error_headers(error)}
        return reply


def _redirect(status: int, location: str) -> Reply:
    return Reply(status, {"location": location}, body=b"")


def _error_headers(error: S3Error) -> dict[str, str]:
    """What a program may want to know of an error that is shown as a page."""
    message = error.message.encode("ascii", "replace").decode()
    details = {
        f"x-amz-error-detail-{name.lower()}": value
        for name, value in error.elements.items()
        if value.isascii() and value.isprintable()
    }
    return {"x-amz-error-code": error.code, "x-amz-error-message": message.replace("\n", " "), **details}


def _page(
    error: S3Error, method: str, request_id: str, host_id: str, failure: S3Error | None = None
) -> Response:
    """An error as a page that a browser shows; `failure`: why the site's own page for it is not shown."""
    try:
        title = f"{error.status} {HTTPStatus(error.status).phrase}"
    except ValueError:
        title = str(error.status)
    told = _list(_told(error) | {"RequestId": request_id, "HostId": host_id})
    if failure is not None:
        told += f"<h3>{_NO_ERROR_DOCUMENT}</h3>\n{_list(_told(failure))}"
    text = (
        f"<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n{told}"
        "<hr/>\n</body>\n</html>\n"
    )
    body = text.encode("utf-8", "replace")
    headers = {"content-type": "text/html; charset=utf-8", **error.headers, **_error_headers(error)}
    if error.status in render.WITHOUT_BODY:
        return Response(error.status, error.headers)
    if method == "HEAD":
        body = b""
    return Response(error.status, headers, body, length=len(body))


def _told(error: S3Error) -> dict[str, str]:
    return {"Code": error.code, "Message": error.message, **error.elements}


def _list(told: Mapping[str, str]) -> str:
    lines = "\n".join(f"<li>{escape(name)}: {escape(value)}</li>" for name, value in told.items())
    return f"<ul>\n{lines}\n</ul>\n"
