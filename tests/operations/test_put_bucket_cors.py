"""PutBucketCors, GetBucketCors, DeleteBucketCors."""

import pytest

from tests.operations.refusals import refused


def rules(**changes):
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.org"], **changes}
    return {"CORSRules": [{name: value for name, value in rule.items() if value is not None}]}


def test_put_get_delete(s3, bucket):
    absent = (404, "NoSuchCORSConfiguration")
    assert refused(s3.get_bucket_cors, Bucket=bucket) == absent
    full = rules(
        ID="one",
        AllowedHeaders=["*", "x-amz-*"],
        AllowedMethods=["GET", "PUT", "HEAD", "POST", "DELETE"],
        AllowedOrigins=["*", "https://*.example.org"],
        ExposeHeaders=["ETag", "x-amz-request-id"],
        MaxAgeSeconds=3000,
    )
    full["CORSRules"] += rules(MaxAgeSeconds=-100)["CORSRules"]  # S3 keeps a negative one
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=full)
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == full["CORSRules"]
    for _ in range(2):
        assert s3.delete_bucket_cors(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_cors, Bucket=bucket) == absent


def test_a_hundred_rules_and_no_more(s3, bucket):
    many = {"CORSRules": rules()["CORSRules"] * 100}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=many)
    too_many = {"CORSRules": rules()["CORSRules"] * 101}
    call = s3.put_bucket_cors
    assert refused(call, Bucket=bucket, CORSConfiguration=too_many) == (400, "MalformedXML")


BAD = [
    ({"CORSRules": []}, "MalformedXML"),
    (rules(AllowedMethods=[]), "MalformedXML"),
    (rules(AllowedOrigins=[]), "MalformedXML"),
    (rules(AllowedMethods=["PATCH"]), "InvalidRequest"),
    (rules(AllowedMethods=["get"]), "InvalidRequest"),
    (rules(AllowedOrigins=["https://*.example.*"]), "InvalidRequest"),
    (rules(AllowedHeaders=["x-*-*"]), "InvalidRequest"),
    (rules(ExposeHeaders=["x-amz-*"]), "InvalidRequest"),
    (rules(ID="x" * 256), "InvalidRequest"),
    ({"CORSRules": rules(ID="same")["CORSRules"] * 2}, "InvalidRequest"),
    (rules(AllowedHeaders=["x(a)"]), "InvalidRequest"),
    (rules(AllowedHeaders=["x:a"]), "InvalidRequest"),
    (rules(ExposeHeaders=["x/a"]), "InvalidRequest"),
    (rules(MaxAgeSeconds=2**31), "MalformedXML"),
]


@pytest.mark.parametrize(("wanted", "code"), BAD)
def test_rules_that_cannot_be(s3, bucket, wanted, code):
    assert refused(s3.put_bucket_cors, Bucket=bucket, CORSConfiguration=wanted) == (400, code)
    assert refused(s3.get_bucket_cors, Bucket=bucket) == (404, "NoSuchCORSConfiguration")


def test_an_origin_may_be_empty(s3, bucket):
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration=rules(AllowedOrigins=[""]))
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"][0]["AllowedOrigins"] == [""]


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_cors, Bucket=bucket) == (403, "AccessDenied")
        assert refused(client.put_bucket_cors, Bucket=bucket, CORSConfiguration=rules()) == (
            403,
            "AccessDenied",
        )
        assert refused(client.delete_bucket_cors, Bucket=bucket) == (403, "AccessDenied")
