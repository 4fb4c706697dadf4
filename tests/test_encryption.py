"""Server-side encryption as clients meet it: SSE-S3, SSE-KMS, SSE-C, over every operation with bytes."""

import base64
import hashlib
import json
from contextlib import closing

import pytest

from tests.operations import test_post_object as forms
from tests.operations.refusals import refused
from tests.operations.requests import send
from tests.operations.sse import KEY_A, KEY_B, KMS, KMS_KEY, NAMED, S3, customer, source_customer
from tests.support.server import Server

MIB = 1024 * 1024
SSE = "x-amz-server-side-encryption"


@pytest.fixture(scope="module", autouse=True)
def kms_key(server):
    server.run("kms", "key", "create", KMS_KEY, *(f"--drive={drive}" for drive in server.drives))


def reading(given):
    """What a read must send along."""
    return {name: value for name, value in given.items() if name.startswith("SSECustomer")}


def told(answer):
    """What an answer says about encryption."""
    names = (
        "ServerSideEncryption",
        "SSEKMSKeyId",
        "BucketKeyEnabled",
        "SSECustomerAlgorithm",
        "SSECustomerKeyMD5",
    )
    return {name: answer[name] for name in names if name in answer}


def md5_of(key):
    return base64.b64encode(hashlib.md5(key).digest()).decode()


EXPECTED = [
    (S3, {"ServerSideEncryption": "AES256"}),
    (
        KMS,
        {
            "ServerSideEncryption": "aws:kms",
            "SSEKMSKeyId": "arn:aws:kms:us-east-1:000000000000:key/default",
        },
    ),
    (NAMED, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY}),
    (
        {**NAMED, "BucketKeyEnabled": True},
        {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY, "BucketKeyEnabled": True},
    ),
    (
        customer(KEY_A),
        {"SSECustomerAlgorithm": "AES256", "SSECustomerKeyMD5": md5_of(KEY_A)},
    ),
]
KINDS = [given for given, _ in EXPECTED]


@pytest.mark.parametrize(("given", "expected"), EXPECTED)
@pytest.mark.parametrize("size", [0, 1, 4096, 70_000, 3 * MIB + 1])
def test_put_get_head(s3, bucket, seeded, given, expected, size):
    data = seeded.randbytes(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=data, **given)
    assert told(put) == expected
    read = s3.get_object(Bucket=bucket, Key="k", **reading(given))
    assert read["Body"].read() == data
    assert told(read) == expected
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED", **reading(given))
    assert told(head) == expected
    assert head["ContentLength"] == size
    assert head["ETag"] == put["ETag"] == read["ETag"]
    assert (put["ETag"].strip('"') == hashlib.md5(data).hexdigest()) == (given is S3)
    assert head["ChecksumCRC32"] == put["ChecksumCRC32"]
    (listed,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert (listed["Size"], listed["ETag"]) == (size, put["ETag"])


@pytest.mark.parametrize("given", KINDS)
def test_ranges(s3, bucket, seeded, given):
    data = seeded.randbytes(200_000)
    s3.put_object(Bucket=bucket, Key="k", Body=data, **given)
    for start, end in [(0, 0), (65_535, 65_536), (65_536, 131_071), (1, 199_998), (199_999, 199_999)]:
        read = s3.get_object(Bucket=bucket, Key="k", Range=f"bytes={start}-{end}", **reading(given))
        assert read["Body"].read() == data[start : end + 1]
        assert read["ContentRange"] == f"bytes {start}-{end}/{len(data)}"
    read = s3.get_object(Bucket=bucket, Key="k", Range="bytes=-10", **reading(given))
    assert read["Body"].read() == data[-10:]


@pytest.mark.parametrize(("given", "expected"), EXPECTED)
def test_multipart(s3, bucket, seeded, given, expected):
    parts = [seeded.randbytes(5 * MIB), seeded.randbytes(5 * MIB + 7), seeded.randbytes(10)]
    key = {"Bucket": bucket, "Key": "k"}
    made = s3.create_multipart_upload(**key, **given)
    assert told(made) == expected
    upload = {**key, "UploadId": made["UploadId"]}
    done = []
    for number, data in enumerate(parts, 1):
        part = s3.upload_part(**upload, PartNumber=number, Body=data, **reading(given))
        assert told(part) == expected
        done.append({"PartNumber": number, "ETag": part["ETag"]})
    listed = s3.list_parts(**upload)["Parts"]
    assert [(part["ETag"], part["Size"]) for part in listed] == [
        (part["ETag"], len(data)) for part, data in zip(done, parts, strict=True)
    ]
    completed = s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": done})
    assert told(completed) == ({} if "SSECustomerAlgorithm" in given else expected)
    digest = hashlib.md5(b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in done))
    assert completed["ETag"] == f'"{digest.hexdigest()}-3"'
    read = s3.get_object(**key, **reading(given))
    assert read["Body"].read() == b"".join(parts)
    assert told(read) == expected
    second = s3.get_object(**key, PartNumber=2, **reading(given))
    assert second["Body"].read() == parts[1]
    across = s3.get_object(**key, Range=f"bytes={5 * MIB - 5}-{5 * MIB + 4}", **reading(given))
    assert across["Body"].read() == (parts[0] + parts[1])[5 * MIB - 5 : 5 * MIB + 5]
    along = {}
    if "SSECustomerKey" in given:  # which boto3 does not encode for this operation
        key_a = base64.b64encode(KEY_A).decode()
        along = {
            "SSECustomerAlgorithm": "AES256",
            "SSECustomerKey": key_a,
            "SSECustomerKeyMD5": md5_of(KEY_A),
        }
    attributes = s3.get_object_attributes(**key, ObjectAttributes=["ObjectSize", "ObjectParts"], **along)
    assert attributes["ObjectSize"] == len(b"".join(parts))
    assert attributes["ObjectParts"]["TotalPartsCount"] == 3


