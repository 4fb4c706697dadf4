"""Another S3 server, written by others: moto, in a thread of this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

ACCESS_KEY = "TESTMOTOACCESSKEY001"
SECRET_KEY = "test-moto-secret-key"
REGION = "us-east-1"


class Moto:
    """A running moto; `url` is where."""

    def __init__(self, url: str) -> None:
        self.url = url

    def client(self) -> Any:
        """A boto3 client of it."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )


@contextmanager
def running_moto() -> Iterator[Moto]:
    """moto on a free port, until the end of the block."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Moto(f"http://{host}:{port}")
    finally:
        server.stop()
