"""DeleteObjects."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from tests.operations.listings import AWKWARD_KEYS, fill
from tests.operations.refusals import refused
from tests.operations.requests import send


@pytest.fixture
def versioned(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    return bucket_name


def delete(s3, bucket, *objects, quiet=False, **arguments):
    return s3.delete_objects(Bucket=bucket, Delete={"Objects": list(objects), "Quiet": quiet}, **arguments)


def keys_in(s3, bucket):
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def test_keys_of_every_kind_are_deleted_and_told_in_order(s3, bucket):
    keys = fill(s3, bucket, [key for key in AWKWARD_KEYS if "\r" not in key])
    answer = delete(s3, bucket, *({"Key": key} for key in keys))
    assert [entry["Key"] for entry in answer["Deleted"]] == keys
    assert "Errors" not in answer
    assert keys_in(s3, bucket) == []


def test_keys_that_are_not_there_are_deleted_too(s3, bucket):
    assert [entry["Key"] for entry in delete(s3, bucket, {"Key": "a"}, {"Key": "b"})["Deleted"]] == ["a", "b"]


def test_quiet_tells_errors_only(s3, bucket):
    fill(s3, bucket, ["a", "b"])
    answer = delete(s3, bucket, {"Key": "a"}, {"Key": "b", "ETag": "other"}, quiet=True)
    assert "Deleted" not in answer
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [("b", "PreconditionFailed")]
    assert keys_in(s3, bucket) == ["b"]


def test_a_thousand_keys_and_not_one_more(s3, bucket):
    fill(s3, bucket, ["k0", "k999"])
    objects = [{"Key": f"k{number}"} for number in range(1000)]
    assert len(delete(s3, bucket, *objects)["Deleted"]) == 1000
    assert keys_in(s3, bucket) == []
    fill(s3, bucket, ["k0"])
    for wrong in ([*objects, {"Key": "one more"}], []):
        assert refused(s3.delete_objects, Bucket=bucket, Delete={"Objects": wrong}) == (400, "MalformedXML")
    assert keys_in(s3, bucket) == ["k0"]


def test_versions_and_markers(s3, versioned):
    first = s3.put_object(Bucket=versioned, Key="key", Body=b"1")["VersionId"]
    (marker,) = delete(s3, versioned, {"Key": "key"})["Deleted"]
    assert marker["DeleteMarker"] is True
    assert "VersionId" not in marker
    answer = delete(
        s3,
        versioned,
        {"Key": "key", "VersionId": marker["DeleteMarkerVersionId"]},
        {"Key": "key", "VersionId": first},
        {"Key": "key", "VersionId": "junk"},
    )
    assert answer["Deleted"] == [
        {
            "Key": "key",
            "VersionId": marker["DeleteMarkerVersionId"],
            "DeleteMarker": True,
            "DeleteMarkerVersionId": marker["DeleteMarkerVersionId"],
        },
        {"Key": "key", "VersionId": first},
    ]
    assert [(e["VersionId"], e["Code"]) for e in answer["Errors"]] == [("junk", "NoSuchVersion")]
    assert "Versions" not in s3.list_object_versions(Bucket=versioned)


def test_conditions_of_each_key(s3, bucket):
    keys = ["etag", "wrong etag", "size", "wrong size", "time", "wrong time", "any"]
    fill(s3, bucket, keys)
    modified = s3.head_object(Bucket=bucket, Key="time")["LastModified"]
    answer = delete(
        s3,
        bucket,
        {"Key": "etag", "ETag": f'"{hashlib.md5(b"etag").hexdigest()}"'},
        {"Key": "wrong etag", "ETag": hashlib.md5(b"etag").hexdigest()},
        {"Key": "size", "Size": 4},
        {"Key": "wrong size", "Size": 4},
        {"Key": "time", "LastModifiedTime": modified},
        {"Key": "wrong time", "LastModifiedTime": datetime.now(UTC) - timedelta(days=2)},
        {"Key": "any", "ETag": "*"},
    )
    assert [e["Key"] for e in answer["Deleted"]] == ["etag", "size", "time", "any"]
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [
        (key, "PreconditionFailed") for key in keys if key.startswith("wrong")
    ]


def test_a_key_too_long_is_an_error_of_its_own(s3, bucket):
    fill(s3, bucket, ["a"])
    answer = delete(s3, bucket, {"Key": "x" * 1025}, {"Key": "a"})
    assert [e["Code"] for e in answer["Errors"]] == ["KeyTooLongError"]
    assert keys_in(s3, bucket) == []


def test_the_same_key_twice(s3, bucket):
    fill(s3, bucket, ["a"])
    assert len(delete(s3, bucket, {"Key": "a"}, {"Key": "a"})["Deleted"]) == 2


def test_every_key_is_authorised(s3, other, anonymous, bucket):
    fill(s3, bucket, ["a"])
    answer = delete(other, bucket, {"Key": "a"}, {"Key": "not there"})
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [
        ("a", "AccessDenied"),
        ("not there", "AccessDenied"),
    ]
    assert "Deleted" not in answer
    assert keys_in(s3, bucket) == ["a"]
    try:
        answer = delete(anonymous, bucket, {"Key": "a"})
    except anonymous.exceptions.ClientError as exc:
        assert exc.response["Error"]["Code"] == "AccessDenied"
    else:
        assert [e["Code"] for e in answer["Errors"]] == ["AccessDenied"]
    assert keys_in(s3, bucket) == ["a"]


def test_locked_versions_stay_without_leave_to_bypass(s3, versioned):
    until = datetime.now(UTC) + timedelta(days=1)
    lock = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    version = s3.put_object(Bucket=versioned, Key="key", Body=b"x", **lock)["VersionId"]
    wanted = {"Key": "key", "VersionId": version}
    assert [e["Code"] for e in delete(s3, versioned, wanted)["Errors"]] == ["AccessDenied"]
    assert len(delete(s3, versioned, wanted, BypassGovernanceRetention=True)["Deleted"]) == 1


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME"])
def test_any_checksum_of_the_document_will_do(s3, bucket, algorithm):
    fill(s3, bucket, ["a"])
    delete(s3, bucket, {"Key": "a"}, ChecksumAlgorithm=algorithm)
    assert keys_in(s3, bucket) == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Content-MD5": "right"}, 200),
        ({"Content-MD5": base64.b64encode(b"\0" * 16).decode()}, 400),
        ({"Content-MD5": "junk"}, 400),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, 400),
        ({"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": "right"}, 400),
    ],
)
def test_a_document_that_is_not_what_its_headers_say_deletes_nothing(s3, bucket, headers, status):
    fill(s3, bucket, ["a"])

    def replace(params, **_):
        given = params["headers"]
        for name in [
            n for n in given if n.lower().startswith(("x-amz-checksum", "content-md5", "x-amz-sdk"))
        ]:
            del given[name]
        md5 = base64.b64encode(hashlib.md5(params["body"]).digest()).decode()
        given.update({name: value.replace("right", md5) for name, value in headers.items()})

    s3.meta.events.register("before-call.s3.DeleteObjects", replace)
    try:
        if status == 200:
            delete(s3, bucket, {"Key": "a"})
        else:
            assert refused(s3.delete_objects, Bucket=bucket, Delete={"Objects": [{"Key": "a"}]})[0] == status
    finally:
        s3.meta.events.unregister("before-call.s3.DeleteObjects", replace)
    assert keys_in(s3, bucket) == ([] if status == 200 else ["a"])


def test_keys_with_control_characters_are_named_by_character_references(s3, bucket):
    keys = ["a\x0cb", "\x01", "kept"]
    fill(s3, bucket, keys)
    body = b"<Delete><Object><Key>a&#x0C;b</Key></Object><Object><Key>&#1;</Key></Object></Delete>"
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    answer = send(s3, "POST", bucket, query={"delete": ""}, headers={"content-md5": md5}, body=body)
    assert answer.status == 200 and b"<Key>a&#12;b</Key>" in answer.body
    assert keys_in(s3, bucket) == ["kept"]


def test_with_mfa_delete_versions_go_with_one_code_or_the_whole_request_fails(s3, bucket, devices):
    enabled = {"Status": "Enabled", "MFADelete": "Enabled"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled, MFA=devices.proof())
    versions = [
        {"Key": key, "VersionId": s3.put_object(Bucket=bucket, Key=key, Body=b"x")["VersionId"]}
        for key in ("a", "b")
    ]
    fill(s3, bucket, ["c"])
    with pytest.raises(ClientError, match="Mfa Authentication must be used for this request"):
        delete(s3, bucket, {"Key": "c"}, *versions)
    for proof, refusal in ((devices.wrong(), "TokenCodeInvalidError"), ("x 123456", "NotDeviceOwnerError")):
        assert refused(delete, s3=s3, bucket=bucket, MFA=proof) == (400, "MalformedXML")
        with pytest.raises(ClientError, match=refusal):
            delete(s3, bucket, {"Key": "c"}, MFA=proof)
    assert keys_in(s3, bucket) == ["a", "b", "c"]
    assert delete(s3, bucket, {"Key": "c"})["Deleted"][0]["DeleteMarker"]
    answer = delete(s3, bucket, *versions, MFA=devices.proof())
    assert [entry["VersionId"] for entry in answer["Deleted"]] == [entry["VersionId"] for entry in versions]
    assert "Errors" not in answer and keys_in(s3, bucket) == []