@pytest.mark.parametrize(("target", "expected"), [({}, {}), *EXPECTED])
@pytest.mark.parametrize("source", [{}, S3, NAMED, customer(KEY_B)])
def test_copies(s3, bucket, seeded, source, target, expected):
    data = seeded.randbytes(100_000)
    s3.put_object(Bucket=bucket, Key="from", Body=data, **source)
    along = source_customer(KEY_B) if "SSECustomerKey" in source else {}
    copied = s3.copy_object(Bucket=bucket, Key="to", CopySource=f"{bucket}/from", **target, **along)
    assert told(copied) == expected
    read = s3.get_object(Bucket=bucket, Key="to", **reading(target))
    assert read["Body"].read() == data
    assert read["ETag"] == copied["CopyObjectResult"]["ETag"]
    assert told(read) == expected
    s3.delete_object(Bucket=bucket, Key="from")
    assert s3.get_object(Bucket=bucket, Key="to", **reading(target))["Body"].read() == data


def test_a_copy_onto_itself_may_change_the_encryption(s3, bucket):
    key = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**key, Body=b"data")
    for given, expected in EXPECTED[:4]:
        s3.copy_object(**key, CopySource=f"{bucket}/k", **given)
        read = s3.get_object(**key)
        assert (told(read), read["Body"].read()) == (expected, b"data")
    s3.copy_object(**key, CopySource=f"{bucket}/k", **customer(KEY_A))
    assert refused(s3.copy_object, **key, CopySource=f"{bucket}/k", **customer(KEY_A)) == (
        400,
        "InvalidRequest",
    )
    s3.copy_object(**key, CopySource=f"{bucket}/k", **customer(KEY_B), **source_customer(KEY_A))
    assert s3.get_object(**key, **customer(KEY_B))["Body"].read() == b"data"
    assert refused(s3.get_object, **key, **customer(KEY_A)) == (403, "AccessDenied")


def test_a_copy_onto_itself_is_encrypted_as_the_bucket_says(s3, bucket):
    key = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**key, Body=b"data")
    assert refused(s3.copy_object, **key, CopySource=f"{bucket}/k") == (400, "InvalidRequest")
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    s3.copy_object(**key, CopySource=f"{bucket}/k")
    read = s3.get_object(**key)
    assert (read["ServerSideEncryption"], read["Body"].read()) == ("aws:kms", b"data")


@pytest.mark.parametrize("source", [{}, S3, customer(KEY_B)])
@pytest.mark.parametrize(("target", "expected"), [({}, {}), EXPECTED[0], EXPECTED[4]])
def test_parts_that_are_copies(s3, bucket, seeded, source, target, expected):
    data = seeded.randbytes(6 * MIB)
    s3.put_object(Bucket=bucket, Key="from", Body=data, **source)
    key = {"Bucket": bucket, "Key": "to"}
    upload = {**key, "UploadId": s3.create_multipart_upload(**key, **target)["UploadId"]}
    along = source_customer(KEY_B) if "SSECustomerKey" in source else {}
    done = []
    for number, more in enumerate(({}, {"CopySourceRange": "bytes=100-299"}), 1):
        part = s3.upload_part_copy(
            **upload, PartNumber=number, CopySource=f"{bucket}/from", **more, **reading(target), **along
        )
        assert told(part) == expected
        done.append({"PartNumber": number, "ETag": part["CopyPartResult"]["ETag"]})
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": done})
    assert s3.get_object(**key, **reading(target))["Body"].read() == data + data[100:300]


