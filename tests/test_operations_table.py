"""The table of operations against botocore's model, and the matching of requests to it."""

import itertools
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from objstore.api import matching
from objstore.api.call import Operation
from objstore.api.operations import NOT_OFFERED, OPERATIONS, SUPERSEDED
from objstore.s3.errors import MethodNotAllowed, NotImplemented, S3Error
from tests.support import botocore_model
from tests.support.botocore_model import MODEL, OPERATION_NAMES

BY_NAME = {row.name: row for row in OPERATIONS}
OUR_OWN = {
    "PostObject",
    "PreflightBucket",
    "PreflightObject",
    "ListenNotification",
    "ListenBucketNotification",
    "ListTagsForResource",
    "TagResource",
    "UntagResource",
    "GetAccountPublicAccessBlock",
    "PutAccountPublicAccessBlock",
    "DeleteAccountPublicAccessBlock",
}
"""Rows for what botocore's model of S3 does not know."""


def scope_of(path: str) -> str:
    bucket, _, key = unquote(path).removeprefix("/").partition("/")
    return "object" if key else "bucket" if bucket else "service"


def test_every_operation_of_botocore_stands_in_the_table_once() -> None:
    assert len(BY_NAME) == len(OPERATIONS)
    told = set(BY_NAME) | set(SUPERSEDED) | set(NOT_OFFERED)
    assert set(OPERATION_NAMES) <= told
    assert set(BY_NAME) - set(OPERATION_NAMES) == OUR_OWN
    assert not set(BY_NAME) & (set(SUPERSEDED) | set(NOT_OFFERED))
    assert set(SUPERSEDED.values()) <= set(BY_NAME)


@pytest.mark.parametrize("name", sorted(set(OPERATION_NAMES) & set(BY_NAME)))
def test_row_has_the_method_and_flags_of_botocore(name: str) -> None:
    row, http = BY_NAME[name], MODEL.operation_model(name).http
    assert row.method == http["method"]
    flags = set(http["requestUri"].partition("?")[2].split("&")) - {""}
    assert flags <= set(row.query)


@pytest.mark.parametrize("name", sorted(set(OPERATION_NAMES) - set(NOT_OFFERED)))
def test_request_of_botocore_is_matched_to_its_row(name: str) -> None:
    request = botocore_model.request(name)
    row = matching.match(request["method"], scope_of(request["path"]), request["query"], request["headers"])  # type: ignore[arg-type]
    assert row.name == SUPERSEDED.get(name, name)


@pytest.mark.parametrize("name", sorted(set(OPERATION_NAMES) - set(NOT_OFFERED)))
def test_request_with_every_optional_parameter_is_matched_to_the_same_row(name: str) -> None:
    operation = MODEL.operation_model(name)
    shape = operation.input_shape
    parameters = botocore_model.sample(shape, full=True) if shape is not None else {}
    request = botocore_model.request(name, parameters)
    row = matching.match(request["method"], scope_of(request["path"]), request["query"], request["headers"])  # type: ignore[arg-type]
    assert row.name == SUPERSEDED.get(name, name)


def test_no_two_rows_tie() -> None:
    def key(row: Operation) -> tuple[object, ...]:
        return row.method, row.scope, frozenset(row.query), row.header

    for one, other in itertools.combinations(OPERATIONS, 2):
        assert key(one) != key(other), (one.name, other.name)
        if (one.method, one.scope) != (other.method, other.scope):
            continue
        both = {flag.partition("=")[0]: flag.partition("=")[2] for flag in (*one.query, *other.query)}
        if one.condition_count == other.condition_count and one.condition_count:
            # A request that meets both has the leftovers of one: it is refused, not answered by either.
            with pytest.raises(S3Error):
                matching.match(one.method, one.scope, both, {one.header, other.header} - {None})


def test_rows_are_complete() -> None:
    for row in OPERATIONS:
        assert (row.handler is None) == bool(row.reason), row.name
        assert row.action is None or re.fullmatch(r"s3(-object-lambda)?:[A-Za-z]+", row.action), row.name
    source = Path("objstore/api/operations.py").read_text()
    for row in OPERATIONS:
        if row.action is None:
            line = next(line for line in source.splitlines() if f'Operation("{row.name}"' in line)
            assert "#" in line or row.name.startswith("Preflight"), f"{row.name}: say why it has no action"


@pytest.mark.parametrize(
    ("method", "scope", "query", "name"),
    [
        ("GET", "bucket", {}, "ListObjects"),
        ("GET", "bucket", {"list-type": "2", "prefix": "", "delimiter": ""}, "ListObjectsV2"),
        ("GET", "bucket", {"allow-unordered": "true"}, "ListObjects"),
        ("GET", "object", {"partNumber": "1"}, "GetObject"),
        ("GET", "object", {"v": "123", "versionId": "null"}, "GetObject"),
        ("GET", "object", {"response-content-type": "", "x-id": "GetObject"}, "GetObject"),
        ("HEAD", "object", {"partNumber": "1"}, "HeadObject"),
        ("PUT", "object", {"x-amz-acl": "private", "X-Amz-Signature": "0"}, "PutObject"),
        ("GET", "bucket", {"acl": "", "X-Amz-Signature": "0"}, "GetBucketAcl"),
    ],
)
def test_parameters_that_only_qualify_do_not_change_the_operation(
    method: str, scope: str, query: dict[str, str], name: str
) -> None:
    assert matching.match(method, scope, query, ()).name == name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "scope", "query"),
    [
        ("GET", "bucket", {"unknown": ""}),
        ("GET", "bucket", {"torrent": ""}),
        ("GET", "bucket", {"list-type": "3"}),
        ("GET", "bucket", {"policyx": "", "prefix": "a"}),
        ("GET", "bucket", {"acl": "", "cors": ""}),
        ("GET", "object", {"location": ""}),
        ("GET", "object", {"append": "", "position": "0"}),
        ("PUT", "object", {"partNumber": "1"}),
        ("PUT", "object", {"uploadId": "x"}),
        ("PUT", "object", {"append": ""}),
        ("PUT", "bucket", {"newfeature": ""}),
        ("DELETE", "bucket", {"newfeature": ""}),
        ("DELETE", "bucket", {"versionId": "null"}),
        ("DELETE", "bucket", {"website": "", "id": "x", "policy": ""}),
        ("DELETE", "object", {"acl": ""}),
        ("POST", "bucket", {"restore": ""}),
        ("PUT", "object", {"tagging": "", "x-amz-copy-source": "b/k"}),
    ],
)
def test_unknown_subresource_never_falls_through(method: str, scope: str, query: dict[str, str]) -> None:
    headers = {name for name in query if name.startswith("x-amz-")}
    with pytest.raises((NotImplemented, MethodNotAllowed)):
        matching.match(method, scope, query, headers)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "scope", "query", "allowed"),
    [
        ("POST", "object", {}, "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("PATCH", "object", {}, "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("PUT", "service", {}, "GET"),
        ("POST", "bucket", {"acl": ""}, None),
        ("DELETE", "object", {"attributes": ""}, None),
    ],
)
def test_method_of_another_operation_is_not_allowed(
    method: str, scope: str, query: dict[str, str], allowed: str | None
) -> None:
    with pytest.raises((MethodNotAllowed, NotImplemented)) as refused:
        matching.match(method, scope, query, ())  # type: ignore[arg-type]
    if allowed is not None:
        assert refused.value.headers["allow"] == allowed
