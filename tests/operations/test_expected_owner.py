"""x-amz-expected-bucket-owner, of every operation, and x-amz-source-expected-bucket-owner, of copies."""

import pytest

from objstore.api.operations import OPERATIONS
from objstore.iam.principals import account_id
from tests.operations.refusals import refused
from tests.operations.requests import send

WRONG = "111111111111"
DENIED = (403, "AccessDenied")
NO_ACCOUNT = (400, "InvalidBucketOwnerAWSAccountID")
ROWS = [
    row
    for row in OPERATIONS
    if row.handler is not None
    and row.scope in ("bucket", "object")
    and row.method != "OPTIONS"
    and row.name != "CreateBucket"
]


@pytest.fixture(scope="module")
def place(s3):
    s3.create_bucket(Bucket="test-expected-owner", ObjectLockEnabledForBucket=True)
    s3.put_object(Bucket="test-expected-owner", Key="key", Body=b"body")
    return "test-expected-owner"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_bucket_of_somebody_else_is_left_alone(s3, place, row):
    query = {flag.partition("=")[0]: flag.partition("=")[2] or "1" for flag in row.query}
    headers = {"x-amz-expected-bucket-owner": WRONG}
    if row.header is not None:
        headers[row.header] = f"{place}/key"
    answer = send(s3, row.method, place, "key" if row.scope == "object" else "", query=query, headers=headers)
    assert answer.status == 403
    assert row.method == "HEAD" or answer.code == "AccessDenied"
    assert s3.get_object(Bucket=place, Key="key")["Body"].read() == b"body"


def test_the_owner_is_named_by_account_or_canonical_id(s3, other, other_id, root_id, place):
    for owner in (root_id, account_id(root_id)):
        assert s3.head_bucket(Bucket=place, ExpectedBucketOwner=owner)["BucketRegion"]
    for owner in (other_id, account_id(other_id)):
        assert refused(s3.list_objects_v2, Bucket=place, ExpectedBucketOwner=owner) == DENIED
    for owner in (root_id + "0", "nobody", "0000"):
        assert refused(s3.list_objects_v2, Bucket=place, ExpectedBucketOwner=owner) == NO_ACCOUNT


def test_the_right_name_opens_nothing(anonymous, root_id, place):
    call = anonymous.get_object
    assert refused(call, Bucket=place, Key="key", ExpectedBucketOwner=account_id(root_id)) == DENIED


def test_the_source_of_a_copy_has_an_expected_owner_of_its_own(s3, bucket, root_id, place):
    copy = {"Bucket": bucket, "Key": "copy", "CopySource": f"{place}/key"}
    assert refused(s3.copy_object, **copy, ExpectedSourceBucketOwner=WRONG) == DENIED
    s3.copy_object(**copy, ExpectedSourceBucketOwner=root_id, ExpectedBucketOwner=account_id(root_id))
    upload = s3.create_multipart_upload(Bucket=bucket, Key="copy")["UploadId"]
    part = {**copy, "UploadId": upload, "PartNumber": 1}
    assert refused(s3.upload_part_copy, **part, ExpectedSourceBucketOwner=WRONG) == DENIED
    s3.upload_part_copy(**part, ExpectedSourceBucketOwner=root_id)


def test_it_may_stand_in_a_presigned_url(s3, place):
    import urllib.error
    import urllib.request

    about = {"Bucket": place, "Key": "key", "ExpectedBucketOwner": WRONG}
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(s3.generate_presigned_url("get_object", about))
