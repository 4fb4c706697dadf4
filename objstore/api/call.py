"""What a request is for, what its handler is given and what it returns: Operation, Call and Reply."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from objstore.events.records import Origin
from objstore.iam.circumstances import NOTHING_SAID, Circumstances
from objstore.iam.permissions import Permissions
from objstore.model import Bucket, Identity, ObjectVersion
from objstore.s3.errors import AccessDenied, S3Error
from objstore.service import Services
from objstore.service.copy import Source
from objstore.service.deleting import Deleted, Deletion

Handler = Callable[["Call"], Awaitable["Reply"]]
Scope = Literal["service", "bucket", "object", "control", "account"]
"""What a request is addressed to; "control" and "account": S3 Control, which has paths of its own."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One S3 operation: what a request for it looks like, what it needs, who answers it."""

    name: str
    """AWS's name; also metric label, log name and test file name."""
    method: str
    scope: Scope
    query: tuple[str, ...]
    """Parameters that must be present ("uploads"), some with a value ("list-type=2")."""
    action: str | None
    """The IAM action checked before the handler runs; None only where a comment says why."""
    handler: Handler | None
    """None: known, not offered; answered 501 under its own name."""
    version_action: str | None = None
    """The IAM action instead, when the request names a version id."""
    header: str | None = None
    """A header that must be present."""
    document: type[Any] | None = None
    """The XML document read from the body before the handler runs; `bytes`: the body as it is."""
    is_document_optional: bool = False
    is_judged_by_document: bool = False
    """What its document says takes part in the decision, so that it is read before."""
    checksums_are_of_object: bool = False
    """x-amz-checksum-* speaks of the object that results, not of this request's body."""
    stores_body: bool = False
    """The body is bytes to store, so that its absence must be said by a length of zero (else 411)."""
    qualifiers: frozenset[str] = frozenset()
    """Query parameters that qualify it, besides those that may come with any operation."""
    anonymous_refusal: str = ""
    """What those are told who did not sign it, where nobody may ask for it so, whoever may do what."""
    event: str | None = None
    """The event that tells subscribers of it."""
    reason: str = ""
    """Why it is not offered."""

    @property
    def condition_count(self) -> int:
        """How specific the row is; the most specific one that matches wins."""
        return len(self.query) + (self.header is not None)


class Body(Protocol):
    """A request's body, decoded (aws-chunked taken off) and checked against its signature as it is read.

    Reading to the end raises the S3 error that fits if the body is short, its digest is wrong, or a
    chunk's signature is wrong. `length` is the decoded length where the client told it.
    """

    length: int | None
    trailers: Mapping[str, str]
    """Trailing headers (lower-case names); complete once the body has been read to its end."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Pieces as they arrive."""
        ...

    async def read(self, limit: int) -> bytes:
        """All of it; raises EntityTooLarge past `limit` bytes."""
        ...


class Buckets(Protocol):
    """The part of the bucket service used here."""

    def find(self, name: str) -> Bucket | None:
        """The bucket's facts, inline; None when there is none of this name."""
        ...


class Authority(Protocol):
    """Who may do what, as far as handlers ask beyond what their row already decided."""

    async def require(
        self,
        identity: Identity,
        action: str,
        bucket_name: str,
        key: str | None,
        version_id: str | None,
        about: Circumstances,
    ) -> Bucket:
        """The bucket, if `identity` may do `action` to it (or to `key` in it) under these circumstances.

        Raises AccessDenied, NoSuchBucket.
        """
        ...

    def refuse_denied(
        self, identity: Identity, action: str, bucket: Bucket, key: str | None, about: Circumstances
    ) -> None:
        """Raise AccessDenied where the bucket's policy explicitly denies what nothing else forbids."""
        ...

    async def prove_mfa(self, identity: Identity, bucket: Bucket, header: str) -> None:
        """Use up the code of a device (x-amz-mfa) that `identity`, who must own the bucket, has at hand.

        Raises the S3 error of a code that does not count.
        """
        ...

    def authenticate_form(self, fields: Mapping[str, str]) -> Identity:
        """Who signed the policy of a browser form (lower-case field names); ANONYMOUS without one.

        The signature is proved; whether the policy allows the upload is the caller's to decide.
        Raises the S3 error of a claim that is malformed, unknown or wrong.
        """
        ...


