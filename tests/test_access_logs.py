"""Server access logs, from requests to the objects that tell of them."""

import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.operations.test_payload_modes import TlsServer
from tests.operations.test_payload_modes import client as tls_client
from tests.support.server import Server

EVERY_S = 0.5
WAIT_S = 15.0
LINE = re.compile(
    r"(?P<owner>\S+) (?P<bucket>\S+) \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "
    r"(?P<remote>\S+) (?P<requester>\S+) (?P<request_id>\S+) (?P<operation>\S+) (?P<key>\S+) "
    r'(?P<uri>"[^"]*"|-) (?P<status>\d{3}|-) (?P<code>\S+) (?P<sent>\d+|-) (?P<size>\d+|-) '
    r'(?P<total>\d+|-) (?P<turn>\d+|-) (?P<referer>"[^"]*"|-) (?P<agent>"[^"]*"|-) (?P<version>\S+) '
    r"(?P<host_id>\S+) (?P<signature>SigV2|SigV4|-) (?P<cipher>\S+) (?P<auth>AuthHeader|QueryString|-) "
    r"(?P<host>\S+) (?P<tls>TLSv[\d.]+|-) (?P<arn>arn:\S+|-) (?P<acl>Yes|-) (?P<region>\S+)"
)
"""AWS's documented format, field by field."""
Line = dict[str, str]


@pytest.fixture(scope="module")
def logging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = (
        "--bucket-logs-every-s",
        str(EVERY_S),
        "--lifecycle-debug-day-s",
        "1",
        "--website-domains",
        "web.test",
    )
    running = Server(tmp_path_factory.mktemp("logging"), options=options).start()
    try:
        yield running
    finally:
        assert running.stop() == 0, running.log_tail()


@pytest.fixture(scope="module")
def client(logging: Server) -> Any:
    return logging.client()


def policy(source: str, target: str, prefix: str = "") -> str:
    """What AWS's guide tells to put on the target."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{target}/{prefix}*",
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{source}"}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def logged_pair(s3: Any, name: str, prefix: str = "logs/", **enabled: Any) -> tuple[str, str]:
    """A bucket with a log, and the bucket that it goes to."""
    target = f"{name}-target"
    s3.create_bucket(Bucket=name)
    s3.create_bucket(Bucket=target)
    s3.put_bucket_policy(Bucket=target, Policy=policy(name, target, prefix))
    turn_on(s3, name, target, prefix, **enabled)
    return name, target


def turn_on(s3: Any, bucket: str, target: str, prefix: str, **enabled: Any) -> None:
    wanted = {"TargetBucket": target, "TargetPrefix": prefix, **enabled}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": wanted})


def keys(s3: Any, bucket: str, prefix: str = "") -> list[str]:
    return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])]


def lines(s3: Any, target: str, prefix: str = "") -> list[Line]:
    """Everything that was delivered so far; every line must be in AWS's format."""
    found = []
    for key in keys(s3, target, prefix):
        text = s3.get_object(Bucket=target, Key=key)["Body"].read().decode("ascii")
        assert text.endswith("\n")
        for line in text.splitlines():
            match = LINE.fullmatch(line)
            assert match is not None, line
            found.append(match.groupdict())
    return found


def awaited(s3: Any, target: str, count: int, **wanted: str) -> list[Line]:
    """The lines with these fields, as soon as there are `count`."""
    deadline = time.monotonic() + WAIT_S
    while True:
        got = lines(s3, target)
        found = [line for line in got if wanted.items() <= line.items()]
        if len(found) >= count:
            assert len(found) == count, found
            return found
        assert time.monotonic() < deadline, (wanted, got)
        time.sleep(0.2)


