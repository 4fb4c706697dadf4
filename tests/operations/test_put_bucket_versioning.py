"""PutBucketVersioning, GetBucketVersioning, and what the states mean for the versions of a key."""

import pytest
from botocore.exceptions import ClientError

from tests.operations.refusals import refused
from tests.operations.sharing import policy, statement
from tests.support.versions import listed_versions


def set_state(s3, bucket, status):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})


def version_ids(s3, bucket):
    """(version id, is latest, is marker), in the order listed."""
    return [entry[1:] for entry in listed_versions(s3, bucket)]


def test_states(s3, bucket):
    answer = s3.get_bucket_versioning(Bucket=bucket)
    assert not {"Status", "MFADelete"} & answer.keys()
    for status in ("Enabled", "Suspended", "Enabled"):
        set_state(s3, bucket, status)
        for _ in range(5):  # whichever worker is asked
            assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == status


@pytest.mark.parametrize(
    ("configuration", "refusal"),
    [
        ({}, (400, "IllegalVersioningConfigurationException")),
        ({"Status": "enabled"}, (400, "MalformedXML")),
        ({"Status": "Enabled", "MFADelete": "Perhaps"}, (400, "MalformedXML")),
        ({"Status": "Enabled", "MFADelete": "Enabled"}, (403, "AccessDenied")),
    ],
)
def test_a_document_that_cannot_be(s3, bucket, configuration, refusal):
    assert refused(s3.put_bucket_versioning, Bucket=bucket, VersioningConfiguration=configuration) == refusal
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)


def set_mfa_delete(s3, bucket, mfa_delete, status="Enabled", **mfa):
    wanted = {"Status": status} | ({} if mfa_delete is None else {"MFADelete": mfa_delete})
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=wanted, **mfa)


def states(s3, bucket):
    """(versioning, MFA delete), the same whichever worker is asked."""
    (state,) = {
        (answer.get("Status"), answer.get("MFADelete"))
        for answer in (s3.get_bucket_versioning(Bucket=bucket) for _ in range(5))
    }
    return state


def test_mfa_delete_is_told_once_somebody_said_something(s3, bucket):
    set_mfa_delete(s3, bucket, "Disabled")
    set_state(s3, bucket, "Suspended")
    assert states(s3, bucket) == ("Suspended", "Disabled")


def test_mfa_delete_comes_and_goes_with_a_code_and_fixes_the_state_meanwhile(s3, bucket, devices):
    proof = devices.proof()
    set_mfa_delete(s3, bucket, "Enabled", MFA=proof)
    assert states(s3, bucket) == ("Enabled", "Enabled")
    for mfa_delete, status in ((None, "Enabled"), (None, "Suspended"), ("Disabled", "Enabled")):
        change = {"s3": s3, "bucket": bucket, "mfa_delete": mfa_delete, "status": status}
        assert refused(set_mfa_delete, **change) == (403, "AccessDenied")
        assert refused(set_mfa_delete, **change, MFA=proof) == (400, "TokenCodeInvalidError")  # used before
        assert states(s3, bucket) == ("Enabled", "Enabled")
    set_mfa_delete(s3, bucket, None, "Suspended", MFA=devices.proof())
    assert states(s3, bucket) == ("Suspended", "Enabled")
    set_mfa_delete(s3, bucket, "Disabled", MFA=devices.proof())
    assert states(s3, bucket) == ("Enabled", "Disabled")
    set_mfa_delete(s3, bucket, None, "Suspended")


def test_without_a_code_that_counts_mfa_delete_is_not_enabled(s3, bucket, devices):
    for proof, refusal in {
        "no-space": (400, "InvalidArgument"),
        "serial  123456": (400, "InvalidArgument"),
        "123456789 123456": (400, "NotDeviceOwnerError"),
        devices.wrong(): (400, "TokenCodeInvalidError"),
        devices.wrong()[:-1]: (400, "TokenCodeInvalidError"),
    }.items():
        change = {"s3": s3, "bucket": bucket, "mfa_delete": "Enabled", "MFA": proof}
        assert refused(set_mfa_delete, **change) == refusal
    with pytest.raises(ClientError, match="Mfa Authentication must be used for this request"):
        set_mfa_delete(s3, bucket, "Enabled")
    assert states(s3, bucket) == (None, None)


