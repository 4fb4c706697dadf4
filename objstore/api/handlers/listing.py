"""ListObjects, ListObjectsV2, ListObjectVersions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from objstore import blocking
from objstore.api.call import Call, Reply
from objstore.api.handlers.acl import owner
from objstore.api.handlers.multipart import number_in_query
from objstore.api.handlers.objects import bucket_of
from objstore.model import ANONYMOUS, RESTORE, Attributes, Bucket, ObjectVersion
from objstore.s3 import tokens
from objstore.s3.documents import listing as documents
from objstore.s3.documents.listing import MAX_KEYS, url_encoded
from objstore.s3.documents.owner import Owner
from objstore.s3.errors import InvalidArgument
from objstore.service.listing import ListedObject

T = TypeVar("T")

INLINE_ENTRIES: Final = 250
"""Larger pages are made into documents off the event loop."""


@dataclass(frozen=True, slots=True)
class Question:
    """What all listings ask. `limit` is max-keys, at most 1,000; `shown` encodes names as asked."""

    prefix: str
    delimiter: str
    limit: int
    encoding: Literal["url"] | None
    with_restores: bool = False
    """Restore status is asked for."""

    def shown(self, name: str) -> str:
        """`name` as the answer shows it."""
        return url_encoded(name) if self.encoding else name

    def common_prefixes(self, prefixes: Sequence[str]) -> tuple[documents.CommonPrefixes, ...]:
        return tuple([documents.CommonPrefixes(prefix=self.shown(prefix)) for prefix in prefixes])

    @property
    def shown_delimiter(self) -> str | None:
        """An empty delimiter is none and is not echoed."""
        return self.shown(self.delimiter) if self.delimiter else None


async def list_v1(call: Call) -> Reply:
    """ListObjects. Who asks without signing is not told the owners."""
    question = _question(call)
    marker = call.query.get("marker", "")
    bucket = bucket_of(call)
    page = await call.services.listings.objects(
        bucket, question.prefix, marker, question.delimiter, question.limit
    )
    next_marker = page.last if page.is_truncated and question.delimiter else None

    owners = _owners(call, page.versions)

    def document() -> documents.ListObjectsResult:
        return documents.ListObjectsResult(
            name=bucket.name,
            prefix=question.shown(question.prefix),
            marker=question.shown(marker),
            next_marker=None if next_marker is None else question.shown(next_marker),
            max_keys=question.limit,
            delimiter=question.shown_delimiter,
            is_truncated=page.is_truncated,
            encoding_type=question.encoding,
            contents=_contents(question, page.versions, None if call.identity is ANONYMOUS else owners),
            common_prefixes=question.common_prefixes(page.common_prefixes),
        )

    return Reply(headers=_region(bucket), document=await _made(document, len(page.versions)))


async def list_v2(call: Call) -> Reply:
    """ListObjectsV2. A continuation token beats start-after; an empty one is none."""
    question = _question(call)
    bucket, query = bucket_of(call), call.query
    purpose = f"list-objects-v2:{bucket.id}"
    start_after, token = query.get("start-after", ""), query.get("continuation-token", "")
    after = str(tokens.decode_token(purpose, token)[0]) if token else start_after
    page = await call.services.listings.objects(
        bucket, question.prefix, after, question.delimiter, question.limit
    )
    with_owner = _boolean(call, "fetch-owner")

    owners = _owners(call, page.versions)

    def document() -> documents.ListObjectsV2Result:
        return documents.ListObjectsV2Result(
            name=bucket.name,
            prefix=question.shown(question.prefix),
            continuation_token=query.get("continuation-token"),
            next_continuation_token=tokens.encode_token(purpose, [page.last]) if page.is_truncated else None,
            start_after=question.shown(start_after) if start_after else None,
            key_count=len(page.versions) + len(page.common_prefixes),
            max_keys=question.limit,
            delimiter=question.shown_delimiter,
            is_truncated=page.is_truncated,
            encoding_type=question.encoding,
            contents=_contents(question, page.versions, owners if with_owner else None),
            common_prefixes=question.common_prefixes(page.common_prefixes),
        )

    return Reply(headers=_region(bucket), document=await _made(document, len(page.versions)))


async def list_versions(call: Call) -> Reply:
    """ListObjectVersions."""
    bucket, query = bucket_of(call), call.query
    _limit(call)  # S3 looks at this first, and at the markers before the rest
    key_marker = query.get("key-marker", "")
    version_id_marker = _version_id_marker(query)
    question = _question(call)
    page = await call.services.listings.versions(
        bucket, question.prefix, key_marker, version_id_marker, question.delimiter, question.limit
    )
    next_key = page.last if page.is_truncated else None

    owners = _owners(call, page.versions)

    def document() -> documents.ListVersionsResult:
        return documents.ListVersionsResult(
            name=bucket.name,
            prefix=question.shown(question.prefix),
            key_marker=question.shown(key_marker),
            version_id_marker=version_id_marker,
            next_key_marker=None if next_key is None else question.shown(next_key),
            next_version_id_marker=page.last_version_id if page.is_truncated else None,
            max_keys=question.limit,
            delimiter=question.shown_delimiter,
            is_truncated=page.is_truncated,
            encoding_type=question.encoding,
            entries=tuple([_entry(question, version, owners) for version in page.versions]),
            common_prefixes=question.common_prefixes(page.common_prefixes),
        )

    return Reply(document=await _made(document, len(page.versions)))


def _version_id_marker(query: Mapping[str, str]) -> str:
    """The version to go on after; empty without one. Raises InvalidArgument."""
    marker = query.get("version-id-marker")
    if marker is None:
        return ""
    if marker and query.get("key-marker"):
        return tokens.check_version_id(marker, "version-id-marker")
    raise InvalidArgument(
        "A version-id marker cannot be empty."
        if query.get("key-marker")
        else "A version-id marker cannot be specified without a key marker.",
        ArgumentName="version-id-marker",
        ArgumentValue=ascii(marker)[1:-1],
    )


def _region(bucket: Bucket) -> dict[str, str]:
    return {"x-amz-bucket-region": bucket.region}


async def _made(document: Callable[[], T], entries: int) -> T:
    return document() if entries <= INLINE_ENTRIES else await blocking.run(document)


def _question(call: Call) -> Question:
    query = call.query
    encoding = query.get("encoding-type")
    if encoding is not None and encoding != "url":
        raise InvalidArgument(
            "Invalid Encoding Method specified in Request",
            ArgumentName="encoding-type",
            ArgumentValue=ascii(encoding)[1:-1],
        )
    wanted = call.headers.get("x-amz-optional-object-attributes")
    if wanted is not None and any(name.strip() != "RestoreStatus" for name in wanted.split(",")):
        raise InvalidArgument(
            "Invalid attribute name specified.",
            ArgumentName="x-amz-optional-object-attributes",
            ArgumentValue=ascii(wanted)[1:-1],
        )
    return Question(
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        limit=_limit(call),
        encoding="url" if encoding else None,
        with_restores=wanted is not None,
    )


def _limit(call: Call) -> int:
    return min(number_in_query(call, "max-keys", MAX_KEYS), MAX_KEYS)


def _restore_status(question: Question, extra: Mapping[str, str]) -> documents.RestoreStatus | None:
    """What was asked back of an archived version, where the client asks for it."""
    if not question.with_restores or RESTORE not in extra:
        return None
    attributes = Attributes(extra=extra)
    return documents.RestoreStatus(
        is_restore_in_progress=attributes.is_restore_under_way,
        restore_expiry_date=attributes.restored_until_ms,
    )


def _boolean(call: Call, name: str) -> bool:
    text = call.query.get(name, "false").lower()
    if text not in ("true", "false", ""):
        raise InvalidArgument(ArgumentName=name, ArgumentValue=ascii(text)[1:-1])
    return text == "true"


def _contents(
    question: Question, listed: Sequence[ListedObject], owners: Mapping[str, Owner] | None
) -> tuple[documents.Contents, ...]:
    contents = []
    for version in listed:
        checksum_algorithm, checksum_type, storage_class, extra = version.about
        contents.append(
            documents.Contents(
                key=question.shown(version.key),
                last_modified=version.modified_ms,
                etag=version.etag,
                checksum_algorithm=() if checksum_algorithm is None else (checksum_algorithm,),
                checksum_type=checksum_type,
                size=version.size,
                owner=None if owners is None else owners[version.owner_id],
                storage_class=storage_class,
                restore_status=_restore_status(question, extra) if extra else None,
            )
        )
    return tuple(contents)


def _owners(call: Call, versions: Sequence[ObjectVersion | ListedObject]) -> Mapping[str, Owner]:
    """How the owners of these versions are shown, by canonical id."""
    bucket, permissions = bucket_of(call), call.permissions
    return {
        user_id: owner(call, permissions.shown_owner(bucket, user_id))
        for user_id in {version.owner_id for version in versions}
    }


def _entry(
    question: Question, version: ObjectVersion, owners: Mapping[str, Owner]
) -> documents.Version | documents.DeleteMarker:
    if version.is_delete_marker:
        return documents.DeleteMarker(
            key=question.shown(version.key),
            version_id=version.version_id,
            is_latest=version.is_latest,
            last_modified=version.modified_ms,
            owner=owners[version.owner_id],
        )
    checksum = version.attributes.checksum
    return documents.Version(
        key=question.shown(version.key),
        version_id=version.version_id,
        is_latest=version.is_latest,
        last_modified=version.modified_ms,
        etag=version.etag,
        checksum_algorithm=() if checksum is None else (checksum.algorithm,),
        checksum_type=None if checksum is None else checksum.type.value,
        size=version.size,
        owner=owners[version.owner_id],
        storage_class=version.attributes.storage_class,
        restore_status=_restore_status(question, version.attributes.extra),
    )
