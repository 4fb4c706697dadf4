"""PostObject: browser form uploads."""

import base64
import hashlib
import hmac
import json
import urllib.error
import urllib.parse
import urllib.request
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from lxml import etree

from tests.operations.refusals import refused
from tests.operations.sharing import policy, statement, with_acls
from tests.support.server import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY

BODY = b"what the browser chose\r\n--and more\x00\xff"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def send(server, path, fields, body=BODY, filename="photo.jpg", order=None, headers=()):
    """Status, headers (lower case) and body of the answer to a form."""
    boundary = uuid.uuid4().hex
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if body is not None:
        named = "" if filename is None else f'; filename="{filename}"'
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"{named}\r\n'
        file = f"{head}Content-Type: text/x-ignored\r\n\r\n".encode() + body + b"\r\n"
        parts.insert(len(parts) if order is None else order, file)
    data = b"".join(parts) + f"--{boundary}--\r\n".encode()
    request = urllib.request.Request(
        f"{server.endpoint}/{path}",
        data=data,
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}", **dict(headers)},
        method="POST",
    )
    try:
        answer = urllib.request.build_opener(_NoRedirects).open(request, timeout=30)
    except urllib.error.HTTPError as exc:
        answer = exc
    with answer:
        return answer.status, {n.lower(): v for n, v in answer.headers.items()}, answer.read()


