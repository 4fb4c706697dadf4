"""PutBucketLifecycleConfiguration, GetBucketLifecycleConfiguration, DeleteBucketLifecycle."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.operations.refusals import refused
from tests.operations.requests import send

MIDNIGHT = datetime(2035, 1, 1, tzinfo=UTC)


def rule(**given: Any) -> dict[str, Any]:
    made = {
        "ID": "tidy",
        "Status": "Enabled",
        "Filter": {"Prefix": "logs/"},
        "Expiration": {"Days": 7},
        **given,
    }
    return {name: value for name, value in made.items() if value is not None}


def put(s3: Any, bucket: str, *rules: dict[str, Any], **given: Any) -> Any:
    return s3.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)}, **given
    )


def put_refused(s3: Any, bucket: str, *rules: dict[str, Any]) -> tuple[int, str]:
    return refused(
        s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration={"Rules": list(rules)}
    )


def got(s3: Any, bucket: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    return rules


def test_put_get_delete(s3, bucket):
    absent = (404, "NoSuchLifecycleConfiguration")
    assert refused(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == absent
    rules = [
        rule(),
        rule(ID="off", Status="Disabled", Filter={"Tag": {"Key": "k", "Value": "ü"}}),
        rule(
            ID="all",
            Filter={
                "And": {
                    "Prefix": "a/",
                    "Tags": [{"Key": "x", "Value": "1"}, {"Key": "y", "Value": ""}],
                    "ObjectSizeGreaterThan": 10,
                    "ObjectSizeLessThan": 100,
                }
            },
            Expiration={"Date": MIDNIGHT},
            NoncurrentVersionExpiration={"NoncurrentDays": 3, "NewerNoncurrentVersions": 5},
        ),
        rule(ID="size", Filter={"ObjectSizeGreaterThan": 0}),
        rule(ID="marker", Filter={"Prefix": ""}, Expiration={"ExpiredObjectDeleteMarker": True}),
        rule(ID="abort", Expiration=None, AbortIncompleteMultipartUpload={"DaysAfterInitiation": 1}),
        rule(
            ID="move",
            Expiration={"Days": 100},
            Transitions=[
                {"Days": 30, "StorageClass": "STANDARD_IA"},
                {"Days": 60, "StorageClass": "GLACIER"},
            ],
            NoncurrentVersionTransitions=[{"NoncurrentDays": 30, "StorageClass": "GLACIER"}],
        ),
    ]
    put(s3, bucket, *rules)
    assert got(s3, bucket) == rules
    put(s3, bucket, rules[0])
    assert got(s3, bucket) == [rules[0]]
    for _ in range(2):
        answer = s3.delete_bucket_lifecycle(Bucket=bucket)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == absent


def test_the_older_form_of_the_request(s3, bucket):
    old = {"ID": "old", "Prefix": "p/", "Status": "Enabled", "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle(Bucket=bucket, LifecycleConfiguration={"Rules": [old]})
    assert s3.get_bucket_lifecycle(Bucket=bucket)["Rules"] == [old]
    assert got(s3, bucket) == [old]


def test_rules_without_an_id_get_one(s3, bucket):
    put(s3, bucket, rule(ID=None), rule(ID=None, Filter={"Prefix": "b"}))
    ids = [one["ID"] for one in got(s3, bucket)]
    assert len(set(ids)) == 2 and all(ids)


def test_the_minimum_size_of_transitions(s3, bucket):
    name = "TransitionDefaultMinimumObjectSize"
    assert put(s3, bucket, rule())[name] == "all_storage_classes_128K"
    assert put(s3, bucket, rule(), **{name: "varies_by_storage_class"})[name] == "varies_by_storage_class"
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)[name] == "varies_by_storage_class"
    call = s3.put_bucket_lifecycle_configuration
    document = {"Rules": [rule()]}
    given = {"Bucket": bucket, "LifecycleConfiguration": document, name: "junk"}
    assert refused(call, **given) == (400, "InvalidRequest")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"ID": "x" * 256}, "InvalidArgument"),
        ({"Status": "enabled"}, "MalformedXML"),
        ({"Status": "junk"}, "MalformedXML"),
        ({"Filter": None}, "MalformedXML"),
        ({"Prefix": "p"}, "MalformedXML"),
        ({"Filter": {"Prefix": "p", "ObjectSizeGreaterThan": 1}}, "MalformedXML"),
        ({"Filter": {"And": {}}}, "MalformedXML"),
        ({"Filter": {"Prefix": "p" * 1025}}, "InvalidRequest"),
        ({"Filter": {"Tag": {"Key": "k" * 129, "Value": "v"}}}, "InvalidTag"),
        ({"Filter": {"And": {"Tags": [{"Key": "k", "Value": v} for v in "12"]}}}, "InvalidRequest"),
        ({"Filter": {"ObjectSizeGreaterThan": -1}}, "InvalidRequest"),
        ({"Filter": {"And": {"ObjectSizeGreaterThan": 9, "ObjectSizeLessThan": 9}}}, "InvalidRequest"),
        ({"Expiration": None}, "InvalidRequest"),
        ({"Expiration": {}}, "MalformedXML"),
        ({"Expiration": {"Days": 0}}, "InvalidArgument"),
        ({"Expiration": {"Days": -1}}, "InvalidArgument"),
        ({"Expiration": {"Days": 2**31}}, "MalformedXML"),
        ({"Transitions": [{"Days": 2**31, "StorageClass": "GLACIER"}]}, "MalformedXML"),
        ({"Expiration": {"Days": 1, "Date": MIDNIGHT}}, "MalformedXML"),
        ({"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}, "MalformedXML"),
        ({"Expiration": {"Date": datetime(2035, 1, 1, 10, tzinfo=UTC)}}, "InvalidArgument"),
        (
            {"Expiration": {"ExpiredObjectDeleteMarker": True}, "Filter": {"Tag": {"Key": "k", "Value": ""}}},
            "InvalidRequest",
        ),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 0}}, "InvalidArgument"),
        ({"NoncurrentVersionExpiration": {"NewerNoncurrentVersions": 1}}, "MalformedXML"),
        (
            {"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 0}},
            "InvalidArgument",
        ),
        (
            {"NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 101}},
            "InvalidArgument",
        ),
        ({"AbortIncompleteMultipartUpload": {}}, "MalformedXML"),
        ({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 0}}, "InvalidArgument"),
        (
            {
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                "Filter": {"Tag": {"Key": "k", "Value": ""}},
            },
            "InvalidRequest",
        ),
        (
            {
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                "Filter": {"ObjectSizeLessThan": 5},
            },
            "InvalidRequest",
        ),
        ({"Transitions": [{"Days": 7}]}, "MalformedXML"),
        ({"Transitions": [{"Days": 5, "StorageClass": "STANDARD"}]}, "MalformedXML"),
        ({"Transitions": [{"StorageClass": "GLACIER"}]}, "MalformedXML"),
        ({"Transitions": [{"Days": 3, "StorageClass": "STANDARD_IA"}]}, "InvalidArgument"),
        ({"Transitions": [{"Days": 7, "StorageClass": "GLACIER"}]}, "InvalidArgument"),
        ({"Transitions": [{"Days": -1, "StorageClass": "GLACIER"}]}, "InvalidArgument"),
        ({"Transitions": [{"Date": MIDNIGHT, "StorageClass": "GLACIER"}]}, "InvalidRequest"),
        ({"Transitions": [{"Days": d, "StorageClass": "GLACIER"} for d in (1, 2)]}, "InvalidRequest"),
        (
            {
                "NoncurrentVersionExpiration": {"NoncurrentDays": 9},
                "NoncurrentVersionTransitions": [{"NoncurrentDays": 9, "StorageClass": "GLACIER"}],
            },
            "InvalidArgument",
        ),
        (
            {
                "Filter": None,
                "Prefix": "p",
                "NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 1},
            },
            "InvalidRequest",
        ),
    ],
)
def test_rules_that_cannot_be(s3, bucket, given, code):
    assert put_refused(s3, bucket, rule(**given)) == (400, code)
    assert refused(s3.get_bucket_lifecycle_configuration, Bucket=bucket)[0] == 404


def test_numbers_of_rules_and_ids(s3, bucket):
    assert put_refused(s3, bucket) == (400, "MalformedXML")
    assert put_refused(s3, bucket, rule(), rule()) == (400, "InvalidArgument")
    many = [rule(ID=f"r{number}") for number in range(1001)]
    assert put_refused(s3, bucket, *many) == (400, "MalformedXML")
    put(s3, bucket, *many[:1000])
    assert len(got(s3, bucket)) == 1000


def test_rules_of_the_older_form_and_of_todays_do_not_go_together(s3, bucket):
    old = rule(ID="old", Filter=None, Prefix="p")
    assert put_refused(s3, bucket, rule(), old) == (400, "InvalidRequest")
    put(s3, bucket, old, rule(ID="old too", Filter=None, Prefix=""))


@pytest.mark.parametrize(
    "rule_text",
    [
        "<Expiration><Date>20200101</Date></Expiration>",
        "<Expiration><Days>1.5</Days></Expiration>",
        "<Expiration><Days>1</Days></Expiration><Colour>red</Colour>",
    ],
)
def test_documents_that_are_no_rules(s3, bucket, rule_text):
    body = (
        "<LifecycleConfiguration><Rule><ID>r</ID><Filter/><Status>Enabled</Status>"
        f"{rule_text}</Rule></LifecycleConfiguration>"
    ).encode()
    answer = send(s3, "PUT", bucket, query={"lifecycle": ""}, body=body)
    assert answer.status == 400 and answer.code in ("MalformedXML", "InvalidArgument")


def test_the_minimum_size_is_no_element_that_a_client_may_send(s3, bucket):
    body = (
        b"<LifecycleConfiguration><Rule><ID>r</ID><Filter/><Status>Enabled</Status><Expiration><Days>1</Days>"
        b"</Expiration></Rule><TransitionDefaultMinimumObjectSize>x</TransitionDefaultMinimumObjectSize>"
        b"</LifecycleConfiguration>"
    )
    assert send(s3, "PUT", bucket, query={"lifecycle": ""}, body=body).code == "MalformedXML"


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_lifecycle_configuration, Bucket=bucket) == (403, "AccessDenied")
        assert refused(client.delete_bucket_lifecycle, Bucket=bucket) == (403, "AccessDenied")
        assert put_refused(client, bucket, rule()) == (403, "AccessDenied")


def test_a_bucket_that_is_not_there(s3, bucket_name):
    assert put_refused(s3, bucket_name, rule()) == (404, "NoSuchBucket")


def test_what_only_a_device_lets_go_has_no_rules(s3, bucket, devices):
    enabled = {"Status": "Enabled", "MFADelete": "Enabled"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled, MFA=devices.proof())
    rule = {"ID": "r", "Status": "Disabled", "Filter": {}, "Expiration": {"Days": 1}}
    given = {"Bucket": bucket, "LifecycleConfiguration": {"Rules": [rule]}}
    assert refused(s3.put_bucket_lifecycle_configuration, **given) == (409, "InvalidBucketState")
    s3.delete_bucket_lifecycle(Bucket=bucket)