# Customers' keys


def test_whoever_has_not_the_key_gets_nothing(s3, bucket):
    key = {"Bucket": bucket, "Key": "k"}
    s3.put_object(**key, Body=b"secret", **customer(KEY_A))
    assert refused(s3.get_object, **key) == (400, "InvalidRequest")
    assert refused(s3.head_object, **key) == (400, "400")
    assert refused(s3.get_object, **key, **customer(KEY_B)) == (403, "AccessDenied")
    assert refused(s3.head_object, **key, **customer(KEY_B)) == (403, "403")
    unproven = send(s3, "GET", bucket, "k", headers=without("-md5", headers_of(KEY_A)))
    assert (unproven.status, unproven.code) == (403, "AccessDenied")
    attributes = {**key, "ObjectAttributes": ["ETag"]}
    assert refused(s3.get_object_attributes, **attributes) == (400, "InvalidRequest")
    copy = {"Bucket": bucket, "Key": "copy", "CopySource": f"{bucket}/k"}
    assert refused(s3.copy_object, **copy) == (400, "InvalidRequest")
    assert refused(s3.copy_object, **copy, **source_customer(KEY_B)) == (403, "AccessDenied")
    s3.put_object(Bucket=bucket, Key="plain", Body=b"open")
    for call in (s3.get_object, s3.head_object):
        assert refused(call, Bucket=bucket, Key="plain", **customer(KEY_A))[0] == 400
    s3.delete_object(**key)  # needs no key


def headers_of(key, algorithm="AES256", md5=None):
    return {
        f"{SSE}-customer-algorithm": algorithm,
        f"{SSE}-customer-key": base64.b64encode(key).decode(),
        f"{SSE}-customer-key-md5": md5 or md5_of(key),
    }


def without(name, headers):
    return {each: value for each, value in headers.items() if not each.endswith(name)}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (headers_of(KEY_A, "AES128"), "InvalidEncryptionAlgorithmError"),
        (headers_of(b"short"), "InvalidArgument"),
        (headers_of(KEY_A, md5=md5_of(KEY_B)), "InvalidArgument"),
        (headers_of(KEY_A, md5="junk!"), "InvalidArgument"),
        (without("-algorithm", headers_of(KEY_A)), "InvalidArgument"),
        (without("-key", headers_of(KEY_A)), "InvalidArgument"),
        (without("-md5", headers_of(KEY_A)), "InvalidArgument"),
        ({**headers_of(KEY_A), f"{SSE}-customer-key": "no base64"}, "InvalidArgument"),
        ({**headers_of(KEY_A), SSE: "AES256"}, "InvalidArgument"),
        ({**headers_of(KEY_A), SSE: "aws:kms"}, "InvalidArgument"),
        ({SSE: "AES512"}, "InvalidArgument"),
        ({SSE: ""}, "InvalidArgument"),
        ({SSE: "AES256", f"{SSE}-aws-kms-key-id": KMS_KEY}, "InvalidArgument"),
        ({f"{SSE}-aws-kms-key-id": KMS_KEY}, "InvalidArgument"),
        ({SSE: "aws:kms", f"{SSE}-context": "e30"}, "InvalidArgument"),
        ({SSE: "aws:kms", f"{SSE}-context": base64.b64encode(b"[1]").decode()}, "InvalidArgument"),
        ({SSE: "aws:kms", f"{SSE}-context": base64.b64encode(b'{"a":1}').decode()}, "InvalidArgument"),
        ({SSE: "aws:kms", f"{SSE}-bucket-key-enabled": "perhaps"}, "InvalidArgument"),
        ({SSE: "aws:kms", f"{SSE}-aws-kms-key-id": "absent"}, "KMS.NotFoundException"),
        ({SSE: "aws:kms", f"{SSE}-aws-kms-key-id": "sse-s3"}, "KMS.NotFoundException"),
        ({SSE: "aws:kms", f"{SSE}-aws-kms-key-id": "arn:aws:kms:mars-1:1:key/x"}, "KMS.NotFoundException"),
        ({SSE: "aws:kms", f"{SSE}-aws-kms-key-id": "arn:junk"}, "KMS.NotFoundException"),
    ],
)
def test_headers_that_do_not_fit(s3, bucket, headers, code):
    for method, query, key in (("PUT", None, "k"), ("POST", {"uploads": ""}, "k")):
        answer = send(s3, method, bucket, key, body=b"", headers=headers, query=query)
        assert (answer.status, answer.code) == (400, code), answer.body
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)