def test_every_request_is_a_line(client, logging):
    root_id = client.list_buckets()["Owner"]["ID"]
    bucket, target = logged_pair(client, "every")
    key = "a b/ü+%.txt"
    put = client.put_object(Bucket=bucket, Key=key, Body=b"x" * 1000)
    got = client.get_object(Bucket=bucket, Key=key, Range="bytes=0-9")
    assert len(got["Body"].read()) == 10
    with pytest.raises(ClientError):
        client.get_object(Bucket=bucket, Key="absent")
    client.list_objects_v2(Bucket=bucket)
    client.get_bucket_versioning(Bucket=bucket)
    (line,) = awaited(client, target, 1, operation="REST.PUT.OBJECT")
    assert line["owner"] == line["requester"] == root_id
    assert (line["bucket"], line["remote"], line["status"], line["code"]) == (bucket, "127.0.0.1", "200", "-")
    assert line["request_id"] == put["ResponseMetadata"]["RequestId"]
    assert line["host_id"] == put["ResponseMetadata"]["HostId"]
    assert line["key"] == "a%2520b/%25C3%25BC%252B%2525.txt"
    assert line["uri"] == f'"PUT /{bucket}/a%20b/%C3%BC%2B%25.txt HTTP/1.1"'
    assert (line["sent"], line["size"]) == ("-", "1000")
    assert int(line["total"]) >= int(line["turn"]) >= 0
    assert (line["signature"], line["auth"], line["host"]) == (
        "SigV4",
        "AuthHeader",
        f"127.0.0.1:{logging.port}",
    )
    assert "Boto3" in line["agent"] and line["referer"] == '"-"'
    assert (line["cipher"], line["tls"], line["arn"], line["acl"]) == ("-", "-", "-", "-")
    at = datetime.strptime(line["time"], "%d/%b/%Y:%H:%M:%S +0000").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60
    (line,) = awaited(client, target, 1, operation="REST.GET.OBJECT", status="206")
    assert (line["sent"], line["size"]) == ("10", "1000")
    (line,) = awaited(client, target, 1, operation="REST.GET.OBJECT", status="404")
    assert (line["code"], line["key"]) == ("NoSuchKey", "absent")
    awaited(client, target, 1, operation="REST.GET.BUCKET", key="-")
    awaited(client, target, 1, operation="REST.GET.VERSIONING")


def test_keys_of_log_objects(client):
    _, target = logged_pair(client, "simple")
    client.head_bucket(Bucket="simple")
    awaited(client, target, 1, operation="REST.HEAD.BUCKET")
    for key in keys(client, target):
        assert re.fullmatch(r"logs/\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d-[0-9A-F]{16}", key)


@pytest.mark.parametrize(
    ("source", "clock"), [("EventTime", "00-00-00"), ("DeliveryTime", r"\d\d-\d\d-\d\d")]
)
def test_partitioned_keys_of_log_objects(client, logging, source, clock):
    name = f"parted-{source.lower()}"
    form = {"PartitionedPrefix": {"PartitionDateSource": source}}
    _, target = logged_pair(client, name, "", TargetObjectKeyFormat=form)
    client.head_bucket(Bucket=name)
    awaited(client, target, 1, operation="REST.HEAD.BUCKET")
    for key in keys(client, target):
        pattern = rf"\d{{12}}/us-east-1/{name}/(\d{{4}})/(\d\d)/(\d\d)/\1-\2-\3-{clock}-[0-9A-F]{{16}}"
        assert re.fullmatch(pattern, key), key


def test_deleting_many_is_a_line_for_each_key(client):
    bucket, target = logged_pair(client, "many")
    for key in ("a", "b"):
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    wanted = [{"Key": "a"}, {"Key": "b"}, {"Key": "c", "VersionId": "no-such-id"}]
    client.delete_objects(Bucket=bucket, Delete={"Objects": wanted})
    (whole,) = awaited(client, target, 1, operation="REST.POST.MULTI_OBJECT_DELETE")
    assert whole["status"] == "200"
    found = awaited(client, target, 3, operation="BATCH.DELETE.OBJECT")
    assert {line["request_id"] for line in found} == {whole["request_id"]}
    by_key = {line["key"]: (line["status"], line["uri"]) for line in found}
    assert by_key["a"] == by_key["b"] == ("204", "-")
    (odd,) = [line for line in found if line["key"] == "c"]
    assert odd["version"] == "no-such-id"


