"""x-amz-version-id and x-amz-delete-marker, on every answer that has them and on none that has not."""

from typing import Any

import pytest

from tests.operations.multipart import upload

VERSION, MARKER = "x-amz-version-id", "x-amz-delete-marker"


def told(answer: dict[str, Any]) -> tuple[str | None, str | None]:
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return headers.get(VERSION), headers.get(MARKER)


def refusal(call: Any, **arguments: Any) -> tuple[int, str | None, str | None]:
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer: Any = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], *told(answer)


def status(s3: Any, bucket: str, wanted: str) -> None:
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": wanted})


def test_a_bucket_never_versioned_has_none_of_them(s3: Any, bucket: str) -> None:
    here = {"Bucket": bucket, "Key": "key"}
    assert told(s3.put_object(**here, Body=b"", Tagging="a=1")) == (None, None)
    assert told(s3.get_object(**here)) == told(s3.head_object(**here)) == (None, None)
    assert told(s3.copy_object(**here, CopySource=here, MetadataDirective="REPLACE")) == (None, None)
    assert told(s3.get_object_attributes(**here, ObjectAttributes=["ETag"])) == (None, None)
    assert told(s3.get_object_tagging(**here)) == (None, None)
    assert told(s3.delete_object(**here)) == (None, None)
    assert told(upload(s3, bucket, b"part")) == (None, None)
    assert told(s3.delete_object(**here)) == (None, None)
    (version,) = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert version["VersionId"] == "null"


def test_a_versioned_bucket(s3: Any, bucket: str) -> None:
    status(s3, bucket, "Enabled")
    here = {"Bucket": bucket, "Key": "key"}
    first, _ = told(s3.put_object(**here, Body=b""))
    done = told(upload(s3, bucket, b"part"))
    assert first and done[0] and done[1] is None
    assert told(s3.get_object(**here)) == told(s3.head_object(**here)) == (first, None)
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource={**here, "VersionId": first})
    assert copied["CopySourceVersionId"] == first
    assert told(copied)[0] not in (None, first)
    assert told(s3.get_object_attributes(**here, ObjectAttributes=["ETag"])) == (first, None)
    assert told(s3.get_object_tagging(**here)) == (first, None)
    assert told(s3.put_object_tagging(**here, Tagging={"TagSet": []})) == (first, None)
    assert told(s3.delete_object_tagging(**here)) == (first, None)


def test_delete_markers(s3: Any, bucket: str) -> None:
    status(s3, bucket, "Enabled")
    here = {"Bucket": bucket, "Key": "key"}
    first, _ = told(s3.put_object(**here, Body=b""))
    marker, is_marker = told(s3.delete_object(**here))
    assert is_marker == "true" and marker not in (None, first)
    for call in (s3.get_object, s3.head_object):
        assert refusal(call, **here) == (404, marker, "true")
        assert refusal(call, **here, VersionId=marker) == (405, marker, "true")
    call = s3.get_object_attributes
    assert refusal(call, **here, ObjectAttributes=["ETag"]) == (404, marker, "true")
    assert told(s3.delete_object(**here, VersionId=first)) == (first, None)
    assert told(s3.delete_object(**here, VersionId=marker)) == (marker, "true")
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "key"}]})["Deleted"][0]
    assert deleted["DeleteMarker"] is True and deleted["DeleteMarkerVersionId"]
    assert "VersionId" not in deleted
    again = {"Key": "key", "VersionId": deleted["DeleteMarkerVersionId"]}
    (gone,) = s3.delete_objects(Bucket=bucket, Delete={"Objects": [again]})["Deleted"]
    assert gone == {
        "Key": "key",
        "VersionId": again["VersionId"],
        "DeleteMarker": True,
        "DeleteMarkerVersionId": again["VersionId"],
    }