def test_who_reads_cannot_ask_for_encryption(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", **NAMED)
    for headers in ({SSE: "AES256"}, {SSE: "aws:kms", f"{SSE}-aws-kms-key-id": KMS_KEY}):
        assert send(s3, "GET", bucket, "k", headers=headers).code == "InvalidArgument"
        assert send(s3, "HEAD", bucket, "k", headers=headers).status == 400


def test_parts_need_the_uploads_key(s3, bucket):
    key = {"Bucket": bucket, "Key": "k"}
    upload = {**key, "UploadId": s3.create_multipart_upload(**key, **customer(KEY_A))["UploadId"]}
    part = {**upload, "PartNumber": 1, "Body": b"x"}
    assert refused(s3.upload_part, **part) == (400, "InvalidRequest")
    assert refused(s3.upload_part, **part, **customer(KEY_B)) == (400, "InvalidRequest")
    s3.upload_part(**part, **customer(KEY_A))
    other = {**key, "UploadId": s3.create_multipart_upload(**key)["UploadId"]}
    assert refused(s3.upload_part, **{**part, **other}, **customer(KEY_A)) == (400, "InvalidRequest")


def test_what_parts_say_of_encryption_means_nothing(s3, bucket):
    key = {"Bucket": bucket, "Key": "k"}
    for given in (S3, NAMED):
        upload = s3.create_multipart_upload(**key, **given)["UploadId"]
        query = {"uploadId": upload, "partNumber": "1"}
        for headers in ({SSE: "AES256"}, {SSE: "aws:kms", f"{SSE}-aws-kms-key-id": "absent"}):
            answer = send(s3, "PUT", bucket, "k", query=query, body=b"x", headers=headers)
            assert answer.status == 200
            assert answer.headers[SSE] == given["ServerSideEncryption"]


def test_an_upload_may_ask_for_a_bucket_key_alone(s3, bucket):
    s3.put_object(Bucket=bucket, Key="plain", Body=b"x", BucketKeyEnabled=True)
    assert told(s3.head_object(Bucket=bucket, Key="plain")) == {}
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    assert "BucketKeyEnabled" not in s3.put_object(Bucket=bucket, Key="k", Body=b"x", BucketKeyEnabled=False)
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"x")["BucketKeyEnabled"] is True


def test_customers_keys_travel_in_private(tmp_path):
    server = Server(tmp_path, workers=1).start()
    try:
        with closing(server.client()) as s3:
            s3.create_bucket(Bucket="bucket")
            call = {"Bucket": "bucket", "Key": "k", **customer(KEY_A)}
            assert refused(s3.put_object, Body=b"x", **call) == (400, "InvalidRequest")
            assert refused(s3.get_object, **call) == (400, "InvalidRequest")
            assert refused(s3.create_multipart_upload, **call) == (400, "InvalidRequest")
    finally:
        server.stop()


# Browser forms


def test_forms(s3, server, bucket):
    for given, expected in ((S3, EXPECTED[0][1]), (NAMED, EXPECTED[2][1])):
        extra = {SSE: given["ServerSideEncryption"]}
        if "SSEKMSKeyId" in given:
            extra[f"{SSE}-aws-kms-key-id"] = given["SSEKMSKeyId"]
        conditions = [{"bucket": bucket}, {"key": "k"}, *({name: value} for name, value in extra.items())]
        status, headers, _ = forms.send(server, bucket, forms.signed({"key": "k", **extra}, conditions))
        assert status == 204
        assert headers[SSE] == given["ServerSideEncryption"]
        read = s3.get_object(Bucket=bucket, Key="k")
        assert (told(read), read["Body"].read()) == (expected, forms.BODY)
    extra = headers_of(KEY_A)
    conditions = [{"bucket": bucket}, {"key": "k"}, *({name: value} for name, value in extra.items())]
    assert forms.send(server, bucket, forms.signed({"key": "k", **extra}, conditions))[0] == 204
    assert s3.get_object(Bucket=bucket, Key="k", **customer(KEY_A))["Body"].read() == forms.BODY


# KMS keys


