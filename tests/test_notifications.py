"""Events end to end: what is done through boto3 arrives at a webhook, shaped as S3 shapes it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import urllib3

from tests.operations.refusals import refused
from tests.support.receiver import Receiver
from tests.support.server import Server

ARN = "arn:aws:sqs:us-east-1:000000000000:hook"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    """A server with one target, on which a day of lifecycle rules is a second."""
    options = ("--lifecycle-debug-day-s", "1")
    environment = {"OBJSTORE_TARGETS": f"hook={receiver.url}"}
    running = Server(tmp_path_factory.mktemp("told"), options=options, environment=environment).start()
    try:
        yield running
    finally:
        assert running.stop() == 0, running.log_tail()


@pytest.fixture(scope="module")
def client(told: Server) -> Any:
    return told.client()


@pytest.fixture
def mine(client: Any, bucket_name: str) -> str:
    client.create_bucket(Bucket=bucket_name)
    return bucket_name


def subscribe(client: Any, bucket: str, *events: str, arn: str = ARN, **filters: str) -> None:
    queue: dict[str, Any] = {"Id": "mine", "QueueArn": arn, "Events": list(events)}
    if filters:
        rules = [{"Name": name, "Value": value} for name, value in filters.items()]
        queue["Filter"] = {"Key": {"FilterRules": rules}}
    client.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]}
    )


def names(records: list[dict[str, Any]]) -> list[str]:
    return [record["eventName"] for record in records]


def test_a_record_is_what_s3_sends(client, mine, receiver):
    subscribe(client, mine, "s3:ObjectCreated:*")
    answer = client.put_object(Bucket=mine, Key="red flower/ü+.jpg", Body=b"12345")
    (record,) = receiver.wait_for(1, mine)
    sequencer = record["s3"]["object"].pop("sequencer")
    assert re.fullmatch("[0-9A-F]{16}", sequencer)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("eventTime"))
    owner = client.list_buckets()["Owner"]["ID"]
    elements = record.pop("responseElements")
    assert elements["x-amz-request-id"] == answer["ResponseMetadata"]["RequestId"]
    assert elements["x-amz-id-2"] == answer["ResponseMetadata"]["HostId"]
    assert record == {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": owner},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "mine",
            "bucket": {
                "name": mine,
                "ownerIdentity": {"principalId": owner},
                "arn": f"arn:aws:s3:::{mine}",
            },
            "object": {
                "key": "red+flower/%C3%BC%2B.jpg",
                "size": 5,
                "eTag": answer["ETag"].strip('"'),
            },
        },
    }
    assert receiver.headers[-1]["content-type"] == "application/json"


def test_an_arn_as_minios_tools_write_it(client, mine, receiver):
    for wrong in ("arn:minio:sqs::hook:redis", "arn:minio:sqs::nobody:webhook"):
        call = partial(subscribe, client, mine, "s3:ObjectCreated:*")
        assert refused(call, arn=wrong) == (400, "InvalidArgument")
    subscribe(client, mine, "s3:ObjectCreated:*", arn="arn:minio:sqs::hook:webhook")
    client.put_object(Bucket=mine, Key="a", Body=b"")
    assert names(receiver.wait_for(1, mine)) == ["ObjectCreated:Put"]


def test_a_test_event_is_sent_when_a_configuration_is_put(client, mine, receiver):
    subscribe(client, mine, "s3:ObjectRemoved:*")
    client.put_object(Bucket=mine, Key="a", Body=b"")
    client.delete_object(Bucket=mine, Key="a")
    receiver.wait_for(1, mine)
    (test,) = [each for each in receiver.documents if each.get("Bucket") == mine]
    assert (test["Service"], test["Event"]) == ("Amazon S3", "s3:TestEvent")
    assert test["RequestId"] and test["HostId"] and test["Time"].endswith("Z")


def test_every_way_an_object_is_made_and_removed(client, mine, receiver):
    subscribe(client, mine, "s3:ObjectCreated:*", "s3:ObjectRemoved:*")
    client.put_object(Bucket=mine, Key="a", Body=b"x")
    client.copy_object(Bucket=mine, Key="a", CopySource=f"{mine}/a", MetadataDirective="REPLACE")
    upload = client.create_multipart_upload(Bucket=mine, Key="a")
    named = {"Bucket": mine, "Key": "a", "UploadId": upload["UploadId"]}
    part = client.upload_part(**named, PartNumber=1, Body=b"x")
    client.complete_multipart_upload(
        **named, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    client.delete_object(Bucket=mine, Key="a")
    client.delete_object(Bucket=mine, Key="a")  # nothing was there: nobody is told
    records = receiver.wait_for(4, mine)
    assert names(records) == [
        "ObjectCreated:Put",
        "ObjectCreated:Copy",
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectRemoved:Delete",
    ]
    sequencers = [record["s3"]["object"]["sequencer"] for record in records]
    assert sequencers == sorted(set(sequencers))


def test_versions_and_delete_markers(client, mine, receiver):
    client.put_bucket_versioning(Bucket=mine, VersioningConfiguration={"Status": "Enabled"})
    subscribe(client, mine, "s3:ObjectCreated:*", "s3:ObjectRemoved:*")
    version_id = client.put_object(Bucket=mine, Key="a", Body=b"x")["VersionId"]
    marker_id = client.delete_object(Bucket=mine, Key="a")["VersionId"]
    client.delete_object(Bucket=mine, Key="a", VersionId=version_id)
    client.delete_objects(Bucket=mine, Delete={"Objects": [{"Key": "a", "VersionId": marker_id}]})
    records = receiver.wait_for(4, mine)
    assert [(each["eventName"], each["s3"]["object"]["versionId"]) for each in records] == [
        ("ObjectCreated:Put", version_id),
        ("ObjectRemoved:DeleteMarkerCreated", marker_id),
        ("ObjectRemoved:Delete", version_id),
        ("ObjectRemoved:Delete", marker_id),
    ]
    marked, deleted = records[1]["s3"]["object"], records[2]["s3"]["object"]
    assert set(marked) == {"key", "eTag", "versionId", "sequencer"}
    assert marked["eTag"] == "d41d8cd98f00b204e9800998ecf8427e"  # S3 says so
    assert set(deleted) == {"key", "versionId", "sequencer"}


def test_filters_and_event_names(client, mine, receiver):
    subscribe(client, mine, "s3:ObjectCreated:Put", "s3:ObjectTagging:*", Prefix="in/", Suffix=".jpg")
    for key in ("in/a.jpg", "in/a.png", "out/a.jpg", "in/.jpg"):
        client.put_object(Bucket=mine, Key=key, Body=b"")
    client.copy_object(Bucket=mine, Key="in/copy.jpg", CopySource=f"{mine}/in/a.jpg")
    client.put_object_tagging(Bucket=mine, Key="in/a.jpg", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    client.delete_object_tagging(Bucket=mine, Key="in/a.jpg")
    records = receiver.wait_for(4, mine)
    assert sorted((each["eventName"], each["s3"]["object"]["key"]) for each in records) == [
        ("ObjectCreated:Put", "in/.jpg"),
        ("ObjectCreated:Put", "in/a.jpg"),
        ("ObjectTagging:Delete", "in/a.jpg"),
        ("ObjectTagging:Put", "in/a.jpg"),
    ]
    for each in records:
        of_tags = each["eventName"].startswith("ObjectTagging")
        assert set(each["s3"]["object"]) == {"key", "eTag"} | (set() if of_tags else {"size", "sequencer"})
        assert each["eventVersion"] == ("2.3" if of_tags else "2.1")


def test_acls_retention_and_forms(client, mine, receiver):
    bucket = f"{mine}-locked"
    client.create_bucket(
        Bucket=bucket, ObjectLockEnabledForBucket=True, ObjectOwnership="BucketOwnerPreferred"
    )
    subscribe(client, bucket, "s3:ObjectAcl:Put", "s3:ObjectRetention:Put", "s3:ObjectCreated:Post")
    form = client.generate_presigned_post(bucket, "a")
    fields = {**form["fields"], "file": ("file", b"x")}
    assert urllib3.request("POST", form["url"], fields=fields, timeout=10).status == 204
    client.put_object_acl(Bucket=bucket, Key="a", ACL="private")  # as it was: nobody is told
    client.put_object_acl(
        Bucket=bucket, Key="a", GrantRead='uri="http://acs.amazonaws.com/groups/s3/LogDelivery"'
    )
    until = datetime.now(UTC) + timedelta(hours=1)
    client.put_object_retention(
        Bucket=bucket, Key="a", Retention={"Mode": "GOVERNANCE", "RetainUntilDate": until}
    )
    records = receiver.wait_for(3, bucket)
    assert names(records) == ["ObjectCreated:Post", "ObjectAcl:Put", "ObjectRetention:Put"]
    assert len({record["s3"]["object"]["versionId"] for record in records}) == 1


def test_renames_and_annotations(client, mine, receiver):
    subscribe(client, mine, "s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectAnnotation:*")
    client.put_object(Bucket=mine, Key="old", Body=b"x")
    named = {"Bucket": mine, "Key": "old", "AnnotationName": "note"}
    client.put_object_annotation(**named, AnnotationPayload=b"text")
    client.delete_object_annotation(**named)
    client.delete_object_annotation(**named)
    client.rename_object(Bucket=mine, Key="new", RenameSource="old")
    records = receiver.wait_for(5, mine)
    told = sorted((record["eventName"], record["s3"]["object"]["key"]) for record in records)
    assert told == [
        ("ObjectAnnotation:Delete", "old"),
        ("ObjectAnnotation:Put", "old"),
        ("ObjectCreated:Copy", "new"),
        ("ObjectCreated:Put", "old"),
        ("ObjectRemoved:Delete", "old"),
    ]


def test_nobody_is_told_of_what_was_refused_or_after_the_configuration_is_gone(client, mine, receiver):
    subscribe(client, mine, "s3:ObjectCreated:*")
    client.put_object(Bucket=mine, Key="a", Body=b"x")
    assert refused(client.put_object, Bucket=mine, Key="a", Body=b"y", IfNoneMatch="*")[0] == 412
    client.put_bucket_notification_configuration(Bucket=mine, NotificationConfiguration={})
    client.put_object(Bucket=mine, Key="b", Body=b"x")
    assert [each["s3"]["object"]["key"] for each in receiver.wait_for(1, mine)] == ["a"]


def test_what_lifecycle_rules_delete_is_told(client, mine, receiver):
    subscribe(client, mine, "s3:LifecycleExpiration:*")
    client.put_object(Bucket=mine, Key="a", Body=b"x")
    rule = {"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}
    client.put_bucket_lifecycle_configuration(Bucket=mine, LifecycleConfiguration={"Rules": [rule]})
    (record,) = receiver.wait_for(1, mine)
    assert record["eventName"] == "LifecycleExpiration:Delete"
    assert record["userIdentity"]["principalId"] == "s3.amazonaws.com"
    assert record["requestParameters"] == {"sourceIPAddress": "s3.amazonaws.com"}
    assert all(record["responseElements"].values()) and record["eventVersion"] == "2.3"


def test_while_a_target_is_down_events_wait_and_then_come_in_order(told, client, mine, receiver):
    subscribe(client, mine, "s3:ObjectCreated:*", "s3:ObjectRemoved:*")
    receiver.status = lambda document: 503
    try:
        for number in range(5):
            client.put_object(Bucket=mine, Key="a", Body=b"x" * number)
            client.put_object(Bucket=mine, Key="b", Body=b"x" * number)
        told.kill()
        told.start()
    finally:
        receiver.status = lambda document: 200
    records = receiver.wait_for(10, mine, within_s=30)
    for key in ("a", "b"):
        mine_of_key = [each["s3"]["object"] for each in records if each["s3"]["object"]["key"] == key]
        assert [each["size"] for each in mine_of_key] == [0, 1, 2, 3, 4]