def test_a_bucket_that_keeps_versions_no_longer(s3: Any, bucket: str) -> None:
    status(s3, bucket, "Suspended")
    here = {"Bucket": bucket, "Key": "key"}
    assert told(s3.put_object(**here, Body=b"")) == (None, None)
    assert told(s3.get_object(**here)) == told(s3.head_object(**here)) == ("null", None)
    assert told(s3.delete_object(**here)) == ("null", "true")
    assert refusal(s3.get_object, **here) == (404, "null", "true")
    assert told(s3.delete_object(**here, VersionId="null")) == ("null", "true")
    assert told(upload(s3, bucket, b"part")) == (None, None)
    s3.put_object(**here, Body=b"")
    copied = s3.copy_object(**here, CopySource=here, MetadataDirective="REPLACE")
    assert told(copied) == ("null", None) and "CopySourceVersionId" not in copied
    assert told(s3.put_object_tagging(**here, Tagging={"TagSet": []})) == ("null", None)


def test_an_upload_tells_from_the_beginning_which_version_it_becomes(s3: Any, bucket: str) -> None:
    here = {"Bucket": bucket, "Key": "key"}
    plain = s3.create_multipart_upload(**here)
    assert told(plain) == (None, None)
    status(s3, bucket, "Enabled")
    s3.put_object(**here, Body=b"old")
    begun = s3.create_multipart_upload(**here)
    of = {**here, "UploadId": begun["UploadId"]}
    part = s3.upload_part(**of, PartNumber=1, Body=b"part")
    copied = s3.upload_part_copy(**of, PartNumber=2, CopySource=here)
    answers = [begun, part, copied, s3.list_parts(**of)]
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    answers.append(s3.complete_multipart_upload(**of, MultipartUpload={"Parts": parts}))
    (version,) = {told(answer)[0] for answer in answers}
    assert s3.head_object(**here)["VersionId"] == version
    other = s3.create_multipart_upload(**here)
    aborted = s3.abort_multipart_upload(**here, UploadId=other["UploadId"])
    assert version != told(other)[0] == told(aborted)[0]
    status(s3, bucket, "Suspended")
    assert told(s3.list_parts(**here, UploadId=plain["UploadId"])) == (None, None)


ON_VERSIONS = {
    "get_object": {},
    "head_object": {},
    "get_object_acl": {},
    "put_object_acl": {"ACL": "private"},
    "get_object_attributes": {"ObjectAttributes": ["ETag"]},
    "get_object_tagging": {},
    "put_object_tagging": {"Tagging": {"TagSet": []}},
    "delete_object_tagging": {},
    "get_object_retention": {},
    "put_object_retention": {"Retention": {}},
    "get_object_legal_hold": {},
    "put_object_legal_hold": {"LegalHold": {"Status": "ON"}},
    "restore_object": {"RestoreRequest": {"Days": 1}},
}


def test_a_delete_marker_allows_nothing_but_its_deletion(s3: Any, bucket_name: str) -> None:
    from botocore.exceptions import ClientError

    s3.create_bucket(Bucket=bucket_name, ObjectLockEnabledForBucket=True, ObjectOwnership="ObjectWriter")
    here = {"Bucket": bucket_name, "Key": "key"}
    marker = s3.delete_object(**here)["VersionId"]
    for name, arguments in ON_VERSIONS.items():
        call = getattr(s3, name)
        status_of_current = 405 if name == "put_object_acl" or "tagging" in name else 404
        assert refusal(call, **here, **arguments) == (status_of_current, marker, "true"), name
        with pytest.raises(ClientError) as caught:
            call(**here, **arguments, VersionId=marker)
        answer: Any = caught.value.response
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 405, name
        assert (*told(answer), headers["allow"]) == (marker, "true", "DELETE"), name
        assert "last-modified" in headers, name
        if name != "head_object":
            method = {"get": "GET", "put": "PUT", "delete": "DELETE", "restore": "POST"}[
                name.partition("_")[0]
            ]
            error = answer["Error"]
            assert (error["Method"], error["ResourceType"]) == (method, "DeleteMarker")
