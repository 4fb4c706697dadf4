"""Server access logs as S3 writes them: the lines, and the keys of the objects that hold them.

Fields are separated by single spaces; what is unknown or does not apply is `-`. New fields are only ever
added at the end. Source: Amazon S3 User Guide, "Amazon S3 server access log format" and "Enabling Amazon
S3 server access logging".
"""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote

from objstore.s3.documents.logging import LoggingEnabled

EXPIRED: Final = "S3.EXPIRE.OBJECT"
MARKED: Final = "S3.CREATE.DELETEMARKER"
UPLOAD_EXPIRED: Final = "S3.DELETE.UPLOAD"
TRANSITIONS: Final[Mapping[str, str]] = {
    "STANDARD_IA": "S3.TRANSITION_SIA.OBJECT",
    "ONEZONE_IA": "S3.TRANSITION_ZIA.OBJECT",
    "INTELLIGENT_TIERING": "S3.TRANSITION_INT.OBJECT",
    "GLACIER_IR": "S3.TRANSITION_GIR.OBJECT",
    "GLACIER": "S3.TRANSITION.OBJECT",
    "DEEP_ARCHIVE": "S3.TRANSITION_GDA.OBJECT",
}
"""What lifecycle rules do; transitions by the storage class they lead to."""
BATCH_DELETE: Final = "BATCH.DELETE.OBJECT"
COPY_SOURCE: Final = "REST.COPY.OBJECT_GET"
PART_COPY_SOURCE: Final = "REST.COPY.PART_GET"
LIFECYCLE_REQUESTER: Final = "AmazonS3"
NO_REQUEST: Final = "-"
"""In quotes, unlike the absent one of a key of DeleteObjects: so S3 writes them."""

_RESOURCES: Final[Mapping[str, str]] = {
    "AbortMultipartUpload": "UPLOAD",
    "CompleteMultipartUpload": "UPLOAD",
    "CreateMultipartUpload": "UPLOADS",
    "DeleteBucketPolicy": "BUCKETPOLICY",
    "DeleteObjects": "MULTI_OBJECT_DELETE",
    "DeleteObjectTagging": "OBJECT_TAGGING",
    "GetBucketLogging": "LOGGING_STATUS",
    "GetBucketPolicy": "BUCKETPOLICY",
    "GetBucketRequestPayment": "REQUEST_PAYMENT",
    "GetObjectAttributes": "OBJECT_ATTRIBUTES",
    "GetObjectLegalHold": "OBJECT_LOCK_LEGALHOLD",
    "GetObjectLockConfiguration": "OBJECT_LOCK_CONFIGURATION",
    "GetObjectRetention": "OBJECT_LOCK_RETENTION",
    "GetObjectTagging": "OBJECT_TAGGING",
    "ListObjectsV2": "BUCKET",
    "ListObjectVersions": "BUCKETVERSIONS",
    "ListParts": "UPLOAD",
    "PostObject": "OBJECT",
    "PreflightBucket": "PREFLIGHT",
    "PreflightObject": "PREFLIGHT",
    "PutBucketLogging": "LOGGING_STATUS",
    "PutBucketPolicy": "BUCKETPOLICY",
    "PutBucketRequestPayment": "REQUEST_PAYMENT",
    "PutObjectLegalHold": "OBJECT_LOCK_LEGALHOLD",
    "PutObjectLockConfiguration": "OBJECT_LOCK_CONFIGURATION",
    "PutObjectRetention": "OBJECT_LOCK_RETENTION",
    "PutObjectTagging": "OBJECT_TAGGING",
    "UploadPart": "PART",
    "UploadPartCopy": "PART",
}
"""What an operation is about, where that is neither its first flag nor the bucket or object itself."""
_COPIES: Final = frozenset({"CopyObject", "UploadPartCopy"})

UNIQUE_CHARACTERS: Final = 16
_LINE_BYTES: Final = 512
"""About what a line is long without what its sender chose."""
_REDACTED: Final = re.compile(
    r"(?<=[?&])(X-Amz-Signature|X-Amz-Security-Token|Signature"
    r"|x-amz-(?:copy-source-)?server-side-encryption-customer-key)=[^& ]*",
    re.IGNORECASE,
)
_UNPRINTABLE: Final = re.compile(r'[^\x20-\x7e]|["\\]')
_SPACE: Final = re.compile(r"[^\x21-\x7e]")


