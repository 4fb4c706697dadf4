"""PutBucketWebsite, GetBucketWebsite, DeleteBucketWebsite."""

import pytest

from tests.operations.refusals import refused

FULL = {
    "IndexDocument": {"Suffix": "index.html"},
    "ErrorDocument": {"Key": "error.html"},
    "RoutingRules": [
        {
            "Condition": {"KeyPrefixEquals": "docs/", "HttpErrorCodeReturnedEquals": "404"},
            "Redirect": {
                "HostName": "example.org",
                "Protocol": "https",
                "HttpRedirectCode": "302",
                "ReplaceKeyPrefixWith": "documents/",
            },
        }
    ],
}


def with_rule(condition=None, **redirect):
    rule = {"Redirect": redirect, **({"Condition": condition} if condition is not None else {})}
    return {"IndexDocument": {"Suffix": "index.html"}, "RoutingRules": [rule]}


def test_put_get_delete(s3, bucket):
    absent = (404, "NoSuchWebsiteConfiguration")
    assert refused(s3.get_bucket_website, Bucket=bucket) == absent
    away = {"RedirectAllRequestsTo": {"HostName": "example.org", "Protocol": "https"}}
    for wanted in (FULL, away, {"IndexDocument": {"Suffix": "index.html"}}):
        s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration=wanted)
        answer = s3.get_bucket_website(Bucket=bucket)
        assert {name: answer[name] for name in answer if name != "ResponseMetadata"} == wanted
    for _ in range(2):
        assert s3.delete_bucket_website(Bucket=bucket)["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert refused(s3.get_bucket_website, Bucket=bucket) == absent


BAD = [
    ({}, "InvalidArgument"),
    ({"ErrorDocument": {"Key": "e"}}, "InvalidArgument"),
    ({"IndexDocument": {"Suffix": "a/b"}}, "InvalidArgument"),
    ({"IndexDocument": {"Suffix": ""}}, "InvalidArgument"),
    ({**FULL, "RedirectAllRequestsTo": {"HostName": "example.org"}}, "InvalidArgument"),
    ({"RedirectAllRequestsTo": {"HostName": "a/b"}}, "InvalidArgument"),
    ({"RedirectAllRequestsTo": {"HostName": "h", "Protocol": "ftp"}}, "InvalidRequest"),
    (with_rule(Protocol="ftp"), "InvalidRequest"),
    (with_rule(), "MalformedXML"),
    (with_rule({}, HostName="h"), "InvalidRequest"),
    (with_rule({"HttpErrorCodeReturnedEquals": "200"}, HostName="h"), "InvalidRequest"),
    (with_rule({"HttpErrorCodeReturnedEquals": "x"}, HostName="h"), "InvalidRequest"),
    (with_rule(HttpRedirectCode="200"), "InvalidRequest"),
    (with_rule(ReplaceKeyWith="a", ReplaceKeyPrefixWith="b"), "InvalidRequest"),
    ({**FULL, "RoutingRules": FULL["RoutingRules"] * 51}, "InvalidRequest"),
]


@pytest.mark.parametrize(("wanted", "code"), BAD)
def test_a_document_that_cannot_be(s3, bucket, wanted, code):
    call = s3.put_bucket_website
    assert refused(call, Bucket=bucket, WebsiteConfiguration=wanted) == (400, code)


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_website, Bucket=bucket) == (403, "AccessDenied")
        assert refused(client.delete_bucket_website, Bucket=bucket) == (403, "AccessDenied")
