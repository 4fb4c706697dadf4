"""`aws s3api`: one run for each family of operations, as scripts use it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import Client, aws_cli
from tests.operations.sharing import policy, statement
from tests.support.server import Server

pytestmark = pytest.mark.clients

ABSENT = object()
"""What a GET answers with a 404."""

CONFIGURED: dict[str, tuple[str, dict[str, Any], Any]] = {
    # what comes after `get-bucket-` and the like → the argument of the PUT, its value, what is told before
    "cors": (
        "--cors-configuration",
        {"CORSRules": [{"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "MaxAgeSeconds": 60}]},
        ABSENT,
    ),
    "lifecycle-configuration": (
        "--lifecycle-configuration",
        {"Rules": [{"ID": "a", "Status": "Enabled", "Filter": {"Prefix": "p/"}, "Expiration": {"Days": 1}}]},
        ABSENT,
    ),
    "tagging": ("--tagging", {"TagSet": [{"Key": "team", "Value": "a"}]}, ABSENT),
    "website": ("--website-configuration", {"IndexDocument": {"Suffix": "index.html"}}, ABSENT),
    "ownership-controls": (
        "--ownership-controls",
        {"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]},
        {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
    ),
    "request-payment": ("--request-payment-configuration", {"Payer": "Requester"}, {"Payer": "BucketOwner"}),
    "accelerate-configuration": ("--accelerate-configuration", {"Status": "Suspended"}, None),
    "versioning": ("--versioning-configuration", {"Status": "Enabled"}, None),
}
DELETED = {"cors": "cors", "lifecycle-configuration": "lifecycle", "tagging": "tagging", "website": "website"}

WITH_ID: dict[str, dict[str, Any]] = {
    "metrics": {"Id": "one", "Filter": {"Prefix": "p/"}},
    "analytics": {"Id": "one", "StorageClassAnalysis": {}},
    "intelligent-tiering": {
        "Id": "one",
        "Status": "Enabled",
        "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}],
    },
    "inventory": {
        "Id": "one",
        "IsEnabled": False,
        "IncludedObjectVersions": "Current",
        "Schedule": {"Frequency": "Weekly"},
        "Destination": {"S3BucketDestination": {"Bucket": "arn:aws:s3:::lists", "Format": "CSV"}},
    },
}


@pytest.fixture
def s3api(server: Server, tmp_path: Path) -> Any:
    """Runs one command upon a bucket; its answer as JSON, None for none, the message where it fails."""
    aws: Client = aws_cli(server, tmp_path / "home")

    def run(command: str, bucket: str, *arguments: str | Path, fails: bool = False) -> Any:
        said = aws("s3api", command, "--bucket", bucket, *arguments, fails=fails)
        if fails:
            return said
        return json.loads(said) if said.strip() else None

    return run


@pytest.mark.parametrize("family", CONFIGURED)
def test_what_is_configured_of_a_bucket(s3api: Any, bucket: str, family: str) -> None:
    argument, value, before = CONFIGURED[family]
    if before is ABSENT:
        assert "(NoSuch" in s3api(f"get-bucket-{family}", bucket, fails=True)
    else:
        assert s3api(f"get-bucket-{family}", bucket) == before
    s3api(f"put-bucket-{family}", bucket, argument, json.dumps(value))
    told = s3api(f"get-bucket-{family}", bucket)
    assert value in (told, {name: told.get(name) for name in value}, told.get("OwnershipControls"))
    if family in DELETED:
        s3api(f"delete-bucket-{DELETED[family]}", bucket)
        assert "(NoSuch" in s3api(f"get-bucket-{family}", bucket, fails=True)


@pytest.mark.parametrize("family", WITH_ID)
def test_what_a_bucket_has_many_of(s3api: Any, bucket: str, family: str) -> None:
    value = WITH_ID[family]
    name = "".join(word.capitalize() for word in family.split("-")) + "Configuration"
    one = ("--id", "one")
    s3api(f"put-bucket-{family}-configuration", bucket, *one, f"--{family}-configuration", json.dumps(value))
    assert s3api(f"get-bucket-{family}-configuration", bucket, *one) == {name: value}
    assert s3api(f"list-bucket-{family}-configurations", bucket)[f"{name}List"] == [value]
    s3api(f"delete-bucket-{family}-configuration", bucket, *one)
    assert "(NoSuchConfiguration)" in s3api(f"get-bucket-{family}-configuration", bucket, *one, fails=True)


def test_who_may(s3api: Any, bucket: str) -> None:
    assert s3api("get-public-access-block", bucket)["PublicAccessBlockConfiguration"]["BlockPublicPolicy"]
    s3api("put-public-access-block", bucket, "--public-access-block-configuration", "BlockPublicAcls=true")
    public = policy(statement(bucket, "s3:GetObject"))
    s3api("put-bucket-policy", bucket, "--policy", public)
    assert json.loads(s3api("get-bucket-policy", bucket)["Policy"]) == json.loads(public)
    assert s3api("get-bucket-policy-status", bucket) == {"PolicyStatus": {"IsPublic": True}}
    s3api("delete-bucket-policy", bucket)
    s3api("delete-public-access-block", bucket)
    s3api(
        "put-bucket-ownership-controls",
        bucket,
        "--ownership-controls",
        "Rules=[{ObjectOwnership=ObjectWriter}]",
    )
    s3api("put-bucket-acl", bucket, "--acl", "public-read")
    assert len(s3api("get-bucket-acl", bucket)["Grants"]) == 2


def test_what_a_bucket_tells_others(s3: Any, s3api: Any, bucket: str, bucket_name: str) -> None:
    target = f"{bucket_name}-target"
    s3.create_bucket(Bucket=target)
    for name in (bucket, target):
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    rule = {
        "ID": "all",
        "Status": "Enabled",
        "Prefix": "",
        "Destination": {"Bucket": f"arn:aws:s3:::{target}"},
    }
    replication = {"Role": "arn:aws:iam::123456789012:role/r", "Rules": [rule]}
    queue = {"Id": "q", "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q", "Events": ["s3:ObjectCreated:*"]}
    notification = {"QueueConfigurations": [queue]}
    logging = {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": "log/"}}
    given = ("--notification-configuration", json.dumps(notification), "--skip-destination-validation")
    s3api("put-bucket-notification-configuration", bucket, *given)
    assert s3api("get-bucket-notification-configuration", bucket) == notification
    s3api("put-bucket-replication", bucket, "--replication-configuration", json.dumps(replication))
    assert s3api("get-bucket-replication", bucket) == {"ReplicationConfiguration": replication}
    s3api("put-bucket-logging", bucket, "--bucket-logging-status", json.dumps(logging))
    assert s3api("get-bucket-logging", bucket) == logging


def test_objects_versions_and_locks(s3api: Any, bucket_name: str, tmp_path: Path) -> None:
    body, back = tmp_path / "body", tmp_path / "back"
    body.write_bytes(b"body")
    s3api("create-bucket", bucket_name, "--object-lock-enabled-for-bucket")
    assert s3api("get-object-lock-configuration", bucket_name)["ObjectLockConfiguration"]
    key = ("--key", "key")
    first = s3api("put-object", bucket_name, *key, "--body", body, "--tagging", "a=1")["VersionId"]
    version = ("--version-id", first)
    assert s3api("get-object-tagging", bucket_name, *key)["TagSet"] == [{"Key": "a", "Value": "1"}]
    s3api("put-object-legal-hold", bucket_name, *key, *version, "--legal-hold", "Status=ON")
    assert s3api("get-object-legal-hold", bucket_name, *key)["LegalHold"] == {"Status": "ON"}
    assert "AccessDenied" in s3api("delete-object", bucket_name, *key, *version, fails=True)
    s3api("put-object-legal-hold", bucket_name, *key, *version, "--legal-hold", "Status=OFF")
    until = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    s3api(
        "put-object-retention", bucket_name, *key, "--retention", f"Mode=GOVERNANCE,RetainUntilDate={until}"
    )
    assert s3api("get-object-retention", bucket_name, *key)["Retention"]["Mode"] == "GOVERNANCE"
    about = s3api("get-object-attributes", bucket_name, *key, "--object-attributes", "ETag", "ObjectSize")
    assert about["ObjectSize"] == 4
    marker = s3api("delete-object", bucket_name, *key)
    assert marker["DeleteMarker"] is True
    listed = s3api("list-object-versions", bucket_name)
    assert (len(listed["Versions"]), len(listed["DeleteMarkers"])) == (1, 1)
    s3api("get-object", bucket_name, *key, *version, back)
    assert back.read_bytes() == b"body"
    s3api("delete-object", bucket_name, *key, *version, "--bypass-governance-retention")
    s3api("delete-object", bucket_name, *key, "--version-id", marker["VersionId"])
    s3api("delete-bucket", bucket_name)


def test_uploads_in_parts(s3api: Any, bucket: str, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"part")
    key = ("--key", "key")
    upload = ("--upload-id", s3api("create-multipart-upload", bucket, *key)["UploadId"])
    assert len(s3api("list-multipart-uploads", bucket)["Uploads"]) == 1
    etag = s3api("upload-part", bucket, *key, *upload, "--part-number", "1", "--body", body)["ETag"]
    assert s3api("list-parts", bucket, *key, *upload)["Parts"][0]["ETag"] == etag
    parts = json.dumps({"Parts": [{"PartNumber": 1, "ETag": etag}]})
    assert s3api("complete-multipart-upload", bucket, *key, *upload, "--multipart-upload", parts)["ETag"]
    upload = ("--upload-id", s3api("create-multipart-upload", bucket, *key)["UploadId"])
    copied = s3api(
        *("upload-part-copy", bucket, *key, *upload),
        *("--part-number", "1", "--copy-source", f"{bucket}/key"),
    )
    assert copied["CopyPartResult"]["ETag"]
    s3api("abort-multipart-upload", bucket, *key, *upload)


def test_objects_copied_and_deleted_by_the_dozen(s3api: Any, bucket: str) -> None:
    s3api("put-object", bucket, "--key", "a", "--metadata", "colour=blue")
    s3api("copy-object", bucket, "--key", "b", "--copy-source", f"{bucket}/a")
    assert s3api("head-object", bucket, "--key", "b")["Metadata"] == {"colour": "blue"}
    assert [one["Key"] for one in s3api("list-objects", bucket)["Contents"]] == ["a", "b"]
    assert s3api("list-objects-v2", bucket, "--max-items", "1")["NextToken"]
    doomed = json.dumps({"Objects": [{"Key": "a"}, {"Key": "b"}, {"Key": "none"}]})
    assert len(s3api("delete-objects", bucket, "--delete", doomed)["Deleted"]) == 3
    assert s3api("get-bucket-location", bucket) == {"LocationConstraint": None}
    assert s3api("head-bucket", bucket)["BucketRegion"] == "us-east-1"