@dataclass(frozen=True, slots=True)
class Record:
    """One line. None and "" stand for what is unknown or does not apply; times in milliseconds."""

    owner_id: str
    bucket: str
    time_ms: int
    operation: str
    request_id: str
    remote: str = ""
    requester: str = ""
    """Canonical id; "" for nobody."""
    key: str = ""
    request_line: str = ""
    """As it was sent; signatures in it are taken out here. NO_REQUEST: nobody sent one."""
    status: int | None = None
    code: str = ""
    sent_bytes: int = 0
    object_bytes: int | None = None
    total_ms: int | None = None
    turn_around_ms: int | None = None
    referer: str | None = None
    agent: str | None = None
    version_id: str = ""
    host_id: str = ""
    signature_version: str = ""
    cipher: str = ""
    auth_type: str = ""
    host: str = ""
    tls_version: str = ""
    needed_acl: bool = False

    @property
    def weight(self) -> int:
        """About how many bytes the line is."""
        lengths = map(len, (self.request_line, self.key, self.referer or "", self.agent or "", self.host))
        return _LINE_BYTES + sum(lengths)

    def lines(self) -> Iterator[str]:
        """The line as it waits for its delivery, its time in milliseconds before it: for `unstamped`."""
        yield f"{self.time_ms} {self.line}"

    @property
    def line(self) -> str:
        """The line, without its end: printable ASCII only."""
        at = time.strftime("[%d/%b/%Y:%H:%M:%S +0000]", time.gmtime(self.time_ms // 1000))
        fields = (
            self.owner_id,
            self.bucket,
            at,
            _plain(self.remote),
            self.requester or "-",
            self.request_id,
            self.operation,
            logged_key(self.key),
            _quoted(_REDACTED.sub(r"\1=REDACTED", self.request_line)) if self.request_line else "-",
            _number(self.status),
            self.code or "-",
            str(self.sent_bytes or "-"),
            _number(self.object_bytes),
            _number(self.total_ms),
            _number(self.turn_around_ms),
            _quoted(self.referer or "-") if self.request_line else "-",
            _quoted(self.agent or "-") if self.request_line else "-",
            _plain(self.version_id),
            _plain(self.host_id),
            self.signature_version or "-",
            _plain(self.cipher),
            self.auth_type or "-",
            _plain(self.host),
            _plain(self.tls_version),
            "-",  # access point
            "Yes" if self.needed_acl else "-",
            "-",  # source region: the network does not tell
        )
        return " ".join(fields)


@dataclass(frozen=True, slots=True)
class Deletion:
    """What became of one of many keys."""

    key: str
    version_id: str
    status: int
    code: str


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """A line for each key of a request that deletes many."""

    record: Record
    """Of the request."""
    deletions: Sequence[Deletion]

    @property
    def weight(self) -> int:
        """About how many bytes the lines are."""
        return sum(_LINE_BYTES + len(one.key) for one in self.deletions)

    def lines(self) -> Iterator[str]:
        """See `Record.lines`."""
        for one in self.deletions:
            record = replace(
                self.record,
                operation=BATCH_DELETE,
                key=one.key,
                request_line="",
                status=one.status,
                code=one.code,
                sent_bytes=0,
                object_bytes=None,
                total_ms=None,
                turn_around_ms=None,
                version_id=one.version_id,
            )
            yield from record.lines()


def unstamped(stamped_line: str) -> tuple[int, str]:
    """Time in milliseconds, and line. Raises ValueError."""
    stamp, _, line = stamped_line.partition(" ")
    return int(stamp), line


def operation_name(name: str, method: str, flag: str, *, is_object: bool) -> str:
    """What a log calls an operation: REST.GET.OBJECT. `flag` is the first one of its query, if any."""
    if name == "WebsiteGet":
        return f"WEBSITE.{method}.OBJECT"
    resource = _RESOURCES.get(name) or flag.partition("=")[0].replace("-", "_")
    if not resource:
        resource = "OBJECT" if is_object else "BUCKET"
    return f"REST.{'COPY' if name in _COPIES else method}.{_underscored(resource)}"


def _underscored(resource: str) -> str:
    """`publicAccessBlock` → PUBLIC_ACCESS_BLOCK; upper case stays."""
    return resource if resource.isupper() else re.sub(r"(?<=[a-z])(?=[A-Z])", "_", resource).upper()


def logged_key(key: str) -> str:
    """A key as it stands in a line: percent-encoded twice; `-` for none."""
    return quote(quote(key, safe="/"), safe="/") if key else "-"


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _plain(text: str) -> str:
    """A field without quotes: nothing in it may end it."""
    return _SPACE.sub(_escaped, text) or "-"


def _quoted(text: str) -> str:
    return f'"{_UNPRINTABLE.sub(_escaped, text)}"'


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in match[0].encode("utf-8", "surrogatepass"))


# Where lines go


def is_by_event_day(target: LoggingEnabled) -> bool:
    """Whether each log object holds the lines of one day only (UTC)."""
    form = target.target_object_key_format
    partitioned = None if form is None else form.partitioned_prefix
    return partitioned is not None and partitioned.partition_date_source != "DeliveryTime"


def object_key(
    target: LoggingEnabled,
    *,
    account_id: str,
    region: str,
    bucket: str,
    event_ms: int,
    delivery_ms: int,
    unique: str,
) -> str:
    """The key of an object with lines of `bucket`, the earliest of which is of `event_ms`.

    `account_id` and `region` are those of the bucket that is logged.
    """
    form = target.target_object_key_format
    if form is None or form.partitioned_prefix is None:
        return f"{target.target_prefix}{_stamp('%Y-%m-%d-%H-%M-%S', delivery_ms)}-{unique}"
    if is_by_event_day(target):
        day, stamp = _stamp("%Y/%m/%d", event_ms), _stamp("%Y-%m-%d-00-00-00", event_ms)
    else:
        day, stamp = _stamp("%Y/%m/%d", delivery_ms), _stamp("%Y-%m-%d-%H-%M-%S", delivery_ms)
    return f"{target.target_prefix}{account_id}/{region}/{bucket}/{day}/{stamp}-{unique}"


def _stamp(form: str, ms: int) -> str:
    return time.strftime(form, time.gmtime(ms // 1000))
