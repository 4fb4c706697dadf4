"""{Put,Get,List,Delete}Bucket{Analytics,IntelligentTiering,Inventory,Metrics}Configuration(s)."""

import pytest
from botocore.exceptions import ClientError

from tests.operations.configurations import ARGUMENTS, FAMILIES, get, put
from tests.operations.refusals import refused

every_family = pytest.mark.parametrize("family", sorted(FAMILIES))


def code_of(exc: ClientError) -> str:
    return str(exc.response["Error"]["Code"])


@every_family
def test_what_was_put_comes_back(s3, bucket, family):
    put(s3, family, bucket)
    assert get(s3, family, bucket, "report") == FAMILIES[family]


@every_family
def test_putting_again_replaces(s3, bucket, family):
    put(s3, family, bucket)
    changed = {"IsEnabled": False} if family == "inventory" else {"Filter": {"Prefix": "other/"}}
    put(s3, family, bucket, **changed)
    assert get(s3, family, bucket, "report") == {**FAMILIES[family], **changed}


@every_family
def test_none_of_that_id(s3, bucket, family):
    getter = getattr(s3, f"get_bucket_{family}_configuration")
    remover = getattr(s3, f"delete_bucket_{family}_configuration")
    assert refused(getter, Bucket=bucket, Id="none") == (404, "NoSuchConfiguration")
    assert refused(remover, Bucket=bucket, Id="none") == (404, "NoSuchConfiguration")


@every_family
def test_deleted_ones_are_gone(s3, bucket, family):
    put(s3, family, bucket)
    put(s3, family, bucket, Id="other")
    remove = getattr(s3, f"delete_bucket_{family}_configuration")
    assert remove(Bucket=bucket, Id="report")["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(ClientError) as caught:
        get(s3, family, bucket, "report")
    assert code_of(caught.value) == "NoSuchConfiguration"
    assert get(s3, family, bucket, "other")["Id"] == "other"


@every_family
def test_lists_are_by_id_and_paged(s3, bucket, family):
    ids = [f"c{number:03}" for number in range(103)]
    for configuration_id in reversed(ids):
        put(s3, family, bucket, Id=configuration_id)
    lister = getattr(s3, f"list_bucket_{family}_configurations")
    listed, token, pages = [], {}, 0
    while True:
        page = lister(Bucket=bucket, **token)
        listed += [one["Id"] for one in page[f"{ARGUMENTS[family]}List"]]
        pages += 1
        if not page["IsTruncated"]:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert (listed, pages) == (ids, 2)
    assert refused(lister, Bucket=bucket, ContinuationToken="junk") == (400, "InvalidArgument")


@every_family
def test_an_empty_list(s3, bucket, family):
    answer = getattr(s3, f"list_bucket_{family}_configurations")(Bucket=bucket)
    assert answer["IsTruncated"] is False
    assert f"{ARGUMENTS[family]}List" not in answer


BAD = [
    ("analytics", {"Id": "a b"}, "InvalidConfigurationId"),
    ("metrics", {"Id": "x" * 65}, "InvalidConfigurationId"),
    ("metrics", {"Filter": {"Prefix": "a", "Tag": {"Key": "k", "Value": "v"}}}, "MalformedXML"),
    ("metrics", {"Filter": {"And": {"Prefix": "a"}}}, "MalformedXML"),
    ("analytics", {"Filter": {"And": {"Tags": [{"Key": "k", "Value": "v"}]}}}, "MalformedXML"),
    ("intelligent_tiering", {"Status": "Maybe"}, "MalformedXML"),
    (
        "intelligent_tiering",
        {"Tierings": [{"Days": 30, "AccessTier": "ARCHIVE_ACCESS"}]},
        "InvalidArgument",
    ),
    (
        "intelligent_tiering",
        {"Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}] * 2},
        "MalformedXML",
    ),
    ("inventory", {"Schedule": {"Frequency": "Hourly"}}, "MalformedXML"),
    ("inventory", {"OptionalFields": ["Nothing"]}, "MalformedXML"),
    (
        "inventory",
        {"Destination": {"S3BucketDestination": {"Bucket": "reports", "Format": "CSV"}}},
        "InvalidArgument",
    ),
]


@pytest.mark.parametrize(("family", "changes", "code"), BAD)
def test_a_configuration_that_cannot_be(s3, bucket, family, changes, code):
    with pytest.raises(ClientError) as caught:
        put(s3, family, bucket, **changes)
    assert code_of(caught.value) == code


def test_the_ids_in_query_and_document_are_the_same(s3, bucket):
    call = s3.put_bucket_metrics_configuration
    assert refused(call, Bucket=bucket, Id="a", MetricsConfiguration={"Id": "b"}) == (400, "InvalidArgument")


@every_family
def test_other_people_may_not(s3, other, bucket, family):
    lister = getattr(other, f"list_bucket_{family}_configurations")
    assert refused(lister, Bucket=bucket) == (403, "AccessDenied")
    with pytest.raises(ClientError) as caught:
        put(other, family, bucket)
    assert code_of(caught.value) == "AccessDenied"
