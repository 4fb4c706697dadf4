"""Requests that boto3 would not send, and what to expect of answers."""

import hashlib
import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError


class _Auth(S3SigV4Auth):
    """Signs what x-amz-content-sha256 says, true or not."""

    def payload(self, request: Any) -> str:
        return str(request.context["sha256"])


@contextmanager
def refused(code: str, status: int | None = None) -> Iterator[Any]:
    """The block's request is answered with this error; yields the caught exception."""
    with pytest.raises(ClientError) as caught:
        yield caught
    response = caught.value.response
    assert response["Error"]["Code"] == code, response
    if status is not None:
        assert response["ResponseMetadata"]["HTTPStatusCode"] == status


@dataclass(frozen=True)
class Answer:
    """A raw HTTP response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error code in the body."""
        return self.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


def send(
    s3: Any,
    method: str,
    bucket: str,
    key: str = "",
    *,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    is_signed: bool = True,
    body_sent: bytes | None = None,
) -> Answer:
    """Send one request signed like `s3`'s own; `body_sent` goes over the wire in place of `body`."""
    endpoint = urlsplit(s3.meta.endpoint_url)
    path = f"/{bucket}/{quote(key)}" if key else f"/{bucket}"
    target = path + (f"?{urlencode(query, quote_via=quote)}" if query else "")
    given = {"x-amz-content-sha256": hashlib.sha256(body).hexdigest(), **(headers or {})}
    request = AWSRequest(method, s3.meta.endpoint_url + target, headers=given, data=body)
    request.context["sha256"] = given["x-amz-content-sha256"]
    if is_signed:
        credentials = s3._request_signer._credentials
        _Auth(credentials, "s3", s3.meta.region_name).add_auth(request)
    sent = body if body_sent is None else body_sent
    connection = http.client.HTTPConnection(endpoint.hostname or "", endpoint.port, timeout=30)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in request.headers.items():
            connection.putheader(name, value if isinstance(value, bytes) else str(value).encode())
        if "content-length" not in {name.lower() for name in request.headers} and (body or method != "GET"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(sent or None)
        if len(sent) < len(body) and connection.sock is not None:
            connection.sock.shutdown(1)
        response = connection.getresponse()
        return Answer(
            response.status,
            {name.lower(): value for name, value in response.getheaders()},
            response.read(),
        )
    finally:
        connection.close()


def versioned(s3: Any, name: str) -> str:
    """The name of a fresh bucket that keeps versions (because it was made for object lock)."""
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name
