"""Clients of S3 Control, which boto would look for at a host of the account's own."""

import re
from typing import Any

import boto3
from botocore.config import Config

from tests.support.server import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

ACCOUNT = "123456789012"


def client(server: Server, access_key: str = ROOT_ACCESS_KEY, secret_key: str = ROOT_SECRET_KEY) -> Any:
    """A boto3 client of S3 Control for this server."""
    made = boto3.session.Session().client(
        "s3control",
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(retries={"max_attempts": 1}),
    )
    made.meta.events.register("before-sign.s3-control", _without_account_in_host)
    return made


def _without_account_in_host(request: Any, **_: Any) -> None:
    request.url = re.sub(r"//[0-9]{12}\.", "//", request.url)


def about(bucket: str) -> dict[str, str]:
    """The arguments that name a bucket."""
    return {"AccountId": ACCOUNT, "ResourceArn": f"arn:aws:s3:::{bucket}"}


def tags(**pairs: str) -> list[dict[str, str]]:
    """Tags as S3 Control takes them."""
    return [{"Key": key, "Value": value} for key, value in pairs.items()]