def test_mfa_delete_is_the_owners_with_a_device_of_their_own(s3, other, other_id, bucket, devices):
    allow = statement(bucket, "s3:PutBucketVersioning", {"CanonicalUser": other_id})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(allow))
    set_state(other, bucket, "Enabled")
    with pytest.raises(ClientError, match="This operation may only be performed by the bucket owner"):
        set_mfa_delete(other, bucket, "Enabled", MFA=devices.wrong())
    own = f"{bucket}-own"
    other.create_bucket(Bucket=own)
    change = {"s3": other, "bucket": own, "mfa_delete": "Enabled", "MFA": devices.wrong()}
    assert refused(set_mfa_delete, **change) == (400, "NotDeviceOwnerError")


def test_a_bucket_with_lifecycle_rules_has_no_mfa_delete(s3, bucket, devices):
    rule = {"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
    change = {"s3": s3, "bucket": bucket, "mfa_delete": "Enabled", "MFA": devices.proof()}
    assert refused(set_mfa_delete, **change) == (409, "InvalidBucketState")
    assert states(s3, bucket) == (None, None)


def test_a_bucket_with_object_lock_keeps_its_versions(s3, bucket_name):
    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True)
    suspended = {"Status": "Suspended"}
    refusal = refused(s3.put_bucket_versioning, Bucket=bucket_name, VersioningConfiguration=suspended)
    assert refusal == (409, "InvalidBucketState")
    set_state(s3, bucket_name, "Enabled")


def test_other_people_may_not(other, bucket):
    assert refused(other.get_bucket_versioning, Bucket=bucket) == (403, "AccessDenied")
    call = other.put_bucket_versioning
    refusal = refused(call, Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert refusal == (403, "AccessDenied")


def test_what_was_there_before_has_the_null_version_id(s3, bucket):
    assert "VersionId" not in s3.put_object(Bucket=bucket, Key="key", Body=b"before")
    assert "VersionId" not in s3.get_object(Bucket=bucket, Key="key")
    set_state(s3, bucket, "Enabled")
    assert s3.head_object(Bucket=bucket, Key="key")["VersionId"] == "null"
    new = s3.put_object(Bucket=bucket, Key="key", Body=b"after")["VersionId"]
    assert new != "null"
    assert s3.get_object(Bucket=bucket, Key="key", VersionId="null")["Body"].read() == b"before"
    assert version_ids(s3, bucket) == [(new, True, False), ("null", False, False)]


def test_every_answer_names_the_version(s3, bucket):
    set_state(s3, bucket, "Enabled")
    put = s3.put_object(Bucket=bucket, Key="key", Body=b"put")["VersionId"]
    copied = s3.copy_object(
        Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "key", "VersionId": put}
    )
    assert copied["CopySourceVersionId"] == put
    assert s3.get_object(Bucket=bucket, Key="copy", VersionId=copied["VersionId"])["Body"].read() == b"put"
    upload = s3.create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]
    here = {"Bucket": bucket, "Key": "key", "UploadId": upload}
    part = s3.upload_part(**here, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    completed = s3.complete_multipart_upload(**here, MultipartUpload=parts)["VersionId"]
    assert s3.head_object(Bucket=bucket, Key="key")["VersionId"] == completed
    assert s3.get_object(Bucket=bucket, Key="key", VersionId=put)["VersionId"] == put
    many = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "key"}]})["Deleted"][0]
    assert many["DeleteMarker"] is True
    assert (many["DeleteMarkerVersionId"], True, True) in version_ids(s3, bucket)


