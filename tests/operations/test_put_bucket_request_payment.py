"""PutBucketRequestPayment and GetBucketRequestPayment, and who pays then."""

import pytest

from tests.operations.refusals import refused
from tests.operations.sharing import open_up, policy, statement

DENIED = (403, "AccessDenied")


def charge(s3, bucket, payer="Requester"):
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": payer})


def test_the_owner_pays_at_first(s3, bucket):
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    for payer in ("Requester", "BucketOwner"):
        charge(s3, bucket, payer)
        assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == payer


def test_whoever_is_to_pay_must_say_so(s3, bucket, other, anonymous):
    open_up(s3, bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, ["s3:GetObject", "s3:ListBucket"])))
    charge(s3, bucket)
    assert refused(other.get_object, Bucket=bucket, Key="key") == DENIED
    assert refused(other.list_objects_v2, Bucket=bucket) == DENIED
    answer = other.get_object(Bucket=bucket, Key="key", RequestPayer="requester")
    assert answer["Body"].read() == b"body"
    assert answer["RequestCharged"] == "requester"
    assert other.list_objects_v2(Bucket=bucket, RequestPayer="requester")["KeyCount"] == 1
    assert refused(anonymous.get_object, Bucket=bucket, Key="key", RequestPayer="requester") == DENIED
    assert "RequestCharged" not in s3.head_object(Bucket=bucket, Key="key")
    charge(s3, bucket, "BucketOwner")
    assert "RequestCharged" not in other.head_object(Bucket=bucket, Key="key")


def test_whoever_copies_pays_for_the_source(s3, bucket, bucket_name, other):
    open_up(s3, bucket)
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement(bucket, "s3:GetObject")))
    charge(s3, bucket)
    own = f"{bucket_name}-own"
    other.create_bucket(Bucket=own)
    copy = {"Bucket": own, "Key": "key", "CopySource": f"{bucket}/key"}
    assert refused(other.copy_object, **copy) == DENIED
    assert other.copy_object(**copy, RequestPayer="requester")["RequestCharged"] == "requester"
    upload = other.create_multipart_upload(Bucket=own, Key="key")
    assert "RequestCharged" not in upload
    part = other.upload_part_copy(**copy, UploadId=upload["UploadId"], PartNumber=1, RequestPayer="requester")
    assert part["RequestCharged"] == "requester"


@pytest.mark.parametrize("payer", ["Nobody", ""])
def test_what_makes_no_sense_is_refused(s3, bucket, payer):
    assert refused(charge, s3=s3, bucket=bucket, payer=payer) == (400, "MalformedXML")


def test_others_may_neither_see_nor_change_it(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_request_payment, Bucket=bucket) == DENIED
        assert refused(charge, s3=client, bucket=bucket) == DENIED
