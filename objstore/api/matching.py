"""From a request line to the one row of the table that it asks for. Pure.

Rows of the same method and scope are tried with most conditions first; the first whose conditions hold
is the operation. A query parameter that could mean a subresource is never ignored: one that belongs to
some row but not to the one found, or a bare word (`?policyx`) that nobody knows, makes the request
unknown, and so does a header that chooses another row. Otherwise an operation this server has never
heard of would be answered as a listing, or worse, carried out as a DELETE.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from typing import Final

from objstore.api.call import Operation, Scope
from objstore.api.operations import OPERATIONS
from objstore.s3 import errors

PARAMETERS: Final = frozenset(
    {
        "annotation-prefix",
        "bucket-region",
        "continuation-token",
        "delimiter",
        "encoding-type",
        "fetch-owner",
        "key-marker",
        "marker",
        "max-annotation-results",
        "max-buckets",
        "max-directory-buckets",
        "max-keys",
        "max-parts",
        "max-uploads",
        "part-number-marker",
        "prefix",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "start-after",
        "upload-id-marker",
        "version-id-marker",
        "x-id",
    }
)
"""Query parameters that qualify an operation and never choose one."""

_OBJECT_PARAMETERS: Final = frozenset({"versionId"})
"""The same, of objects alone: a DELETE that lost its key must not delete the bucket."""

_READ_PARAMETERS: Final = PARAMETERS | {"partNumber"}
"""GET and HEAD of an object take a part number; a PUT with one is the upload of a part."""

UNKNOWN: Final = Operation("Unknown", "", "service", (), None, None, reason="No such operation.")
"""What metrics and logs call a request that no row matches."""


class _Rows:
    """The rows of one method and scope, ready to be matched."""

    def __init__(self, rows: Iterable[Operation]) -> None:
        self.by_specificity = sorted(rows, key=lambda row: -row.condition_count)
        self.plain = [row for row in self.by_specificity if not row.query]


def _index() -> dict[tuple[str, Scope], _Rows]:
    rows: defaultdict[tuple[str, Scope], list[Operation]] = defaultdict(list)
    for row in OPERATIONS:
        rows[row.method, row.scope].append(row)
    return {kind: _Rows(of_kind) for kind, of_kind in rows.items()}


_ROWS: Final = _index()
_FLAGS: Final = frozenset(flag.partition("=")[0] for row in OPERATIONS for flag in row.query)
_HEADERS: Final = frozenset(row.header for row in OPERATIONS if row.header is not None)


def match(method: str, scope: Scope, query: Mapping[str, str], headers: Container[str]) -> Operation:
    """The row that a request asks for. `headers` holds lower-case names.

    Raises NotImplemented for a subresource no row knows,
    MethodNotAllowed where there is one for other methods only.
    """
    rows = _ROWS.get((method, scope))
    if method == "OPTIONS":
        query = {}  # a preflight has the query of the request it asks about, and means none of it
    if rows is not None:
        for row in rows.by_specificity if query else rows.plain:
            if _holds(row, query, headers):
                _refuse_leftovers(row, query, headers)
                return row
    _refuse(method, scope, query)
    raise AssertionError


def _holds(row: Operation, query: Mapping[str, str], headers: Container[str]) -> bool:
    for flag in row.query:
        name, has_value, value = flag.partition("=")
        if name not in query or (has_value and query[name] != value):
            return False
    return row.header is None or row.header in headers


def _refuse_leftovers(row: Operation, query: Mapping[str, str], headers: Container[str]) -> None:
    for header in _HEADERS:
        if header in headers and header != row.header:
            raise errors.NotImplemented(Header=header)
    if not query:
        return
    parameters = _READ_PARAMETERS if row.method in ("GET", "HEAD") else PARAMETERS
    own = {flag.partition("=")[0] for flag in row.query}
    for name, value in query.items():
        is_known = name in parameters or (name in _OBJECT_PARAMETERS and row.scope == "object")
        if is_known or name in own or name in row.qualifiers or name.lower().startswith("x-amz-"):
            continue
        if name in _FLAGS or not value or name in _OBJECT_PARAMETERS:
            raise errors.NotImplemented(
                "The subresource or parameter in the query is not one of this operation.", Parameter=name
            )


def _refuse(method: str, scope: Scope, query: Mapping[str, str]) -> None:
    others = sorted(
        {
            row.method
            for row in OPERATIONS
            if row.scope == scope and row.method != method and _holds(row, query, _Everything())
        }
    )
    if not others:
        raise errors.NotImplemented
    raise errors.MethodNotAllowed(headers={"allow": ", ".join(others)}, Method=method)


class _Everything(Container[str]):
    def __contains__(self, name: object) -> bool:
        return True