def test_a_copy_is_told_on_both_sides(client):
    source, source_target = logged_pair(client, "copied-from")
    bucket, target = logged_pair(client, "copied-to")
    client.put_object(Bucket=source, Key="original", Body=b"x" * 77)
    client.copy_object(Bucket=bucket, Key="copy", CopySource=f"{source}/original")
    (there,) = awaited(client, target, 1, operation="REST.COPY.OBJECT")
    (here,) = awaited(client, source_target, 1, operation="REST.COPY.OBJECT_GET")
    assert (there["bucket"], there["key"], there["size"]) == (bucket, "copy", "77")
    assert (here["bucket"], here["key"], here["size"]) == (source, "original", "77")
    assert here["request_id"] == there["request_id"]
    upload = client.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    named = {"Bucket": bucket, "Key": "parts", "UploadId": upload}
    client.upload_part_copy(**named, PartNumber=1, CopySource=f"{source}/original")
    client.upload_part(**named, PartNumber=2, Body=b"12345")
    client.list_parts(**named)
    client.abort_multipart_upload(**named)
    awaited(client, source_target, 1, operation="REST.COPY.PART_GET", key="original")
    awaited(client, target, 1, operation="REST.COPY.PART", key="parts", size="77")
    awaited(client, target, 1, operation="REST.PUT.PART", size="5")
    awaited(client, target, 1, operation="REST.POST.UPLOADS")
    awaited(client, target, 1, operation="REST.GET.UPLOAD")
    awaited(client, target, 1, operation="REST.DELETE.UPLOAD", status="204")


def test_who_asked_and_how_it_was_signed(client, logging):
    from botocore import UNSIGNED

    bucket, target = logged_pair(client, "signed")
    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    with urllib.request.urlopen(url, timeout=10) as answer:
        answer.read()
    with pytest.raises(ClientError):
        logging.client(signature_version=UNSIGNED).get_object(Bucket=bucket, Key="k")
    with pytest.raises(ClientError):
        logging.client("TESTROOTACCESSKEY001", "wrong-secret").get_object(Bucket=bucket, Key="k")
    (line,) = awaited(client, target, 1, operation="REST.GET.OBJECT", status="200")
    assert (line["signature"], line["auth"]) in (("SigV2", "QueryString"), ("SigV4", "QueryString"))
    assert "Signature=REDACTED" in line["uri"]
    assert url.rpartition("Signature=")[2][:20] not in line["uri"]
    (line,) = awaited(client, target, 1, code="AccessDenied")
    assert (line["requester"], line["signature"], line["auth"]) == ("-", "-", "-")
    awaited(client, target, 1, code="SignatureDoesNotMatch", operation="REST.GET.OBJECT", key="k")


def test_whether_an_acl_was_needed(client, logging):
    from botocore import UNSIGNED

    bucket, target = logged_pair(client, "by-acl")
    client.delete_public_access_block(Bucket=bucket)
    client.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )
    client.put_object(Bucket=bucket, Key="k", Body=b"x", ACL="public-read")
    logging.client(signature_version=UNSIGNED).get_object(Bucket=bucket, Key="k")["Body"].read()
    client.get_object(Bucket=bucket, Key="k")["Body"].read()
    awaited(client, target, 1, operation="REST.GET.OBJECT", requester="-", acl="Yes")
    awaited(client, target, 1, operation="REST.GET.OBJECT", acl="-")


def test_headers_cannot_forge_lines(client, logging):
    bucket, target = logged_pair(client, "forged")
    url = client.generate_presigned_url("head_bucket", Params={"Bucket": bucket})
    agent = 'evil" 200 - "agent \\'
    asked = urllib.request.Request(url, method="HEAD", headers={"User-Agent": agent, "Referer": 'a"b'})
    urllib.request.urlopen(asked, timeout=10).close()
    (line,) = awaited(client, target, 1, operation="REST.HEAD.BUCKET")
    assert line["agent"] == '"evil\\x22 200 - \\x22agent \\x5c"'
    assert line["referer"] == '"a\\x22b"'


def test_what_rules_delete_is_told(client):
    bucket, target = logged_pair(client, "ruled")
    client.put_object(Bucket=bucket, Key="old", Body=b"12345")
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "old"}, "Expiration": {"Days": 1}}
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    (line,) = awaited(client, target, 1, operation="S3.EXPIRE.OBJECT")
    assert (line["requester"], line["key"], line["size"]) == ("AmazonS3", "old", "5")
    assert (line["remote"], line["uri"], line["status"], line["agent"]) == ("-", '"-"', "-", '"-"')


