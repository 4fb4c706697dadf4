"""Presigned URLs and forms of Signature Version 2, against botocore's signer."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from objstore.s3 import sigv2
from objstore.s3.errors import AccessDenied, InvalidRequest, S3Error, SignatureDoesNotMatch
from objstore.s3.sigv4 import SignedRequest

SECRET = "a secret of some length"


def presigned(operation: str, style: str = "path", **params: object) -> tuple[SignedRequest, str]:
    """The request that opens botocore's default presigned URL in us-east-1, and its bucket."""
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://s3.test",
        aws_access_key_id="KEY",
        aws_secret_access_key=SECRET,
        config=Config(s3={"addressing_style": style}),
    )
    url = urlsplit(client.generate_presigned_url(operation, Params={"Bucket": "bucket", **params}))
    method = {"get": "GET", "put": "PUT", "upl": "PUT", "lis": "GET", "hea": "HEAD", "del": "DELETE"}
    headers = [("Host", url.netloc)]
    return SignedRequest(method[operation[:3]], url.path or "/", url.query, headers), "bucket"


def proved(request: SignedRequest, bucket: str, style: str = "path", secret: str = SECRET) -> None:
    claim = sigv2.parse(request, bucket, is_path_style=style == "path")
    assert claim is not None
    sigv2.check(claim, claim.expires_s)
    sigv2.verify(claim, secret)


@pytest.mark.parametrize("style", ["path", "virtual"])
@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("get_object", {"Key": "plain"}),
        ("get_object", {"Key": "a b+c/é//../d"}),
        (
            "get_object",
            {"Key": "k", "VersionId": "v+/=1", "ResponseContentDisposition": 'attachment; f="a b"'},
        ),
        ("head_object", {"Key": "k"}),
        ("delete_object", {"Key": "k"}),
        ("put_object", {"Key": "k", "ContentType": "text/plain", "Metadata": {"Colour": "blue"}}),
        ("upload_part", {"Key": "k", "UploadId": "u~1", "PartNumber": 3}),
        ("list_objects_v2", {"Prefix": "a b", "Delimiter": "/"}),
        ("list_objects", {}),
    ],
)
def test_urls_of_botocore_are_proved(style: str, operation: str, params: dict[str, object]) -> None:
    request, bucket = presigned(operation, style, **params)
    proved(request, bucket, style)


def change(**parts: str) -> Callable[[SignedRequest], SignedRequest]:
    def changed(request: SignedRequest) -> SignedRequest:
        return SignedRequest(
            parts.get("method", request.method),
            parts.get("path", request.raw_path),
            request.raw_query + parts.get("query", ""),
            [*request.headers, *([tuple(parts["header"].split(": "))] if "header" in parts else [])],  # type: ignore[list-item]
        )

    return changed


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        (change(method="PUT"), SignatureDoesNotMatch),
        (change(path="/bucket/other"), SignatureDoesNotMatch),
        (change(query="&acl"), SignatureDoesNotMatch),
        (change(query="&versionId=1"), SignatureDoesNotMatch),
        (change(query="&response-content-type=text/html"), SignatureDoesNotMatch),
        (change(query="&attributes"), AccessDenied),
        (change(query="&renameObject"), AccessDenied),
        (change(query="&x-amz-acl=public-read"), SignatureDoesNotMatch),
        (change(query="&Expires=99999999999"), AccessDenied),
        (change(header="x-amz-copy-source: /other/key"), SignatureDoesNotMatch),
        (change(header="x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER"), SignatureDoesNotMatch),
        (change(header="Authorization: AWS4-HMAC-SHA256 x"), InvalidRequest),
    ],
)
def test_a_changed_request_is_refused(
    changed: Callable[[SignedRequest], SignedRequest], error: type[S3Error]
) -> None:
    request, bucket = presigned("get_object", Key="k")
    with pytest.raises(error):
        proved(changed(request), bucket)


def test_a_content_type_other_than_the_one_signed_is_refused() -> None:
    request, bucket = presigned("put_object", Key="k", ContentType="text/plain")
    proved(change(header="Content-Type: text/plain")(request), bucket)
    with pytest.raises(SignatureDoesNotMatch):
        proved(change(header="Content-Type: text/xml")(request), bucket)


def test_a_streaming_payload_is_refused_though_it_was_signed() -> None:
    request = SignedRequest("PUT", "/bucket/k", "AWSAccessKeyId=KEY&Expires=1&Signature=", [])
    request = change(header="x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD")(request)
    claim = sigv2.parse(request, "bucket", is_path_style=True)
    assert claim is not None
    claim = replace(claim, signature=sigv2.signature(SECRET, claim.text))
    with pytest.raises(InvalidRequest):
        sigv2.verify(claim, SECRET)


def test_an_expired_url_and_a_wrong_secret_are_refused() -> None:
    request, bucket = presigned("get_object", Key="k")
    claim = sigv2.parse(request, bucket, is_path_style=True)
    assert claim is not None
    with pytest.raises(AccessDenied, match="Request has expired") as caught:
        sigv2.check(claim, claim.expires_s + 1)
    assert datetime.fromisoformat(caught.value.elements["Expires"]).timestamp() == claim.expires_s
    with pytest.raises(SignatureDoesNotMatch) as mismatch:
        sigv2.verify(claim, "another secret")
    assert mismatch.value.elements["StringToSignBytes"] == claim.text.encode().hex(" ")


def test_a_url_without_this_signature_claims_nothing() -> None:
    assert sigv2.parse(SignedRequest("GET", "/b/k", "prefix=x", []), "b", is_path_style=True) is None


def test_forms_of_botocore_are_proved() -> None:
    client = boto3.client(
        "s3", region_name="us-east-1", endpoint_url="http://s3.test",
        aws_access_key_id="KEY", aws_secret_access_key=SECRET,
    )  # fmt: skip
    fields = {
        name.lower(): value for name, value in client.generate_presigned_post("bucket", "k")["fields"].items()
    }
    assert sigv2.is_form(fields)
    sigv2.verify_form(fields, SECRET)
    with pytest.raises(SignatureDoesNotMatch):
        sigv2.verify_form({**fields, "policy": fields["policy"] + "AA=="}, SECRET)
