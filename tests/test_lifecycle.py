"""Lifecycle end to end: headers in real days, and a server on which a day is two seconds."""

import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.server import Server

DAY_S = 2.0


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--lifecycle-debug-day-s", str(DAY_S))
    running = Server(tmp_path_factory.mktemp("hasty"), workers=1, options=options).start()
    try:
        yield running
    finally:
        assert running.stop() == 0, running.log_tail()


def put_rules(s3: Any, bucket: str, *rules: dict[str, Any]) -> None:
    made = [{"ID": f"r {number}", "Status": "Enabled", **rule} for number, rule in enumerate(rules)]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": made})


def expected_midnight(days: int) -> str:
    at = (datetime.now(UTC) + timedelta(days=days + 1)).replace(hour=0, minute=0, second=0)
    return at.strftime("%a, %d %b %Y %H:%M:%S GMT")


def test_x_amz_expiration_where_an_object_is_written_and_read(s3, bucket):
    put_rules(s3, bucket, {"Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 3}})
    wanted = f'expiry-date="{expected_midnight(3)}", rule-id="r%200"'
    assert s3.put_object(Bucket=bucket, Key="logs/a", Body=b"x")["Expiration"] == wanted
    assert s3.get_object(Bucket=bucket, Key="logs/a")["Expiration"] == wanted
    assert s3.head_object(Bucket=bucket, Key="logs/a")["Expiration"] == wanted
    assert "Expiration" not in s3.head_object(Bucket=bucket, Key="logs/a", VersionId="null")
    copied = s3.copy_object(Bucket=bucket, Key="logs/b", CopySource=f"{bucket}/logs/a")
    assert copied["Expiration"] == wanted
    upload = s3.create_multipart_upload(Bucket=bucket, Key="logs/c")
    named = {"Bucket": bucket, "Key": "logs/c", "UploadId": upload["UploadId"]}
    part = s3.upload_part(**named, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    assert s3.complete_multipart_upload(**named, MultipartUpload=parts)["Expiration"] == wanted
    for answer in (
        s3.put_object(Bucket=bucket, Key="other", Body=b"x"),
        s3.get_object(Bucket=bucket, Key="other"),
    ):
        assert "Expiration" not in answer


def test_the_day_an_upload_is_given_up_is_told(s3, bucket):
    put_rules(
        s3, bucket, {"Filter": {"Prefix": "a"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}}
    )
    upload = s3.create_multipart_upload(Bucket=bucket, Key="a")
    listed = s3.list_parts(Bucket=bucket, Key="a", UploadId=upload["UploadId"])
    for answer in (upload, listed):
        assert answer["AbortDate"].strftime("%a, %d %b %Y %H:%M:%S GMT") == expected_midnight(2)
        assert answer["AbortRuleId"] == "r%200"
    assert "AbortDate" not in s3.create_multipart_upload(Bucket=bucket, Key="b")


def wait_until(condition: Any, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def keys(s3: Any, bucket: str) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_everything_that_expires_expires_within_two_intervals(hasty):
    s3 = hasty.client()
    s3.create_bucket(Bucket="hasty")
    s3.put_bucket_versioning(Bucket="hasty", VersioningConfiguration={"Status": "Enabled"})
    for key in ("logs/a", "logs/b", "kept"):
        s3.put_object(Bucket="hasty", Key=key, Body=b"x")
    s3.create_multipart_upload(Bucket="hasty", Key="logs/u")
    began_s = time.monotonic()
    put_rules(
        s3,
        "hasty",
        {
            "Filter": {"Prefix": "logs/"},
            "Expiration": {"Days": 1},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        },
    )
    header = s3.head_object(Bucket="hasty", Key="logs/a")["Expiration"]
    assert re.fullmatch(rf'expiry-date="{expected_midnight(1)}", rule-id="r%200"', header)
    wait_until(lambda: keys(s3, "hasty") == ["kept"], within_s=3 * DAY_S)
    assert time.monotonic() - began_s > DAY_S * 0.5
    wait_until(lambda: not s3.list_multipart_uploads(Bucket="hasty").get("Uploads"), within_s=2 * DAY_S)
    # Then the noncurrent versions, then the delete markers that have nothing under them any more.

    def only_kept() -> bool:
        listed = s3.list_object_versions(Bucket="hasty")
        assert {"kept"} <= {entry["Key"] for entry in listed["Versions"]}
        return len(listed["Versions"]) == 1 and not listed.get("DeleteMarkers")

    wait_until(only_kept, within_s=6 * DAY_S)
    assert s3.get_object(Bucket="hasty", Key="kept")["Body"].read() == b"x"


def test_the_plan_of_a_running_server_where_nothing_is_due(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="logs/a", Body=b"12345")
    put_rules(s3, bucket, {"Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 1}})
    drives = [f"--drive={drive}" for drive in server.drives]
    assert server.run("lifecycle", "plan", bucket, *drives) == ""
    assert keys(s3, bucket) == ["logs/a"]


def test_the_plan_lists_what_would_go(tmp_path):
    server = Server(tmp_path, workers=1)
    server.start()
    try:
        s3 = server.client()
        s3.create_bucket(Bucket="plan")
        s3.put_object(Bucket="plan", Key="a", Body=b"12345")
        put_rules(s3, "plan", {"Filter": {}, "Expiration": {"Days": 1}})
    finally:
        server.stop()
    drives = [f"--drive={drive}" for drive in server.drives]
    server.environment["OBJSTORE_LIFECYCLE_DEBUG_DAY_S"] = "0.001"
    (line,) = server.run("lifecycle", "plan", "--json", *drives).splitlines()
    due = json.loads(line)
    assert (due["bucket"], due["action"], due["key"], due["size"]) == ("plan", "expire", "a", 5)
    assert "plan  expire" in server.run("lifecycle", "plan", *drives)
    assert "trust" not in server.run("lifecycle", "trust-clock", *drives)
