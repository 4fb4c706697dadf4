"""A server of a region that is not us-east-1, which accepts two further ones."""

import socket
from contextlib import closing

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.operations.refusals import refused
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

OWN, FURTHER = "eu-central-1", "eu-west-1"


@pytest.fixture(scope="module")
def abroad(tmp_path_factory):
    options = ["--region", OWN, "--other-regions", FURTHER, "--domains", "s3.localhost"]
    options += ["--erasure", "1+0"]
    running = Server(tmp_path_factory.mktemp("abroad"), drive_count=1, workers=1, options=options).start()
    try:
        yield running
    finally:
        assert running.stop() == 0, running.log_tail()


def client(server, region, endpoint=None, **config):
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint or server.endpoint,
        region_name=region,
        aws_access_key_id=ROOT_ACCESS_KEY,
        aws_secret_access_key=ROOT_SECRET_KEY,
        config=Config(retries={"max_attempts": 0}, **config),
    )


@pytest.mark.parametrize("region", [OWN, FURTHER, "us-east-1"])
def test_requests_may_be_signed_for(abroad, region):
    with closing(client(abroad, region)) as s3:
        assert "Owner" in s3.list_buckets()


def test_requests_signed_for_another_region_are_told_which(abroad, bucket_name):
    with closing(client(abroad, OWN)) as s3:
        s3.create_bucket(Bucket=bucket_name, CreateBucketConfiguration={"LocationConstraint": OWN})
    with closing(client(abroad, "ap-south-1")) as s3:
        s3.meta.events.unregister("needs-retry.s3.*")
        with pytest.raises(s3.exceptions.ClientError) as caught:
            s3.list_buckets()
    error = caught.value.response["Error"]
    assert (error["Code"], error["Region"]) == ("AuthorizationHeaderMalformed", OWN)


@pytest.mark.parametrize(
    ("constraint", "region", "told"),
    [(None, OWN, OWN), (OWN, OWN, OWN), (FURTHER, FURTHER, FURTHER), ("us-east-1", "us-east-1", None)],
)
def test_where_buckets_may_lie(abroad, bucket_name, constraint, region, told):
    wanted = {} if constraint is None else {"CreateBucketConfiguration": {"LocationConstraint": constraint}}
    with closing(client(abroad, OWN)) as s3:
        s3.create_bucket(Bucket=bucket_name, **wanted)
        assert s3.head_bucket(Bucket=bucket_name)["BucketRegion"] == region
        assert s3.get_bucket_location(Bucket=bucket_name)["LocationConstraint"] == told
        listed = s3.list_buckets(BucketRegion=region)["Buckets"]
        assert (bucket_name, region) in [(one["Name"], one["BucketRegion"]) for one in listed]
        if region == "us-east-1":
            s3.create_bucket(Bucket=bucket_name, **wanted)
        else:
            again = refused(s3.create_bucket, Bucket=bucket_name, **wanted)
            assert again == (409, "BucketAlreadyOwnedByYou")


def test_logs_go_to_the_same_region(abroad, bucket_name):
    with closing(client(abroad, OWN)) as s3:
        s3.create_bucket(Bucket=bucket_name)
        far = {"LocationConstraint": FURTHER}
        s3.create_bucket(Bucket=f"{bucket_name}-far", CreateBucketConfiguration=far)
        wanted = {"LoggingEnabled": {"TargetBucket": f"{bucket_name}-far", "TargetPrefix": ""}}
        with pytest.raises(ClientError) as caught:
            s3.put_bucket_logging(Bucket=bucket_name, BucketLoggingStatus=wanted)
    error = caught.value.response["Error"]
    assert error["Code"] == "CrossLocationLoggingProhibitted"  # sic
    assert (error["SourceBucketLocation"], error["TargetBucketLocation"]) == (OWN, FURTHER)


def test_a_region_that_is_not_accepted(abroad, bucket_name):
    wanted = {"LocationConstraint": "ap-south-1"}
    with closing(client(abroad, OWN)) as s3:
        status, code = refused(s3.create_bucket, Bucket=bucket_name, CreateBucketConfiguration=wanted)
    assert (status, code) == (400, "IllegalLocationConstraintException")


@pytest.mark.parametrize("host", ["s3.localhost", f"s3.{OWN}.localhost", f"s3.dualstack.{OWN}.localhost"])
def test_buckets_are_hosts_of_the_domain_and_its_regional_forms(abroad, monkeypatch, bucket_name, host):
    resolve = socket.getaddrinfo

    def local(name, *rest, **options):
        return resolve("127.0.0.1" if str(name).endswith(".localhost") else name, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", local)
    with closing(client(abroad, OWN)) as s3:
        s3.create_bucket(Bucket=bucket_name)
    with closing(
        client(abroad, OWN, f"http://{host}:{abroad.port}", s3={"addressing_style": "virtual"})
    ) as s3:
        s3.put_object(Bucket=bucket_name, Key="key", Body=b"body")
        assert s3.get_object(Bucket=bucket_name, Key="key")["Body"].read() == b"body"
        assert bucket_name in [one["Name"] for one in s3.list_buckets()["Buckets"]]