@dataclass(slots=True)
class Notes:
    """What a handler tells of its request to those who count and log it, beside the answer."""

    version: ObjectVersion | None = None
    """The object that was read or written."""
    size: int | None = None
    """How long it is, where it is no object: a part."""
    source: Source | None = None
    """What is copied."""
    original: ObjectVersion | None = None
    """The version that was copied."""
    deletions: Sequence[tuple[Deletion, Deleted | S3Error]] = ()
    """What became of each of many keys."""
    form_identity: Identity | None = None
    """Who signed a browser's form."""
    late_error: S3Error | None = None
    """What went wrong after the answer had begun with 200, and is told in its body."""


@dataclass(slots=True)
class Call:
    """One parsed, authenticated and authorised request. Handlers get nothing else."""

    operation: Operation
    request_id: str
    identity: Identity
    services: Services
    permissions: Permissions
    method: str
    bucket_name: str
    """Empty for service-scope operations."""
    key: str
    """Empty for bucket-scope operations; decoded once, strictly, from the raw request target."""
    query: Mapping[str, str]
    """Decoded; a flag without `=` has the value ''. Repeated parameters were refused."""
    headers: Mapping[str, str]
    """Lower-case names; repeated headers joined by a comma. Includes the x-amz-* parameters that a
    presigned URL carries in its query in place of headers."""
    body: Body
    document: Any = None
    """The operation's XML document, parsed, where its row names one."""
    bucket: Bucket | None = None
    """The bucket's facts, looked up once for authorisation; None for service scope and CreateBucket."""
    remote: str = ""
    is_secure: bool = False
    path_style: bool = True
    host: str = ""
    """The Host header as sent."""
    host_id: str = ""
    """This server's x-amz-id-2."""
    raw_path: str = ""
    """The request target's path as sent: what an error document calls the resource."""
    authority: Authority | None = None
    about: Circumstances = NOTHING_SAID
    """What policies may ask about the request."""
    notes: Notes = field(default_factory=Notes)

    @property
    def origin(self) -> Origin:
        """Who stands behind this request, for those who are told of what it does."""
        event = self.operation.event or ""
        return Origin(event, self.identity.user_id, self.remote, self.request_id, self.host_id)

    async def require(
        self,
        action: str,
        bucket_name: str,
        key: str | None = None,
        *,
        version_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Bucket:
        """Authorise a further resource (copy source, each key of DeleteObjects); its bucket's facts.

        `tags` are those an object would get, where they do not stand in a header. Raises AccessDenied,
        NoSuchBucket.
        """
        assert self.authority is not None, "bound by the pipeline"
        about = self.about if tags is None else self.about._replace(tags=tags)
        return await self.authority.require(self.identity, action, bucket_name, key, version_id, about)

    async def may(self, action: str, key: str, *, version_id: str | None = None) -> bool:
        """Whether the sender may do something further to a key of the same bucket."""
        try:
            await self.require(action, self.bucket_name, key, version_id=version_id)
        except AccessDenied:
            return False
        return True

    def refuse_denied(self, action: str, key: str | None = None) -> None:
        """Raise AccessDenied where the bucket's policy denies explicitly what is otherwise implied."""
        assert self.authority is not None and self.bucket is not None, "bound by the pipeline"
        self.authority.refuse_denied(self.identity, action, self.bucket, key, self.about)

    async def proves_mfa(self) -> bool:
        """Whether the request came with the code of a device of the bucket's owner, who must have sent it.

        A code counts once: ask once. Raises the S3 error of a code that does not count.
        """
        header = self.headers.get("x-amz-mfa")
        if header is None:
            return False
        assert self.authority is not None and self.bucket is not None, "bound by the pipeline"
        await self.authority.prove_mfa(self.identity, self.bucket, header)
        return True

    def authenticate_form(self, fields: Mapping[str, str]) -> Identity:
        """Who signed the policy of a browser form; from now on the one this call is made by.

        See `Authority.authenticate_form`.
        """
        assert self.authority is not None, "bound by the pipeline"
        self.identity = self.notes.form_identity = self.authority.authenticate_form(fields)
        return self.identity


@dataclass(slots=True)
class Reply:
    """What goes back. At most one of `document` (XML), `body` (bytes) and `stream` may be set.

    `stream` yields the body in pieces; `content_length` is then required unless the length is unknown
    (keep-alive whitespace before a late result), in which case the answer is chunked. An exception
    from `stream` breaks the connection: it never ends the body cleanly. A reply to HEAD has none of the
    three and its `content_length` says what a GET would send.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    document: Any = None
    body: bytes | memoryview | None = None
    stream: AsyncIterator[bytes | memoryview] | None = None
    content_length: int | None = None
