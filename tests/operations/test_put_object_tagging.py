"""PutObjectTagging, GetObjectTagging, DeleteObjectTagging, and the tags that uploads and copies bring."""

import hashlib
from base64 import b64encode

import pytest
from botocore.exceptions import ClientError

from tests.operations.refusals import refused
from tests.operations.requests import send


def tag_set(**tags: str) -> dict[str, list[dict[str, str]]]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


def tags_of(s3, bucket, key="key", **which):
    answer = s3.get_object_tagging(Bucket=bucket, Key=key, **which)
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


@pytest.fixture
def tagged(s3, bucket):
    s3.put_object(Bucket=bucket, Key="key", Body=b"x", Tagging="a=1&b=two%20words")
    return bucket


def test_put_get_delete(s3, tagged):
    assert tags_of(s3, tagged) == {"a": "1", "b": "two words"}
    before = s3.head_object(Bucket=tagged, Key="key")
    s3.put_object_tagging(Bucket=tagged, Key="key", Tagging=tag_set(c="3"))
    assert tags_of(s3, tagged) == {"c": "3"}
    after = s3.head_object(Bucket=tagged, Key="key")
    assert (after["LastModified"], after["ETag"]) == (before["LastModified"], before["ETag"])
    for _ in range(2):
        answer = s3.delete_object_tagging(Bucket=tagged, Key="key")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert tags_of(s3, tagged) == {}


def test_the_count_is_told(s3, tagged):
    assert s3.get_object(Bucket=tagged, Key="key")["TagCount"] == 2
    s3.delete_object_tagging(Bucket=tagged, Key="key")
    assert "TagCount" not in s3.get_object(Bucket=tagged, Key="key")


def test_versions_have_tags_of_their_own(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="key", Body=b"1", Tagging="n=1")["VersionId"]
    second = s3.put_object(Bucket=bucket, Key="key", Body=b"2", Tagging="n=2")["VersionId"]
    answer = s3.put_object_tagging(Bucket=bucket, Key="key", VersionId=first, Tagging=tag_set(n="one"))
    assert answer["VersionId"] == first
    assert tags_of(s3, bucket, VersionId=first) == {"n": "one"}
    assert tags_of(s3, bucket) == {"n": "2"}
    assert s3.get_object_tagging(Bucket=bucket, Key="key")["VersionId"] == second
    assert s3.delete_object_tagging(Bucket=bucket, Key="key", VersionId=second)["VersionId"] == second
    assert tags_of(s3, bucket) == {}


def test_nothing_to_tag(s3, bucket):
    for call in (s3.get_object_tagging, s3.delete_object_tagging):
        assert refused(call, Bucket=bucket, Key="none") == (404, "NoSuchKey")
    put = s3.put_object_tagging
    assert refused(put, Bucket=bucket, Key="none", Tagging=tag_set(a="1")) == (404, "NoSuchKey")
    s3.put_object(Bucket=bucket, Key="key", Body=b"")
    unknown = {"Bucket": bucket, "Key": "key", "VersionId": "0" * 32}
    assert refused(put, **unknown, Tagging=tag_set(a="1")) == (404, "NoSuchVersion")
    assert refused(put, **{**unknown, "VersionId": "junk"}, Tagging=tag_set(a="1"))[0] == 400


def test_a_delete_marker_has_no_tags(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    marker = s3.delete_object(Bucket=bucket, Key="key")["VersionId"]
    here = {"Bucket": bucket, "Key": "key"}
    for named in ({}, {"VersionId": marker}):
        for call in (s3.get_object_tagging, s3.delete_object_tagging):
            assert refused(call, **here, **named) == (405, "MethodNotAllowed")
        put = s3.put_object_tagging
        assert refused(put, **here, **named, Tagging=tag_set(a="1")) == (405, "MethodNotAllowed")


BAD = [
    (tag_set(**{f"k{number}": "" for number in range(11)}), "BadRequest"),
    (tag_set(**{"k" * 129: "v"}), "InvalidTag"),
    (tag_set(k="v" * 257), "InvalidTag"),
    (tag_set(**{"aws:k": "v"}), "InvalidTag"),
    (tag_set(**{"k": "a&b"}), "InvalidTag"),
    ({"TagSet": [{"Key": "k", "Value": "1"}] * 2}, "InvalidTag"),
]


def test_what_is_wrong_with_tags_is_told(s3, tagged):
    def told(call, tags, **here):
        with pytest.raises(ClientError) as caught:
            call(Bucket=tagged, Tagging=tags, **here)
        error = caught.value.response["Error"]
        return error["Message"], error["TagKey"]

    reserved, twice = tag_set(**{"aws:k": "v"}), {"TagSet": [{"Key": "k", "Value": "1"}] * 2}
    put = s3.put_object_tagging
    assert told(put, reserved, Key="key") == ("Your TagKey cannot be prefixed with aws:", "aws:k")
    words = "System tags cannot be added/updated by requester"
    assert told(s3.put_bucket_tagging, reserved) == (words, "aws:k")
    assert told(put, twice, Key="key") == ("Cannot provide multiple Tags with the same key", "k")


def test_no_tag_set_at_all_is_an_empty_one(s3, tagged):
    body = b"<Tagging/>"
    md5 = {"Content-MD5": b64encode(hashlib.md5(body).digest()).decode()}
    assert send(s3, "PUT", tagged, "key", query={"tagging": ""}, headers=md5, body=body).status == 200
    assert s3.get_object_tagging(Bucket=tagged, Key="key")["TagSet"] == []


@pytest.mark.parametrize(("tags", "code"), BAD)
def test_tags_that_cannot_be(s3, tagged, tags, code):
    assert refused(s3.put_object_tagging, Bucket=tagged, Key="key", Tagging=tags) == (400, code)
    assert len(tags_of(s3, tagged)) == 2


def test_the_largest_tags_there_can_be(s3, tagged):
    tags = tag_set(**{f"{number:0128}": "é" * 256 for number in range(10)})
    s3.put_object_tagging(Bucket=tagged, Key="key", Tagging=tags)
    assert s3.get_object_tagging(Bucket=tagged, Key="key")["TagSet"] == tags["TagSet"]


def test_copies_have_the_tags_of_their_source_or_those_they_are_given(s3, tagged):
    source = {"Bucket": tagged, "Key": "key"}
    s3.copy_object(Bucket=tagged, Key="same", CopySource=source)
    assert tags_of(s3, tagged, "same") == {"a": "1", "b": "two words"}
    s3.copy_object(Bucket=tagged, Key="new", CopySource=source, Tagging="c=3", TaggingDirective="REPLACE")
    assert tags_of(s3, tagged, "new") == {"c": "3"}


def test_multipart_uploads_bring_tags(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="key", Tagging="a=1")["UploadId"]
    here = {"Bucket": bucket, "Key": "key", "UploadId": upload}
    part = s3.upload_part(**here, PartNumber=1, Body=b"part")["ETag"]
    s3.complete_multipart_upload(**here, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part}]})
    assert tags_of(s3, bucket) == {"a": "1"}


def test_other_people_may_not(other, anonymous, tagged):
    for client in (other, anonymous):
        assert refused(client.get_object_tagging, Bucket=tagged, Key="key") == (403, "AccessDenied")
        assert refused(client.delete_object_tagging, Bucket=tagged, Key="key") == (403, "AccessDenied")