def signed(
    fields, conditions, *, expires=3600, secret=ROOT_SECRET_KEY, access_key=ROOT_ACCESS_KEY, **changes
):
    """The fields with a policy and its signature, as AWS describes it, apart from the server's own signer."""
    now = datetime.now(UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    own = {
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{access_key}/{day}/{REGION}/s3/aws4_request",
        "x-amz-date": stamp,
    }
    own.update(changes.pop("own", {}))
    document = {
        "expiration": (now + timedelta(seconds=expires)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "conditions": [*conditions, *({name: value} for name, value in own.items())],
    }
    policy = base64.b64encode(json.dumps(document).encode()).decode()
    key = f"AWS4{secret}".encode()
    for step in (day, REGION, "s3", "aws4_request"):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    proof = hmac.new(key, policy.encode(), hashlib.sha256).hexdigest()
    return {**fields, **own, "policy": policy, "x-amz-signature": proof, **changes}


def code_of(answer):
    return answer[0], etree.fromstring(answer[2]).findtext("Code")


def test_a_form_made_by_boto_is_taken(s3, server, bucket):
    signer = server.client(signature_version="s3v4")  # boto presigns by Signature Version 2 unless told
    post = signer.generate_presigned_post(
        bucket,
        "dir/${filename}",
        Fields={"Content-Type": "image/jpeg", "x-amz-meta-who": "me"},
        Conditions=[
            {"Content-Type": "image/jpeg"},
            ["starts-with", "$x-amz-meta-who", "m"],
            ["content-length-range", 1, 1000],
        ],
    )
    status, headers, body = send(server, bucket, post["fields"])
    assert (status, body) == (204, b"")
    assert headers["etag"] == f'"{hashlib.md5(BODY).hexdigest()}"'
    assert headers["location"] == f"{server.endpoint}/{bucket}/dir/photo.jpg"
    answer = s3.get_object(Bucket=bucket, Key="dir/photo.jpg")
    assert answer["Body"].read() == BODY
    assert answer["ContentType"] == "image/jpeg"
    assert answer["Metadata"] == {"who": "me"}


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_files_of_any_size(s3, server, bucket, size):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    fields = signed({"key": "k"}, [{"bucket": bucket}, {"key": "k"}])
    assert send(server, bucket, fields, body)[0] == 204
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == body


@pytest.mark.parametrize(
    ("filename", "key"),
    [
        ("a.txt", "u/a.txt"),
        ("C:\\dir\\a.txt", "u/a.txt"),
        ("/etc/passwd", "u/passwd"),
        ("../../x", "u/x"),
        ("ü.txt", "u/ü.txt"),
        ("", "u/"),
    ],
)
def test_the_name_of_the_file_is_its_last_part(s3, server, bucket, filename, key):
    fields = signed({"key": "u/${filename}"}, [{"bucket": bucket}, ["starts-with", "$key", "u/"]])
    assert send(server, bucket, fields, filename=filename)[0] == 204
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == BODY


def test_a_file_without_a_name_replaces_nothing(s3, server, bucket):
    fields = signed({"key": "u/${filename}"}, [{"bucket": bucket}, ["starts-with", "$key", "u/"]])
    assert send(server, bucket, fields, filename=None)[0] == 204
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["u/${filename}"]


def test_conditions_are_judged_after_the_name_was_put_in(server, bucket, s3):
    fields = signed({"key": "${filename}"}, [{"bucket": bucket}, ["starts-with", "$key", "mine"]])
    assert code_of(send(server, bucket, fields, filename="yours")) == (403, "AccessDenied")
    assert send(server, bucket, fields, filename="mine")[0] == 204


@pytest.mark.parametrize(("asked", "status"), [("200", 200), ("201", 201), ("204", 204), ("404", 204)])
def test_the_status_on_success_can_be_chosen(server, bucket, asked, status):
    fields = {"key": "a b", "success_action_status": asked}
    fields = signed(fields, [{"bucket": bucket}, {"key": "a b"}, {"success_action_status": asked}])
    answer = send(server, bucket, fields)
    assert answer[0] == status
    if status == 201:
        root = etree.fromstring(answer[2])
        assert root.tag == "PostResponse"
        assert {child.tag: child.text for child in root} == {
            "Location": f"{server.endpoint}/{bucket}/a%20b",
            "Bucket": bucket,
            "Key": "a b",
            "ETag": f'"{hashlib.md5(BODY).hexdigest()}"',
        }


@pytest.mark.parametrize("field", ["success_action_redirect", "redirect"])
def test_the_browser_can_be_sent_on(server, bucket, field):
    url = "https://example.com/done?a=1"
    fields = signed({"key": "ä&b", field: url}, [{"bucket": bucket}, {"key": "ä&b"}, {field: url}])
    status, headers, _ = send(server, bucket, fields)
    assert status == 303
    target = urllib.parse.urlsplit(headers["location"])
    assert target.netloc + target.path == "example.com/done"
    assert urllib.parse.parse_qs(target.query) == {
        "a": ["1"],
        "bucket": [bucket],
        "key": ["ä&b"],
        "etag": [f'"{hashlib.md5(BODY).hexdigest()}"'],
    }


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "/local", "https://a\r\nX-Evil: 1", "http://[", "https://ü/", "data:,x"]
)
def test_a_redirect_that_is_no_url_is_not_followed(s3, server, bucket, url):
    fields = {"key": "k", "success_action_redirect": url}
    fields = signed(
        fields, [{"bucket": bucket}, {"key": "k"}, ["starts-with", "$success_action_redirect", ""]]
    )
    status, headers, _ = send(server, bucket, fields)
    assert status == 204
    assert "x-evil" not in headers


KEPT = [{"key": "k"}]