def test_a_bucket_may_keep_its_own_log_without_a_loop(client):
    client.create_bucket(Bucket="own-log")
    client.put_bucket_policy(Bucket="own-log", Policy=policy("own-log", "own-log"))
    turn_on(client, "own-log", "own-log", "logs/")
    client.put_object(Bucket="own-log", Key="k", Body=b"x")
    awaited_put = [line for line in awaited_in(client, "own-log", "logs/") if line["key"] == "k"]
    assert awaited_put
    count = len(keys(client, "own-log", "logs/"))
    time.sleep(5 * EVERY_S)
    # Only our own listings make further lines: nothing is written about writing logs.
    assert len(keys(client, "own-log", "logs/")) <= count + 4
    assert not [
        line for line in lines(client, "own-log", "logs/") if "PUT" in line["uri"] and "logs/" in line["key"]
    ]


def awaited_in(s3: Any, bucket: str, prefix: str) -> list[Line]:
    deadline = time.monotonic() + WAIT_S
    while not (found := lines(s3, bucket, prefix)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def test_nothing_is_delivered_without_permission_nor_after_it_is_taken(client, logging):
    client.create_bucket(Bucket="unloved")
    client.create_bucket(Bucket="unloved-target")
    turn_on(client, "unloved", "unloved-target", "logs/")
    for put in (None, policy("another", "unloved-target"), policy("unloved", "unloved-target", "elsewhere/")):
        if put is not None:
            client.put_bucket_policy(Bucket="unloved-target", Policy=put)
        client.head_bucket(Bucket="unloved")
        time.sleep(2 * EVERY_S + 0.8)
        assert keys(client, "unloved-target") == []
    assert "access log of bucket unloved cannot be delivered" in logging.log_tail(1_000_000)
    client.put_bucket_policy(Bucket="unloved-target", Policy=policy("unloved", "unloved-target"))
    client.head_bucket(Bucket="unloved")
    assert len(awaited_in(client, "unloved-target", "logs/")) >= 1


def acl_target(s3: Any, name: str, **acl: Any) -> str:
    s3.create_bucket(Bucket=name, ObjectOwnership="ObjectWriter")
    if acl:
        s3.put_bucket_acl(Bucket=name, **acl)
    return name


def refused_logging(s3: Any, bucket: str, target: str, **enabled: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        turn_on(s3, bucket, target, "logs/", **enabled)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


def test_where_acls_count_the_log_delivery_group_needs_both_permissions(client):
    client.create_bucket(Bucket="by-group")
    target = acl_target(client, "by-group-target")
    complaint = "You must give the log-delivery group WRITE and READ_ACP permissions to the target bucket"
    assert refused_logging(client, "by-group", target) == ("InvalidTargetBucketForLogging", complaint)
    group = "uri=http://acs.amazonaws.com/groups/s3/LogDelivery"
    client.put_bucket_acl(Bucket=target, GrantWrite=group)
    assert refused_logging(client, "by-group", target)[1] == complaint
    client.put_bucket_acl(Bucket=target, ACL="log-delivery-write")
    grants = client.get_bucket_acl(Bucket=target)["Grants"]
    given = {one["Permission"] for one in grants if one["Grantee"].get("URI", "").endswith("/s3/LogDelivery")}
    assert given == {"WRITE", "READ_ACP"}
    turn_on(client, "by-group", target, "logs/")
    client.head_bucket(Bucket="by-group")
    awaited(client, target, 1, operation="REST.HEAD.BUCKET")


def test_target_grants_are_the_acl_of_log_objects(client, logging):
    other = logging.make_user("reader")
    client.create_bucket(Bucket="granted")
    target = acl_target(client, "granted-target", ACL="log-delivery-write")
    grantee = {"Type": "CanonicalUser", "ID": other["id"]}
    turn_on(client, "granted", target, "logs/", TargetGrants=[{"Grantee": grantee, "Permission": "READ"}])
    client.head_bucket(Bucket="granted")
    awaited_in(client, target, "logs/")
    key = keys(client, target)[0]
    reader = logging.client(other["access_key"], other["secret_key"])
    assert reader.get_object(Bucket=target, Key=key)["Body"].read()
    owner = client.list_buckets()["Owner"]["ID"]
    shown = {
        (one["Grantee"]["ID"], one["Permission"])
        for one in client.get_object_acl(Bucket=target, Key=key)["Grants"]
    }
    assert shown == {(owner, "FULL_CONTROL"), (other["id"], "READ")}


def test_target_grants_where_acls_are_off(client):
    client.create_bucket(Bucket="ungranted")
    grants = [{"Grantee": {"Type": "CanonicalUser", "ID": "a" * 64}, "Permission": "READ"}]
    code, _ = refused_logging(client, "ungranted", "ungranted", TargetGrants=grants)
    assert code == "AccessControlListNotSupported"


def test_a_browser_s_form_is_told(client):
    bucket, target = logged_pair(client, "formed")
    form = client.generate_presigned_post(bucket, "uploaded")
    boundary = "boundary"
    parts = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form["fields"].items()
    )
    parts += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nhello\r\n'
    asked = urllib.request.Request(
        form["url"],
        (parts + f"--{boundary}--\r\n").encode(),
        {"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    urllib.request.urlopen(asked, timeout=10).close()
    (line,) = awaited(client, target, 1, operation="REST.POST.OBJECT")
    assert (line["size"], line["status"]) == ("5", "204")
    assert line["requester"] == client.list_buckets()["Owner"]["ID"]


def test_a_website_is_told(client, logging):
    bucket, target = logged_pair(client, "sited")
    client.delete_public_access_block(Bucket=bucket)
    client.put_bucket_website(Bucket=bucket, WebsiteConfiguration={"IndexDocument": {"Suffix": "index.html"}})
    read = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/*",
    }
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [read]}))
    client.put_object(Bucket=bucket, Key="index.html", Body=b"<p>hello")
    host = {"Host": f"{bucket}.web.test", "Referer": "http://elsewhere.test/"}
    asked = urllib.request.Request(f"{logging.endpoint}/", headers=host)
    urllib.request.urlopen(asked, timeout=10).close()
    absent = urllib.request.Request(f"{logging.endpoint}/absent", headers=host)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(absent, timeout=10)
    caught.value.close()
    (line,) = awaited(client, target, 1, operation="WEBSITE.GET.OBJECT", status="200")
    assert (line["requester"], line["size"], line["sent"], line["referer"]) == (
        "-",
        "8",
        "8",
        '"http://elsewhere.test/"',
    )
    assert (line["uri"], line["host"]) == ('"GET / HTTP/1.1"', f"{bucket}.web.test")
    awaited(
        client, target, 1, operation="WEBSITE.GET.OBJECT", status="403", code="AccessDenied", key="absent"
    )


def test_lines_outlive_an_orderly_stop_and_a_kill(tmp_path):
    options = ("--bucket-logs-every-s", "3600")
    server = Server(tmp_path, workers=2, options=options).start()
    try:
        s3 = server.client()
        bucket, target = logged_pair(s3, "outlive")
        s3.put_object(Bucket=bucket, Key="before-the-stop", Body=b"x")
        assert server.stop() == 0
        server.start()
        s3.put_object(Bucket=bucket, Key="before-the-kill", Body=b"x")
        time.sleep(1.5)  # what a killed process had not written yet is lost
        server.kill()
        server.start()
        awaited(s3, target, 1, key="before-the-stop")
        awaited(s3, target, 1, key="before-the-kill")
        spools = [
            path for drive in server.drives for path in (drive / "system" / "access-logs").glob("*.lines")
        ]
        assert len(spools) <= 3  # of the workers and jobs that run now
    finally:
        server.stop()


def test_the_connection_s_cipher_is_told(tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        ["openssl", *made.split(), "-keyout", str(key), "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    options = ["--bucket-logs-every-s", "0.5", "--tls-certificate", str(certificate), "--tls-key", str(key)]
    server = TlsServer(tmp_path, workers=1, options=options)
    server.certificate = certificate
    server.start()
    try:
        s3 = tls_client(server.endpoint, str(certificate))
        bucket, target = logged_pair(s3, "ciphered")
        s3.head_bucket(Bucket=bucket)
        (line,) = awaited(s3, target, 1, operation="REST.HEAD.BUCKET")
        assert line["tls"] in ("TLSv1.2", "TLSv1.3") and re.fullmatch(r"[A-Z0-9_-]{10,}", line["cipher"])
    finally:
        server.stop()
