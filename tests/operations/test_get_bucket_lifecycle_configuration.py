"""GetBucketLifecycleConfiguration."""

from tests.operations.refusals import refused

RULE = {"ID": "old", "Filter": {"Prefix": "logs/"}, "Status": "Enabled", "Expiration": {"Days": 30}}


def test_what_was_put_comes_back_with_the_size_it_moves_from(s3, bucket):
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [RULE]})
    answer = s3.get_bucket_lifecycle_configuration(Bucket=bucket)
    assert answer["Rules"] == [RULE]
    assert answer["TransitionDefaultMinimumObjectSize"] == "all_storage_classes_128K"


def test_a_rule_without_an_id_has_one_afterwards(s3, bucket):
    nameless = {name: value for name, value in RULE.items() if name != "ID"}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [nameless]})
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert rule.pop("ID")
    assert rule == nameless


def test_the_older_form_comes_back_as_it_was_put(s3, bucket):
    older = {"ID": "old", "Prefix": "logs/", "Status": "Disabled", "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [older]})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == [older]


def test_where_there_is_none(s3, bucket):
    call = s3.get_bucket_lifecycle_configuration
    assert refused(call, Bucket=bucket) == (404, "NoSuchLifecycleConfiguration")
    assert refused(call, Bucket="no-such-bucket-here") == (404, "NoSuchBucket")


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        call = client.get_bucket_lifecycle_configuration
        assert refused(call, Bucket=bucket) == (403, "AccessDenied")