@pytest.mark.parametrize(
    ("fields", "conditions", "options", "expected"),
    [
        ({"key": "k"}, KEPT, {"secret": "wrong"}, (403, "SignatureDoesNotMatch")),
        ({"key": "k"}, KEPT, {"access_key": "NOSUCHKEY"}, (403, "InvalidAccessKeyId")),
        ({"key": "k"}, KEPT, {"expires": -1}, (403, "AccessDenied")),
        ({"key": "other"}, KEPT, {}, (403, "AccessDenied")),
        ({"key": "k", "x-amz-meta-a": "1"}, KEPT, {}, (403, "AccessDenied")),
        ({"key": "k", "acl": "public-read"}, KEPT, {}, (403, "AccessDenied")),
        ({"key": "k", "tagging": "<Tagging/>"}, KEPT, {}, (403, "AccessDenied")),
        ({"key": "k"}, [], {}, (403, "AccessDenied")),
        ({"key": "k"}, [*KEPT, ["content-length-range", 0, 3]], {}, (400, "EntityTooLarge")),
        ({"key": "k"}, [*KEPT, ["content-length-range", 1000, 2000]], {}, (400, "EntityTooSmall")),
        ({"key": "k"}, KEPT, {"policy": base64.b64encode(b"{}").decode()}, (403, "SignatureDoesNotMatch")),
        ({"key": "k"}, KEPT, {"own": {"x-amz-date": "20200101T000000Z"}}, (400, None)),
        ({"key": "k"}, KEPT, {"own": {"x-amz-algorithm": "AWS4-HMAC-SHA1"}}, (400, "InvalidArgument")),
        ({"key": "k"}, KEPT, {"own": {"x-amz-credential": "a/b/c"}}, (400, "InvalidArgument")),
        ({}, [], {}, (400, "InvalidArgument")),
        ({"key": "x" * 1025}, [["starts-with", "$key", ""]], {}, (400, "KeyTooLongError")),
        ({"key": ""}, [["starts-with", "$key", ""]], {}, (400, "InvalidArgument")),
        (
            {"key": "k", "content-md5": base64.b64encode(b"\0" * 16).decode()},
            [*KEPT, ["starts-with", "$content-md5", ""]],
            {},
            (400, "BadDigest"),
        ),
        (
            {"key": "k", "x-amz-checksum-crc32": "AAAAAA=="},
            [*KEPT, ["starts-with", "$x-amz-checksum-crc32", ""]],
            {},
            (400, "BadDigest"),
        ),
        (
            {"key": "k", "x-amz-meta-a": "1\r\nX-Evil: 1"},
            [*KEPT, ["starts-with", "$x-amz-meta-a", ""]],
            {},
            (400, "InvalidArgument"),
        ),
    ],
)
def test_forms_that_are_refused_leave_nothing(s3, server, bucket, fields, conditions, options, expected):
    answer = send(server, bucket, signed(fields, [{"bucket": bucket}, *conditions], **options))
    status, code = code_of(answer)
    assert (status, code) == (expected[0], expected[1] or code)
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_policy_for_another_bucket_is_refused(s3, server, bucket):
    fields = signed({"key": "k"}, [{"bucket": "some-other-bucket"}, {"key": "k"}])
    assert code_of(send(server, bucket, fields)) == (403, "AccessDenied")
    fields = signed({"key": "k", "bucket": "other"}, [["starts-with", "$bucket", ""], {"key": "k"}])
    assert code_of(send(server, bucket, fields)) == (403, "AccessDenied")
    fields = signed({"key": "k"}, [{"key": "k"}])  # one that names no bucket
    assert code_of(send(server, bucket, fields)) == (403, "AccessDenied")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_form_that_nobody_signed_is_refused(s3, server, bucket):
    assert code_of(send(server, bucket, {"key": "k"})) == (403, "AccessDenied")
    unsigned = signed({"key": "k"}, [{"bucket": bucket}, {"key": "k"}])
    del unsigned["x-amz-signature"]
    assert send(server, bucket, unsigned)[0] == 400
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_form_signed_by_someone_without_leave_is_refused(s3, server, bucket):
    made = server.make_user("poster")
    keys = {"access_key": made["access_key"], "secret": made["secret_key"]}
    fields = signed({"key": "k"}, [{"bucket": bucket}, {"key": "k"}], **keys)
    assert code_of(send(server, bucket, fields)) == (403, "AccessDenied")
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_signature_version_2_of_an_unknown_key_is_refused(server, bucket):
    fields = {"key": "k", "AWSAccessKeyId": "a", "policy": "e30=", "signature": "b"}
    assert code_of(send(server, bucket, fields)) == (403, "InvalidAccessKeyId")


def test_a_form_that_boto_signs_by_default_is_taken(s3, server, bucket):
    post = s3.generate_presigned_post(bucket, "k", Conditions=[["content-length-range", 1, 100_000]])
    assert "AWSAccessKeyId" in post["fields"]  # version 2: see docs/decisions/0005
    assert send(server, bucket, post["fields"])[0] == 204
    assert code_of(send(server, bucket, {**post["fields"], "key": "other"}))[0] == 403


