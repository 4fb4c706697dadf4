"""Metrics configurations of buckets count what they say they count, and nothing once they are gone."""

import re
import time
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError

from objstore.s3.documents.metrics import And, Filter, MetricsConfiguration
from objstore.s3.documents.tagging import Tag
from objstore.service.watches import is_counted
from tests.support.server import Server

TAG = Tag(key="team", value="a")
SAMPLE = re.compile(r"objstore_bucket_(\w+)\{([^}]*)\} (\S+)")


def configure(s3: Any, bucket: str, name: str, wanted: dict[str, Any] | None = None) -> None:
    document = {"Id": name} if wanted is None else {"Id": name, "Filter": wanted}
    s3.put_bucket_metrics_configuration(Bucket=bucket, Id=name, MetricsConfiguration=document)


def samples(server: Server, bucket: str) -> dict[tuple[str, ...], float]:
    """What the page says of a bucket: metric, filter, further label → value."""
    with urllib.request.urlopen(f"{server.endpoint}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = {}
    for name, labels, value in SAMPLE.findall(text):
        named = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        if named.pop("bucket") == bucket and "le" not in named:
            found[(name, named.pop("filter"), *named.values())] = float(value)
    return found


def counted(server: Server, bucket: str, name: str) -> dict[str, float]:
    """Requests by kind, as soon as the counts stand still: a request is counted after its answer."""
    before: dict[str, float] = {}
    for _ in range(50):
        time.sleep(0.05)
        found = {
            key[2]: value
            for key, value in samples(server, bucket).items()
            if key[:2] == ("requests_total", name)
        }
        if found == before:
            return found
        before = found
    raise AssertionError(f"the counts do not stand still: {before}")


def test_everything_of_a_bucket_by_kind(server, s3, bucket):
    configure(s3, bucket, "whole")
    s3.put_object(Bucket=bucket, Key="a", Body=b"x" * 1000)
    s3.put_object(Bucket=bucket, Key="b", Body=b"x")
    s3.get_object(Bucket=bucket, Key="a")["Body"].read()
    s3.head_object(Bucket=bucket, Key="a")
    s3.list_objects_v2(Bucket=bucket)
    s3.list_object_versions(Bucket=bucket)
    s3.create_multipart_upload(Bucket=bucket, Key="m")
    s3.delete_object(Bucket=bucket, Key="b")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "a"}, {"Key": "c"}]})
    s3.get_bucket_versioning(Bucket=bucket)
    with pytest.raises(ClientError):
        s3.get_object(Bucket=bucket, Key="absent")
    kinds = counted(server, bucket, "whole")
    assert kinds.pop("other") >= 1  # and perhaps the configuration's own PUT
    assert kinds == {"put": 2, "get": 2, "head": 1, "list": 2, "post": 1, "delete": 2}
    shown = samples(server, bucket)
    assert shown["errors_total", "whole", "4xx"] == 1
    assert ("errors_total", "whole", "5xx") not in shown
    assert shown["uploaded_bytes_total", "whole"] >= 1001
    assert shown["downloaded_bytes_total", "whole"] >= 1000
    whole = sum(value for key, value in shown.items() if key[0] == "requests_total")
    assert shown["request_seconds_count", "whole"] == shown["first_byte_seconds_count", "whole"] == whole
    assert 0 <= shown["first_byte_seconds_sum", "whole"] <= shown["request_seconds_sum", "whole"]


def test_filters(server, s3, bucket):
    configure(s3, bucket, "logs", {"Prefix": "logs/"})
    configure(s3, bucket, "team", {"Tag": {"Key": "team", "Value": "a"}})
    both = {"And": {"Prefix": "logs/", "Tags": [{"Key": "team", "Value": "a"}]}}
    configure(s3, bucket, "both", both)
    s3.put_object(Bucket=bucket, Key="logs/1", Body=b"x", Tagging="team=a")
    s3.put_object(Bucket=bucket, Key="logs/2", Body=b"x", Tagging="team=b")
    s3.put_object(Bucket=bucket, Key="other", Body=b"x", Tagging="team=a&x=y")
    for key in ("logs/1", "logs/2", "other"):
        s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    s3.list_objects_v2(Bucket=bucket, Prefix="logs/")
    assert counted(server, bucket, "logs") == {"put": 2, "get": 2}
    assert counted(server, bucket, "team") == {"put": 2, "get": 2}
    assert counted(server, bucket, "both") == {"put": 1, "get": 1}


def test_a_configuration_that_is_gone_is_shown_no_more(server, s3, bucket):
    configure(s3, bucket, "kept")
    configure(s3, bucket, "gone")
    s3.head_bucket(Bucket=bucket)
    assert counted(server, bucket, "gone")["head"] == 1
    s3.delete_bucket_metrics_configuration(Bucket=bucket, Id="gone")
    s3.head_bucket(Bucket=bucket)
    assert counted(server, bucket, "kept")["head"] == 2
    assert not [key for key in samples(server, bucket) if key[1] == "gone"]
    s3.delete_bucket(Bucket=bucket)
    assert samples(server, bucket) == {}


def test_a_bucket_without_configurations_is_not_on_the_page(server, s3, bucket):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert samples(server, bucket) == {}


CASES = [
    (None, "", None, True),
    (None, "k", {}, True),
    (Filter(prefix="a/"), "a/b", None, True),
    (Filter(prefix="a/"), "b/a", None, False),
    (Filter(prefix="a/"), "", None, False),
    (Filter(tag=TAG), "k", {"team": "a", "x": "y"}, True),
    (Filter(tag=TAG), "k", {"team": "b"}, False),
    (Filter(tag=TAG), "k", None, False),
    (Filter(access_point_arn="arn:aws:s3:us-east-1:1:accesspoint/a"), "k", None, False),
    (Filter(and_=And(prefix="a", tags=(TAG,))), "ab", {"team": "a"}, True),
    (Filter(and_=And(prefix="a", tags=(TAG,))), "b", {"team": "a"}, False),
    (Filter(and_=And(prefix="a", tags=(TAG, Tag(key="x", value="y")))), "a", {"team": "a"}, False),
    (Filter(and_=And(prefix="a", access_point_arn="arn")), "a", {}, False),
]


@pytest.mark.parametrize(("wanted", "key", "tags", "expected"), CASES)
def test_what_a_filter_counts(wanted, key, tags, expected):
    assert is_counted(MetricsConfiguration(id="x", filter=wanted), key, tags) is expected