@pytest.mark.parametrize(
    "key_id",
    [
        KMS_KEY,
        f"alias/{KMS_KEY}",
        f"arn:aws:kms:us-east-1:123456789012:key/{KMS_KEY}",
        f"arn:aws:kms:us-east-1:123456789012:alias/{KMS_KEY}",
        "alias/aws/s3",
    ],
)
def test_a_key_goes_by_several_names(s3, bucket, key_id):
    call = {"Bucket": bucket, "Key": "k", "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_id}
    put = s3.put_object(Body=b"data", **call)
    name = "default" if "aws/s3" in key_id else KMS_KEY
    shown = f"arn:aws:kms:us-east-1:000000000000:key/{name}" if "alias" in key_id else key_id
    assert put["SSEKMSKeyId"] == shown
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"data"


def test_the_context_goes_with_the_object(s3, bucket):
    context = base64.b64encode(json.dumps({"department": "ü"}).encode()).decode()
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"data", **NAMED, SSEKMSEncryptionContext=context)
    assert put["SSEKMSEncryptionContext"] == context
    read = s3.get_object(Bucket=bucket, Key="k")
    assert f"{SSE}-context" not in read["ResponseMetadata"]["HTTPHeaders"]
    assert read["Body"].read() == b"data"


def test_what_a_kms_key_encrypts_is_not_for_everyone(s3, anonymous, bucket):
    s3.delete_public_access_block(Bucket=bucket)
    policy = {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{bucket}/*",
            }
        ]
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    s3.put_object(Bucket=bucket, Key="s3", Body=b"data", **S3)
    s3.put_object(Bucket=bucket, Key="kms", Body=b"data", **KMS)
    assert anonymous.get_object(Bucket=bucket, Key="s3")["Body"].read() == b"data"
    assert refused(anonymous.get_object, Bucket=bucket, Key="kms") == (400, "InvalidArgument")


# Policies


@pytest.mark.parametrize(
    ("condition", "refused_by", "allowed_by"),
    [
        ({"StringNotEquals": {f"s3:{SSE}": "AES256"}}, {}, S3),
        ({"StringNotEqualsIfExists": {f"s3:{SSE}": "aws:kms"}}, S3, NAMED),
        ({"StringNotEquals": {f"s3:{SSE}-aws-kms-key-id": KMS_KEY}}, KMS, NAMED),
        ({"Null": {f"s3:{SSE}-customer-algorithm": "true"}}, S3, customer(KEY_A)),
        ({"Null": {f"s3:{SSE}-customer-algorithm": "false"}}, customer(KEY_A), S3),
    ],
)
def test_policies_can_ask_for_encryption(s3, bucket, condition, refused_by, allowed_by):
    policy = {
        "Statement": [
            {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:PutObject",
                "Resource": f"arn:aws:s3:::{bucket}/*",
                "Condition": condition,
            }
        ]
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    call = {"Bucket": bucket, "Key": "k", "Body": b"x"}
    assert refused(s3.put_object, **call, **refused_by) == (403, "AccessDenied")
    s3.put_object(**call, **allowed_by)


# Settings


def test_a_server_may_encrypt_by_default_as_aws_does(tmp_path):
    settings = {"OBJSTORE_DEFAULT_ENCRYPTION": "AES256", "OBJSTORE_SSE_C_BLOCKED": "true"}
    settings["OBJSTORE_SSE_C_OVER_HTTP"] = "true"
    server = Server(tmp_path, workers=1, environment=settings).start()
    try:
        with closing(server.client()) as s3:
            s3.create_bucket(Bucket="bucket")
            fresh = {
                "ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"},
                "BucketKeyEnabled": False,
                "BlockedEncryptionTypes": {"EncryptionType": ["SSE-C"]},
            }

            def rules():
                found = s3.get_bucket_encryption(Bucket="bucket")
                return found["ServerSideEncryptionConfiguration"]["Rules"]

            assert rules() == [fresh]
            put = {"Bucket": "bucket", "Key": "k", "Body": b"data"}
            assert s3.put_object(**put)["ServerSideEncryption"] == "AES256"
            assert s3.get_object(Bucket="bucket", Key="k")["Body"].read() == b"data"
            assert refused(s3.put_object, **put, **customer(KEY_A)) == (403, "AccessDenied")
            s3.put_bucket_encryption(
                Bucket="bucket",
                ServerSideEncryptionConfiguration={
                    "Rules": [{"BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}]
                },
            )
            assert rules() == [{**fresh, "BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}}]
            s3.put_object(**put, **customer(KEY_A))
            s3.delete_bucket_encryption(Bucket="bucket")
            assert rules() == [fresh]
    finally:
        server.stop()