def test_fields_after_the_file_mean_nothing(s3, server, bucket):
    fields = signed({"key": "k"}, [{"bucket": bucket}, {"key": "k"}])
    assert code_of(send(server, bucket, fields, order=0)) == (400, "InvalidArgument")
    late = {**fields, "x-amz-meta-late": "1"}
    assert send(server, bucket, late, order=len(fields))[0] == 204
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {}


def test_a_form_without_a_file_is_refused(server, bucket):
    fields = signed({"key": "k"}, [{"bucket": bucket}, {"key": "k"}])
    assert code_of(send(server, bucket, fields, body=None)) == (400, "InvalidArgument")


def test_what_is_no_form_is_refused(server, bucket):
    answer = send(server, bucket, {}, headers={"Content-Type": "application/json"}.items())
    assert code_of(answer) == (412, "PreconditionFailed")
    assert (
        b"<Condition>Bucket POST must be of the enclosure-type multipart/form-data</Condition>" in answer[2]
    )


def test_tags_and_checksum(s3, server, bucket):
    tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    sha256 = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    fields = {"key": "k", "tagging": tagging, "x-amz-checksum-sha256": sha256, "acl": "private"}
    conditions = [{"bucket": bucket}, *({name: value} for name, value in fields.items())]
    assert send(server, bucket, signed(fields, conditions))[0] == 204
    answer = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert answer["ChecksumSHA256"] == sha256
    assert answer["TagCount"] == 1


def test_a_bucket_that_is_not_there(server, bucket_name):
    fields = signed({"key": "k"}, [{"bucket": bucket_name}, {"key": "k"}])
    assert code_of(send(server, bucket_name, fields)) == (404, "NoSuchBucket")
    unsigned = {**fields, "x-amz-algorithm": "none"}
    assert code_of(send(server, bucket_name, unsigned)) == (400, "InvalidArgument")


def test_a_form_is_no_way_around_conditions_on_delete(s3, server, bucket):
    """A POST without a form to a key is no operation at all."""
    assert send(server, f"{bucket}/key", {"key": "k"})[0] in (405, 501)
    assert refused(s3.head_object, Bucket=bucket, Key="key")[0] == 404


def test_who_may_put_may_not_lock_by_a_form(s3, server, other_user, other_id, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    keys = {"access_key": other_user["access_key"], "secret": other_user["secret_key"]}
    until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    lock = {"x-amz-object-lock-mode": "GOVERNANCE", "x-amz-object-lock-retain-until-date": until}
    anything = [["starts-with", f"${name}", ""] for name in ("key", *lock)]
    form = signed({"key": "k", **lock}, [{"bucket": bucket_name}, *anything], **keys)
    for actions, status in ((["s3:PutObject"], 403), (["s3:PutObject", "s3:PutObjectRetention"], 204)):
        allow = statement(
            bucket_name, actions, {"CanonicalUser": other_id}, Resource=f"arn:aws:s3:::{bucket_name}/*"
        )
        s3.put_bucket_policy(Bucket=bucket_name, Policy=policy(allow))
        assert send(server, bucket_name, form)[0] == status
    assert s3.head_object(Bucket=bucket_name, Key="k")["ObjectLockMode"] == "GOVERNANCE"


def test_whoever_may_write_by_an_acl_may_tag_what_they_write(s3, server, bucket):
    with_acls(s3, bucket)
    s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write")
    tagging = "<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>"
    form = {"key": "k", "acl": "public-read", "tagging": tagging}
    assert send(server, bucket, form)[0] == 204
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "a", "Value": "1"}]
    deny = {**statement(bucket, "s3:PutObjectTagging", Resource=f"arn:aws:s3:::{bucket}/*"), "Effect": "Deny"}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(deny))
    assert send(server, bucket, {**form, "key": "l"})[0] == 403
    s3.delete_bucket_policy(Bucket=bucket)
    s3.put_bucket_acl(Bucket=bucket, ACL="private")
    allow = statement(bucket, "s3:PutObject", Resource=f"arn:aws:s3:::{bucket}/*")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(allow))
    assert send(server, bucket, {**form, "key": "l"})[0] == 403
    assert send(server, bucket, {"key": "l"})[0] == 204
