"""What IAM's, STS' and SNS' clients send to `/`: refused at once, so that they neither wait nor try again."""

import time
from contextlib import closing
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.operations.requests import send
from tests.support.server import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

AT_ONCE_S = 5.0


@pytest.mark.parametrize(
    ("service", "call", "arguments"),
    [
        ("iam", "create_user", {"UserName": "somebody"}),
        ("iam", "list_roles", {}),
        ("sts", "get_caller_identity", {}),
        ("sts", "assume_role", {"RoleArn": "arn:aws:iam::123456789012:role/r", "RoleSessionName": "session"}),
        ("sns", "create_topic", {"Name": "topic"}),
    ],
)
def test_actions_of_other_services(
    server: Server, service: str, call: str, arguments: dict[str, Any]
) -> None:
    made = boto3.session.Session().client(
        service,
        endpoint_url=server.endpoint,
        region_name=REGION,
        aws_access_key_id=ROOT_ACCESS_KEY,
        aws_secret_access_key=ROOT_SECRET_KEY,
        config=Config(retries={"max_attempts": 0}),
    )
    began = time.monotonic()
    with closing(made) as client, pytest.raises(ClientError) as caught:
        getattr(client, call)(**arguments)
    assert 400 <= caught.value.response["ResponseMetadata"]["HTTPStatusCode"] < 500
    assert time.monotonic() - began < AT_ONCE_S


@pytest.mark.parametrize("is_signed", [True, False])
@pytest.mark.parametrize("query", [{"Action": "ListUsers", "Version": "2010-05-08"}, None])
def test_whoever_signs_them_wherever_the_action_stands(s3: Any, query: Any, is_signed: bool) -> None:
    answer = send(s3, "POST", "", query=query, body=b"Action=ListUsers", is_signed=is_signed)
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
