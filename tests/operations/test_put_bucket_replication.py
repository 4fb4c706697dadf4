"""PutBucketReplication, GetBucketReplication, DeleteBucketReplication. What is sent: test_replication."""

import itertools
from typing import Any

import pytest

from tests.operations.refusals import refused

ROLE = "arn:aws:iam::123456789012:role/replication"
_numbers = itertools.count(1)


@pytest.fixture
def source(s3: Any, bucket: str) -> str:
    enable(s3, bucket)
    return bucket


@pytest.fixture
def destination(s3: Any, bucket_name: str) -> str:
    name = f"{bucket_name}-to"
    s3.create_bucket(Bucket=name)
    enable(s3, name)
    return name


def enable(s3: Any, bucket: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def rule(destination: str, **given: Any) -> dict[str, Any]:
    """A rule of the latest form; None takes a part away."""
    made = {
        "ID": "mine",
        "Priority": 1,
        "Filter": {"Prefix": ""},
        "Status": "Enabled",
        "DeleteMarkerReplication": {"Status": "Disabled"},
        "Destination": {"Bucket": f"arn:aws:s3:::{destination}"},
        **given,
    }
    return {name: value for name, value in made.items() if value is not None}


def earlier(destination: str, **given: Any) -> dict[str, Any]:
    """A rule of the earlier form."""
    form = {"Priority": None, "Filter": None, "DeleteMarkerReplication": None, "Prefix": ""}
    return rule(destination, **{**form, **given})


def put(s3: Any, bucket: str, *rules: dict[str, Any], role: str = ROLE) -> Any:
    configuration = {"Role": role, "Rules": list(rules)}
    return s3.put_bucket_replication(Bucket=bucket, ReplicationConfiguration=configuration)


def put_refused(s3: Any, bucket: str, *rules: dict[str, Any], role: str = ROLE) -> tuple[int, str]:
    return refused(lambda: put(s3, bucket, *rules, role=role))


def got(s3: Any, bucket: str) -> Any:
    return s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]


def test_put_get_delete(s3, source, destination):
    assert refused(s3.get_bucket_replication, Bucket=source) == (404, "ReplicationConfigurationNotFoundError")
    rules = [
        rule(
            destination,
            ID="a",
            Filter={"And": {"Prefix": "x/", "Tags": [{"Key": "k", "Value": "v"}]}},
            SourceSelectionCriteria={"ReplicaModifications": {"Status": "Enabled"}},
            ExistingObjectReplication={"Status": "Disabled"},
        ),
        rule(destination, ID="b", Priority=2, Filter={"Tag": {"Key": "k", "Value": "v"}}),
        rule(
            destination,
            ID="c",
            Priority=0,
            Status="Disabled",
            DeleteMarkerReplication={"Status": "Enabled"},
            SourceSelectionCriteria={"SseKmsEncryptedObjects": {"Status": "Enabled"}},
            Destination={
                "Bucket": f"arn:aws:s3:::{destination}",
                "Account": "123456789012",
                "StorageClass": "STANDARD_IA",
                "AccessControlTranslation": {"Owner": "Destination"},
                "EncryptionConfiguration": {"ReplicaKmsKeyID": "arn:aws:kms:us-east-1:123456789012:key/k"},
                "ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}},
                "Metrics": {"Status": "Enabled", "EventThreshold": {"Minutes": 15}},
            },
        ),
    ]
    put(s3, source, *rules)
    assert got(s3, source) == {"Role": ROLE, "Rules": rules}
    s3.delete_bucket_replication(Bucket=source)
    s3.delete_bucket_replication(Bucket=source)
    assert refused(s3.get_bucket_replication, Bucket=source) == (404, "ReplicationConfigurationNotFoundError")


def test_the_earlier_form(s3, source, destination):
    rules = [earlier(destination, ID="a", Prefix="a/"), earlier(destination, ID="b", Prefix="b/")]
    put(s3, source, *rules)
    assert got(s3, source)["Rules"] == rules


def test_rules_without_an_id_get_one(s3, source, destination):
    put(s3, source, rule(destination, ID=None), rule(destination, ID=None, Priority=2))
    ids = {one["ID"] for one in got(s3, source)["Rules"]}
    assert len(ids) == 2 and all(ids)


def test_versioning_must_be_enabled_here_and_there(s3, source, destination, bucket_name):
    plain = f"{bucket_name}-plain"
    s3.create_bucket(Bucket=plain)
    assert put_refused(s3, plain, rule(destination)) == (400, "InvalidRequest")
    assert put_refused(s3, source, rule(plain)) == (400, "InvalidRequest")
    put(s3, source, rule(destination))
    suspended = {"Status": "Suspended"}
    suspend = s3.put_bucket_versioning
    assert refused(suspend, Bucket=source, VersioningConfiguration=suspended) == (409, "InvalidBucketState")
    s3.delete_bucket_replication(Bucket=source)
    suspend(Bucket=source, VersioningConfiguration=suspended)
    assert put_refused(s3, source, rule(destination)) == (400, "InvalidRequest")