def test_delete_markers(s3, bucket):
    set_state(s3, bucket, "Enabled")
    version = s3.put_object(Bucket=bucket, Key="key", Body=b"x")["VersionId"]
    deleted = s3.delete_object(Bucket=bucket, Key="key")
    marker = deleted["VersionId"]
    assert deleted["DeleteMarker"] is True
    with pytest.raises(s3.exceptions.NoSuchKey) as caught:
        s3.get_object(Bucket=bucket, Key="key")
    headers = caught.value.response["ResponseMetadata"]["HTTPHeaders"]
    assert (headers["x-amz-delete-marker"], headers["x-amz-version-id"]) == ("true", marker)
    assert refused(s3.get_object, Bucket=bucket, Key="key", VersionId=marker) == (405, "MethodNotAllowed")
    assert refused(s3.head_object, Bucket=bucket, Key="key", VersionId=marker)[0] == 405
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    undone = s3.delete_object(Bucket=bucket, Key="key", VersionId=marker)
    assert (undone["DeleteMarker"], undone["VersionId"]) == (True, marker)
    assert s3.head_object(Bucket=bucket, Key="key")["VersionId"] == version
    gone = s3.delete_object(Bucket=bucket, Key="key", VersionId=version)
    assert ("DeleteMarker" in gone, gone["VersionId"]) == (False, version)
    assert version_ids(s3, bucket) == []


def test_suspended_a_put_replaces_only_the_null_version(s3, bucket):
    set_state(s3, bucket, "Enabled")
    kept = s3.put_object(Bucket=bucket, Key="key", Body=b"kept")["VersionId"]
    set_state(s3, bucket, "Suspended")
    for body in (b"1", b"2"):
        assert "VersionId" not in s3.put_object(Bucket=bucket, Key="key", Body=body)
    assert version_ids(s3, bucket) == [("null", True, False), (kept, False, False)]
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"2"


def test_suspended_a_delete_leaves_a_null_marker(s3, bucket):
    set_state(s3, bucket, "Enabled")
    kept = s3.put_object(Bucket=bucket, Key="key", Body=b"kept")["VersionId"]
    set_state(s3, bucket, "Suspended")
    s3.put_object(Bucket=bucket, Key="key", Body=b"null")
    for _ in range(2):
        deleted = s3.delete_object(Bucket=bucket, Key="key")
        assert (deleted["DeleteMarker"], deleted["VersionId"]) == (True, "null")
        assert version_ids(s3, bucket) == [("null", True, True), (kept, False, False)]
    s3.delete_object(Bucket=bucket, Key="key", VersionId="null")
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"kept"


def test_a_copy_of_an_old_version_onto_its_own_key_brings_it_back(s3, bucket):
    set_state(s3, bucket, "Enabled")
    old = s3.put_object(Bucket=bucket, Key="key", Body=b"old", Metadata={"a": "1"})["VersionId"]
    s3.put_object(Bucket=bucket, Key="key", Body=b"new")
    source = {"Bucket": bucket, "Key": "key", "VersionId": old}
    restored = s3.copy_object(Bucket=bucket, Key="key", CopySource=source)["VersionId"]
    answer = s3.get_object(Bucket=bucket, Key="key")
    assert (answer["Body"].read(), answer["Metadata"], answer["VersionId"]) == (b"old", {"a": "1"}, restored)


def test_a_delete_marker_cannot_be_copied(s3, bucket):
    set_state(s3, bucket, "Enabled")
    s3.put_object(Bucket=bucket, Key="key", Body=b"x")
    marker = s3.delete_object(Bucket=bucket, Key="key")["VersionId"]
    source = {"Bucket": bucket, "Key": "key", "VersionId": marker}
    assert refused(s3.copy_object, Bucket=bucket, Key="c", CopySource=source) == (400, "InvalidRequest")
    source = {"Bucket": bucket, "Key": "key"}
    assert refused(s3.copy_object, Bucket=bucket, Key="c", CopySource=source) == (404, "NoSuchKey")
