"""Inventories: configured through boto3, written by the jobs process, read back as their readers do."""

import base64
import csv
import gzip
import hashlib
import io
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from botocore.exceptions import ClientError

from tests.support.server import Server

DAY_S = 2.0
WAIT_S = 20.0
ALL_FIELDS = [
    "Size",
    "LastModifiedDate",
    "ETag",
    "StorageClass",
    "IsMultipartUploaded",
    "ReplicationStatus",
    "EncryptionStatus",
    "ObjectLockRetainUntilDate",
    "ObjectLockMode",
    "ObjectLockLegalHoldStatus",
    "IntelligentTieringAccessTier",
    "BucketKeyStatus",
    "ChecksumAlgorithm",
    "ObjectAccessControlList",
    "ObjectOwner",
    "LifecycleExpirationDate",
]
Row = dict[str, str]


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    options = ("--inventory-debug-day-s", str(DAY_S))
    running = Server(tmp_path_factory.mktemp("inventory"), workers=1, options=options).start()
    try:
        yield running
    finally:
        assert running.stop() == 0, running.log_tail()


@pytest.fixture(scope="module")
def client(hasty: Server) -> Any:
    return hasty.client()


def policy(source: str, destination: str) -> str:
    """What AWS's guide tells to put on the destination."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{destination}/*",
        "Condition": {
            "ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{source}"},
            "StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control"},
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def configure(s3: Any, source: str, destination: str, **changes: Any) -> None:
    place = {"Bucket": f"arn:aws:s3:::{destination}", "Format": changes.pop("Format", "CSV")}
    place |= changes.pop("Place", {})
    document = {
        "Id": "report",
        "IsEnabled": True,
        "IncludedObjectVersions": "Current",
        "Schedule": {"Frequency": "Daily"},
        "OptionalFields": ALL_FIELDS,
        "Destination": {"S3BucketDestination": place},
        **changes,
    }
    s3.put_bucket_inventory_configuration(Bucket=source, Id=document["Id"], InventoryConfiguration=document)


def make_pair(s3: Any, name: str, **source: Any) -> tuple[str, str]:
    destination = f"{name}-reports"
    s3.create_bucket(Bucket=name, **source)
    s3.create_bucket(Bucket=destination)
    s3.put_bucket_policy(Bucket=destination, Policy=policy(name, destination))
    return name, destination


def keys(s3: Any, bucket: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [one["Key"] for page in pages for one in page.get("Contents", [])]


def read(s3: Any, bucket: str, key: str) -> bytes:
    data: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    return data


def awaited_manifest(s3: Any, source: str, destination: str, prefix: str = "", id_: str = "report") -> Any:
    """The first manifest, its checksum verified."""
    deadline = time.monotonic() + WAIT_S
    pattern = rf"{prefix}{source}/{id_}/\d{{4}}-\d\d-\d\dT\d\d-\d\dZ/manifest.checksum"
    while not (found := [key for key in keys(s3, destination) if re.fullmatch(pattern, key)]):
        assert time.monotonic() < deadline, keys(s3, destination)
        time.sleep(0.2)
    manifest = read(s3, destination, found[0].replace("manifest.checksum", "manifest.json"))
    assert read(s3, destination, found[0]).decode() == hashlib.md5(manifest).hexdigest()
    return json.loads(manifest)


def csv_rows(s3: Any, destination: str, manifest: Any) -> list[Row]:
    """All rows, each file compared with what the manifest says of it."""
    columns = manifest["fileSchema"].split(", ")
    rows = []
    for file in manifest["files"]:
        data = read(s3, destination, file["key"])
        assert (len(data), hashlib.md5(data).hexdigest()) == (file["size"], file["MD5checksum"])
        text = gzip.decompress(data).decode()
        assert all(line.startswith('"') for line in text.splitlines())
        rows += [dict(zip(columns, row, strict=True)) for row in csv.reader(io.StringIO(text))]
    return rows


def test_a_report_of_current_objects(client):
    owner = client.list_buckets()["Owner"]["ID"]
    source, destination = make_pair(client, "current")
    names = ["plain", "a b/ü+%,\"'\n.txt", "z/last"]
    for name in names:
        client.put_object(Bucket=source, Key=name, Body=name.encode(), ChecksumAlgorithm="SHA256")
    upload = client.create_multipart_upload(Bucket=source, Key="parts")["UploadId"]
    part = {"Bucket": source, "Key": "parts", "UploadId": upload}
    etag = client.upload_part(**part, PartNumber=1, Body=b"x" * 10)["ETag"]
    client.complete_multipart_upload(**part, MultipartUpload={"Parts": [{"ETag": etag, "PartNumber": 1}]})
    rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "z/"}, "Expiration": {"Days": 3}}
    client.put_bucket_lifecycle_configuration(Bucket=source, LifecycleConfiguration={"Rules": [rule]})
    configure(client, source, destination)
    manifest = awaited_manifest(client, source, destination)
    assert manifest["sourceBucket"] == source
    assert manifest["destinationBucket"] == f"arn:aws:s3:::{destination}"
    assert (manifest["version"], manifest["fileFormat"]) == ("2016-11-30", "CSV")
    assert abs(int(manifest["creationTimestamp"]) / 1000 - time.time()) < 60
    assert manifest["fileSchema"] == ", ".join(["Bucket", "Key", *ALL_FIELDS])
    rows = csv_rows(client, destination, manifest)
    assert [unquote(row["Key"]) for row in rows] == sorted([*names, "parts"])
    by_key = {unquote(row["Key"]): row for row in rows}
    for name in names:
        row, head = by_key[name], client.head_object(Bucket=source, Key=name)
        assert row["Bucket"] == source and row["ETag"] == head["ETag"].strip('"')
        assert int(row["Size"]) == len(name.encode())
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["LastModifiedDate"])
        assert (row["StorageClass"], row["IsMultipartUploaded"]) == ("STANDARD", "false")
        assert (row["EncryptionStatus"], row["BucketKeyStatus"]) in (
            ("NOT-SSE", "DISABLED"),
            ("SSE-S3", "DISABLED"),
        )
        assert (row["ChecksumAlgorithm"], row["ObjectOwner"]) == ("SHA256", owner)
        assert row["ObjectLockMode"] == row["ReplicationStatus"] == row["IntelligentTieringAccessTier"] == ""
    assert by_key["parts"]["IsMultipartUploaded"] == "true"
    assert by_key["plain"]["LifecycleExpirationDate"] == ""
    due = datetime.now(UTC) + timedelta(days=4)
    assert by_key["z/last"]["LifecycleExpirationDate"] == f"{due:%Y-%m-%d}T00:00:00.000Z"
    acl = json.loads(base64.b64decode(by_key["plain"]["ObjectAccessControlList"]))
    assert acl == {
        "version": "2022-11-10",
        "status": "AVAILABLE",
        "grants": [{"canonicalId": owner, "type": "CanonicalUser", "permission": "FULL_CONTROL"}],
    }
    (file,) = manifest["files"]
    assert re.fullmatch(rf"{source}/report/data/[0-9a-f-]{{36}}\.csv\.gz", file["key"])
    hive = [key for key in keys(client, destination) if "/hive/" in key]
    assert re.fullmatch(rf"{source}/report/hive/dt=\d{{4}}-\d\d-\d\d-\d\d-\d\d/symlink.txt", hive[0])


def test_the_symlink_names_the_files_of_its_report(client):
    source, destination = make_pair(client, "linked")
    client.put_object(Bucket=source, Key="k", Body=b"x")
    configure(client, source, destination, OptionalFields=["Size"])
    awaited_manifest(client, source, destination)
    (hive, *_) = [key for key in keys(client, destination) if "/hive/" in key]
    found = re.fullmatch(rf"s3://{destination}/(\S+)\n", read(client, destination, hive).decode())
    assert found is not None and found[1] in keys(client, destination)


def test_a_report_of_all_versions_under_a_prefix(client):
    source, destination = make_pair(client, "versions", ObjectLockEnabledForBucket=True)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    first = client.put_object(Bucket=source, Key="in/a", Body=b"1")["VersionId"]
    second = client.put_object(
        Bucket=source,
        Key="in/a",
        Body=b"22",
        StorageClass="INTELLIGENT_TIERING",
        ObjectLockMode="GOVERNANCE",
        ObjectLockRetainUntilDate=until,
        ObjectLockLegalHoldStatus="ON",
        ChecksumAlgorithm="CRC32",
    )["VersionId"]
    client.put_object(Bucket=source, Key="in/b", Body=b"1")
    marker = client.delete_object(Bucket=source, Key="in/b")["VersionId"]
    client.put_object(Bucket=source, Key="out", Body=b"1")
    configure(
        client,
        source,
        destination,
        IncludedObjectVersions="All",
        Filter={"Prefix": "in/"},
        Place={"Prefix": "some/where/"},
    )
    manifest = awaited_manifest(client, source, destination, "some/where/")
    assert manifest["fileSchema"].startswith("Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size")
    rows = csv_rows(client, destination, manifest)
    assert [row["Key"] for row in rows] == ["in/a", "in/a", "in/b", "in/b"]
    newest, oldest, deleted, _ = rows
    assert (newest["VersionId"], newest["IsLatest"], newest["Size"]) == (second, "true", "2")
    assert (oldest["VersionId"], oldest["IsLatest"], oldest["IsDeleteMarker"]) == (first, "false", "false")
    assert (deleted["VersionId"], deleted["IsLatest"], deleted["IsDeleteMarker"]) == (marker, "true", "true")
    assert deleted["Size"] == deleted["ETag"] == deleted["StorageClass"] == ""
    assert (newest["ObjectLockMode"], newest["ObjectLockLegalHoldStatus"]) == ("GOVERNANCE", "On")
    assert newest["ObjectLockRetainUntilDate"] == until.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert newest["IntelligentTieringAccessTier"] == "FREQUENT"
    assert oldest["ObjectLockMode"] == oldest["ObjectLockLegalHoldStatus"] == ""


def test_a_report_in_parquet(client, tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="Parquet inventories are not tested: no duckdb")
    source, destination = make_pair(client, "columns")
    names = ["plain", "a b/ü+%,\"'\n.txt"]
    for name in names:
        client.put_object(Bucket=source, Key=name, Body=name.encode())
    configure(client, source, destination, Format="Parquet", IncludedObjectVersions="All")
    manifest = awaited_manifest(client, source, destination)
    assert manifest["fileFormat"] == "Parquet"
    assert manifest["fileSchema"].startswith(
        "message s3.inventory {  required binary bucket (UTF8);  required binary key (UTF8);"
        "  optional binary version_id (UTF8);  optional boolean is_latest;"
        "  optional boolean is_delete_marker;  optional int64 size;"
        "  optional int64 last_modified_date (TIMESTAMP_MILLIS);  optional binary e_tag (UTF8);"
    )
    (file,) = manifest["files"]
    assert file["key"].endswith(".parquet")
    data = read(client, destination, file["key"])
    assert (len(data), hashlib.md5(data).hexdigest()) == (file["size"], file["MD5checksum"])
    path = tmp_path / "report.parquet"
    path.write_bytes(data)
    with duckdb.connect() as database:
        rows = database.execute(
            f"SELECT bucket, key, size, is_latest, last_modified_date, object_lock_mode FROM '{path}'"
        ).fetchall()
        types = dict(database.execute(f"SELECT name, type FROM parquet_schema('{path}')").fetchall())
        converted = database.execute(
            f"SELECT converted_type FROM parquet_schema('{path}') WHERE name = 'last_modified_date'"
        ).fetchall()
    assert [row[1] for row in rows] == sorted(names)
    assert [row[2] for row in rows] == [len(name.encode()) for name in sorted(names)]
    assert all(row[0] == source and row[3] is True and row[5] is None for row in rows)
    assert all(abs((row[4].replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()) < 60 for row in rows)
    assert types["size"] == "INT64" and converted == [("TIMESTAMP_MILLIS",)]


def test_an_empty_bucket_and_the_next_day(client):
    source, destination = make_pair(client, "empty")
    client.put_bucket_versioning(Bucket=destination, VersioningConfiguration={"Status": "Enabled"})
    configure(client, source, destination)
    assert awaited_manifest(client, source, destination)["files"] == []
    client.put_object(Bucket=source, Key="k", Body=b"x")
    deadline = time.monotonic() + WAIT_S
    while not [key for key in keys(client, destination) if "/data/" in key]:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_encryption_of_reports(client):
    source, destination = make_pair(client, "sealed")
    client.put_object(Bucket=source, Key="k", Body=b"x")
    configure(client, source, destination, Place={"Encryption": {"SSES3": {}}})
    manifest = awaited_manifest(client, source, destination)
    for key in keys(client, destination):
        assert client.head_object(Bucket=destination, Key=key)["ServerSideEncryption"] == "AES256"
    assert len(csv_rows(client, destination, manifest)) == 1


def test_without_permission_nothing_is_written_and_with_it_soon(client, hasty):
    client.create_bucket(Bucket="unloved")
    client.create_bucket(Bucket="unloved-reports")
    configure(client, "unloved", "unloved-reports")
    time.sleep(DAY_S)
    client.put_bucket_policy(Bucket="unloved-reports", Policy=policy("another", "unloved-reports"))
    time.sleep(DAY_S)
    assert keys(client, "unloved-reports") == []
    assert "inventory report of bucket unloved cannot be written" in hasty.log_tail(1_000_000)
    client.put_bucket_policy(Bucket="unloved-reports", Policy=policy("unloved", "unloved-reports"))
    awaited_manifest(client, "unloved", "unloved-reports")


def test_disabled_ones_and_accounts_that_do_not_fit(client):
    source, destination = make_pair(client, "disabled")
    configure(client, source, destination, IsEnabled=False)
    configure(client, source, destination, Id="misfit", Place={"AccountId": "999999999999"})
    time.sleep(2 * DAY_S)
    assert keys(client, destination) == []


def refused_code(s3: Any, bucket: str, **changes: Any) -> str:
    with pytest.raises(ClientError) as caught:
        configure(s3, bucket, bucket, **changes)
    return str(caught.value.response["Error"]["Code"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Format": "ORC"}, "NotImplemented"),
        ({"Format": "JSON"}, "MalformedXML"),
        ({"IncludedObjectVersions": "Some"}, "MalformedXML"),
        ({"Schedule": {"Frequency": "Monthly"}}, "MalformedXML"),
        ({"OptionalFields": ["Size", "Size"]}, "MalformedXML"),
        ({"OptionalFields": ["Colour"]}, "MalformedXML"),
        ({"Place": {"Bucket": "no-arn"}}, "InvalidS3DestinationBucket"),
        ({"Place": {"Encryption": {"SSES3": {}, "SSEKMS": {"KeyId": "k"}}}}, "MalformedXML"),
        ({"Id": "a b"}, "InvalidConfigurationId"),
    ],
)
def test_documents_that_cannot_be(s3, bucket, changes, code):
    assert refused_code(s3, bucket, **changes) == code