def test_where_destinations_may_be(s3, other, source, destination, bucket_name):
    assert put_refused(s3, source, rule("no-such-bucket-anywhere")) == (400, "InvalidRequest")
    assert put_refused(s3, source, rule(source)) == (400, "InvalidRequest")
    theirs = f"{bucket_name}-theirs"
    other.create_bucket(Bucket=theirs)
    enable(other, theirs)
    assert put_refused(s3, source, rule(theirs)) == (403, "AccessDenied")
    assert put_refused(other, theirs, rule(destination)) == (403, "AccessDenied")
    nowhere = {"Bucket": "arn:aws:objstore:::nowhere/some-bucket"}
    assert put_refused(s3, source, rule(destination, Destination=nowhere)) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Status": "On"}, "MalformedXML"),
        ({"Filter": {"Prefix": "a", "Tag": {"Key": "k", "Value": "v"}}}, "MalformedXML"),
        ({"Filter": {"And": {"Prefix": "a"}}}, "MalformedXML"),
        ({"Prefix": "a"}, "MalformedXML"),
        ({"Filter": None}, "MalformedXML"),
        ({"Filter": {"Prefix": "x" * 1025}}, "InvalidArgument"),
        ({"Filter": {"Tag": {"Key": "a<", "Value": "v"}}}, "InvalidTag"),
        ({"Priority": None}, "InvalidRequest"),
        ({"Priority": -1}, "InvalidArgument"),
        ({"DeleteMarkerReplication": None}, "InvalidRequest"),
        ({"DeleteMarkerReplication": {}}, "MalformedXML"),
        ({"DeleteMarkerReplication": {"Status": "Maybe"}}, "MalformedXML"),
        (
            {
                "DeleteMarkerReplication": {"Status": "Enabled"},
                "Filter": {"Tag": {"Key": "k", "Value": "v"}},
            },
            "InvalidRequest",
        ),
        ({"ID": "x" * 256}, "InvalidArgument"),
        ({"SourceSelectionCriteria": {"ReplicaModifications": {"Status": "x"}}}, "MalformedXML"),
        ({"SourceSelectionCriteria": {"SseKmsEncryptedObjects": {"Status": "Enabled"}}}, "InvalidRequest"),
        ({"ExistingObjectReplication": {"Status": "x"}}, "MalformedXML"),
    ],
)
def test_rules_that_cannot_be(s3, source, destination, change, code):
    assert put_refused(s3, source, rule(destination, **change)) == (400, code)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Bucket": "some-bucket"}, "InvalidArgument"),
        ({"Bucket": "arn:aws:s3:::"}, "InvalidArgument"),
        ({"Bucket": "arn:aws:s3:::some-bucket/key"}, "InvalidArgument"),
        ({"Bucket": "arn:aws:objstore:::some-bucket"}, "InvalidArgument"),
        ({"StorageClass": "COLD"}, "MalformedXML"),
        ({"Account": "12"}, "InvalidArgument"),
        ({"AccessControlTranslation": {"Owner": "Destination"}}, "InvalidRequest"),
        ({"AccessControlTranslation": {"Owner": "Me"}, "Account": "123456789012"}, "MalformedXML"),
        ({"EncryptionConfiguration": {"ReplicaKmsKeyID": "k"}}, "InvalidRequest"),
        ({"Metrics": {"Status": "Enabled", "EventThreshold": {"Minutes": 14}}}, "InvalidArgument"),
        ({"ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 15}}}, "InvalidRequest"),
        ({"ReplicationTime": {"Status": "Enabled", "Time": {"Minutes": 0}}}, "InvalidArgument"),
    ],
)
def test_destinations_that_cannot_be(s3, source, destination, change, code):
    wanted = {"Bucket": f"arn:aws:s3:::{destination}", **change}
    assert put_refused(s3, source, rule(destination, Destination=wanted)) == (400, code)


def test_rules_must_fit_together(s3, source, destination):
    one = rule(destination)
    assert put_refused(s3, source) == (400, "MalformedXML")
    assert put_refused(s3, source, one, rule(destination, Priority=2)) == (400, "InvalidArgument")
    assert put_refused(s3, source, one, rule(destination, ID="b")) == (400, "InvalidRequest")
    assert put_refused(s3, source, one, earlier(destination, ID="b")) == (400, "InvalidRequest")
    many = [rule(destination, ID=str(number), Priority=number) for number in range(1001)]
    assert put_refused(s3, source, *many) == (400, "InvalidRequest")
    put(s3, source, *many[:1000])
    assert put_refused(s3, source, one, role="me") == (400, "InvalidArgument")


@pytest.mark.parametrize(
    "change",
    [
        {"Priority": 1},
        {"DeleteMarkerReplication": {"Status": "Enabled"}},
        {"ExistingObjectReplication": {"Status": "Enabled"}},
        {"SourceSelectionCriteria": {"ReplicaModifications": {"Status": "Enabled"}}},
    ],
)
def test_what_the_earlier_form_has_not(s3, source, destination, change):
    assert put_refused(s3, source, earlier(destination, **change)) == (400, "InvalidRequest")


def test_prefixes_of_the_earlier_form_may_not_overlap(s3, source, destination):
    rules = [earlier(destination, ID=prefix, Prefix=prefix) for prefix in ("a/", "b", "a/b/")]
    assert put_refused(s3, source, *rules) == (400, "InvalidRequest")
    put(s3, source, *rules[:2])


def test_other_people_may_not(other, anonymous, source, destination):
    for client in (other, anonymous):
        assert put_refused(client, source, rule(destination)) == (403, "AccessDenied")
        for call in (client.get_bucket_replication, client.delete_bucket_replication):
            assert refused(call, Bucket=source) == (403, "AccessDenied")
