"""PutBucketLogging, GetBucketLogging."""

from tests.operations.refusals import refused


def test_what_was_put_comes_back_and_an_empty_document_removes_it(s3, bucket):
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)
    wanted = {
        "TargetBucket": bucket,
        "TargetPrefix": "logs/",
        "TargetObjectKeyFormat": {"PartitionedPrefix": {"PartitionDateSource": "EventTime"}},
    }
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": wanted})
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == wanted
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={})
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)


def test_the_target_must_be_a_bucket_of_the_same_owner(s3, other, bucket, bucket_name):
    def put(target: str) -> tuple[int, str]:
        wanted = {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": ""}}
        return refused(s3.put_bucket_logging, Bucket=bucket, BucketLoggingStatus=wanted)

    assert put("no-such-bucket-anywhere") == (400, "InvalidTargetBucketForLogging")
    other.create_bucket(Bucket=f"{bucket_name}-others")
    assert put(f"{bucket_name}-others") == (400, "InvalidTargetBucketForLogging")


def test_rights_to_the_acl_may_be_among_the_grants(s3, bucket):
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )
    logs = 'uri="http://acs.amazonaws.com/groups/s3/LogDelivery"'
    s3.put_bucket_acl(Bucket=bucket, GrantWrite=logs, GrantReadACP=logs)
    group = {"Type": "Group", "URI": logs[5:-1]}
    grants = [{"Grantee": group, "Permission": right} for right in ("WRITE", "READ_ACP")]
    wanted = {"TargetBucket": bucket, "TargetPrefix": "", "TargetGrants": grants}
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": wanted})
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == wanted


def test_both_forms_of_keys_at_once(s3, bucket):
    both = {"SimplePrefix": {}, "PartitionedPrefix": {"PartitionDateSource": "EventTime"}}
    wanted = {"LoggingEnabled": {"TargetBucket": bucket, "TargetPrefix": "", "TargetObjectKeyFormat": both}}
    assert refused(s3.put_bucket_logging, Bucket=bucket, BucketLoggingStatus=wanted) == (400, "MalformedXML")


def test_documents_that_cannot_be(s3, bucket):
    def put(**enabled: object) -> tuple[int, str]:
        wanted = {"TargetBucket": bucket, "TargetPrefix": "", **enabled}
        return refused(s3.put_bucket_logging, Bucket=bucket, BucketLoggingStatus={"LoggingEnabled": wanted})

    someone = {"Type": "CanonicalUser", "ID": "a" * 64}
    assert put(TargetGrants=[{"Grantee": someone, "Permission": "WRITE_ACP"}]) == (400, "MalformedXML")
    assert put(TargetGrants=[{"Grantee": someone}]) == (400, "MalformedXML")
    assert put(TargetObjectKeyFormat={}) == (400, "MalformedXML")
    source = {"PartitionedPrefix": {"PartitionDateSource": "SomeTime"}}
    assert put(TargetObjectKeyFormat=source) == (400, "MalformedXML")


def test_other_people_may_not(s3, other, bucket):
    assert refused(other.get_bucket_logging, Bucket=bucket) == (403, "AccessDenied")
    assert refused(other.put_bucket_logging, Bucket=bucket, BucketLoggingStatus={}) == (403, "AccessDenied")
