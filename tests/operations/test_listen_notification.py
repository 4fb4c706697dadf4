"""ListenNotification, ListenBucketNotification: events as they happen, on an open connection."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from minio import Minio

from tests.support.server import REGION, ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

WITHIN_S = 15.0
EVENTS = "events=s3:ObjectCreated:*&events=s3:ObjectRemoved:*"


class Ear:
    """A raw connection that listens; `records` are those that came, in order."""

    def __init__(self, server: Server, path: str, keys: tuple[str, str] | None = None) -> None:
        path = path.replace(":", "%3A").replace("*", "%2A")  # as signed
        access_key, secret_key = keys or (ROOT_ACCESS_KEY, ROOT_SECRET_KEY)
        request = AWSRequest("GET", f"{server.endpoint}{path}")
        S3SigV4Auth(Credentials(access_key, secret_key), "s3", REGION).add_auth(request)
        headers = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self._socket.sendall(
            f"GET {path} HTTP/1.0\r\nhost: 127.0.0.1:{server.port}\r\n{headers}\r\n".encode()
        )
        self._file = self._socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(":")
            self.headers[name] = value.strip()

    def lines(self) -> Iterator[dict[str, Any]]:
        deadline = time.monotonic() + WITHIN_S
        line = b""
        while piece := self._file.read1(65536):
            line += piece
            *whole, line = line.split(b"\n")
            yield from map(json.loads, whole)
            assert time.monotonic() < deadline, "nothing more comes but signs of life"

    def take(self, count: int) -> list[tuple[str, str]]:
        """Event name and key of the next records."""
        found: list[tuple[str, str]] = []
        for document in self.lines():
            found += [
                (each["eventName"].removeprefix("s3:"), each["s3"]["object"]["key"])
                for each in document["Records"]
            ]
            if len(found) >= count:
                return found
        raise AssertionError(f"the stream ended after {found}")

    def read(self) -> bytes:
        return self._file.read()

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def listen(server: Server) -> Iterator[Any]:
    with contextlib.ExitStack() as stack:

        def made(path: str, **given: Any) -> Ear:
            ear = Ear(server, path, **given)
            stack.callback(ear.close)
            return ear

        yield made


def test_what_happens_in_a_bucket_is_heard_in_order_from_every_worker(s3, bucket, server, listen):
    ears = [listen(f"/{bucket}?{EVENTS}") for _ in range(4)]  # on both workers, as the kernel likes
    assert {ear.status for ear in ears} == {200}
    assert ears[0].headers["content-type"] == "text/event-stream"
    expected = []
    for number in range(10):
        s3.put_object(Bucket=bucket, Key=f"a ü{number % 2}", Body=b"x")  # boto3 takes new connections, too
        expected.append(("ObjectCreated:Put", f"a+%C3%BC{number % 2}"))
    s3.delete_object(Bucket=bucket, Key="a ü0")
    s3.delete_object(Bucket=bucket, Key="nothing")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/a ü1")
    expected += [("ObjectRemoved:Delete", "a+%C3%BC0"), ("ObjectCreated:Copy", "copy")]
    for ear in ears:
        assert ear.take(len(expected)) == expected


def test_a_record_is_the_one_that_targets_get_with_names_as_minio_writes_them(s3, bucket, listen):
    ear = listen(f"/{bucket}?{EVENTS}")
    answer = s3.put_object(Bucket=bucket, Key="in/a b", Body=b"12345")
    (record,) = next(ear.lines())["Records"]
    assert record["eventName"] == "s3:ObjectCreated:Put"
    assert record["s3"]["object"]["key"] == "in%2Fa+b"
    assert record["eventSource"] == "aws:s3" and record["eventVersion"] == "2.1"
    assert record["responseElements"]["x-amz-request-id"] == answer["ResponseMetadata"]["RequestId"]
    assert record["s3"]["bucket"]["name"] == bucket
    about = record["s3"]["object"]
    assert (about["size"], about["eTag"]) == (5, answer["ETag"].strip('"'))
    assert int(about["sequencer"], 16)


def test_filters(s3, bucket, server, listen):
    ear = listen(f"/{bucket}?events=s3:ObjectCreated:Put&prefix=in%2F&suffix=.jpg")
    for key in ("out/a.jpg", "in/a.png", "in/a.jpg"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    s3.delete_object(Bucket=bucket, Key="in/a.jpg")
    s3.put_object(Bucket=bucket, Key="in/b.jpg", Body=b"")
    assert ear.take(2) == [("ObjectCreated:Put", "in%2Fa.jpg"), ("ObjectCreated:Put", "in%2Fb.jpg")]


def test_what_was_refused_is_not_heard(s3, bucket, listen):
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    ear = listen(f"/{bucket}?{EVENTS}")
    with pytest.raises(s3.exceptions.ClientError):
        s3.put_object(Bucket=bucket, Key="a", Body=b"", IfNoneMatch="*")
    s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "none"}, {"Key": "a"}]})
    assert ear.take(1) == [("ObjectRemoved:Delete", "a")]


def test_all_buckets_are_heard_by_those_who_may(s3, other, server, bucket, bucket_name, listen):
    credentials = other._request_signer._credentials
    ear = listen(f"/?{EVENTS}", keys=(credentials.access_key, credentials.secret_key))
    everything = listen(f"/?{EVENTS}")
    theirs = f"{bucket}-theirs"
    other.create_bucket(Bucket=theirs)
    s3.put_object(Bucket=bucket, Key="secret", Body=b"")
    other.put_object(Bucket=theirs, Key="mine", Body=b"")
    assert ear.take(1) == [("ObjectCreated:Put", "mine")]
    assert everything.take(2)[-2:] == [("ObjectCreated:Put", "secret"), ("ObjectCreated:Put", "mine")]


def test_who_may_listen(s3, other, server, bucket, listen):
    credentials = other._request_signer._credentials
    keys = (credentials.access_key, credentials.secret_key)
    refused = listen(f"/{bucket}?{EVENTS}", keys=keys)
    assert refused.status == 403 and b"<Code>AccessDenied</Code>" in refused.read()
    statement = {
        "Effect": "Allow",
        "Principal": {"CanonicalUser": other.list_buckets()["Owner"]["ID"]},
        "Action": "s3:ListenBucketNotification",
        "Resource": f"arn:aws:s3:::{bucket}",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    ear = listen(f"/{bucket}?{EVENTS}", keys=keys)
    assert ear.status == 200
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    assert ear.take(1) == [("ObjectCreated:Put", "a")]
    s3.delete_bucket_policy(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="b", Body=b"")
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    s3.put_object(Bucket=bucket, Key="c", Body=b"")
    assert ear.take(1) == [("ObjectCreated:Put", "c")]


def test_anonymous_may_not(server, bucket):
    for path in (f"/{bucket}?{EVENTS}", f"/?{EVENTS}"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as raw:
            raw.sendall(f"GET {path} HTTP/1.0\r\nhost: x\r\n\r\n".encode())
            assert raw.recv(100).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("events=", "InvalidArgument"),
        ("events", "InvalidArgument"),
        ("events=s3:ObjectCreated:Junk", "InvalidArgument"),
        ("events=s3:ObjectCreated:*&events=junk", "InvalidArgument"),
        ("events=s3:ObjectCreated:*&ping=0", "InvalidArgument"),
        ("events=s3:ObjectCreated:*&ping=x", "InvalidArgument"),
        ("events=s3:ObjectCreated:*&ping=-1", "InvalidArgument"),
        (f"events=s3:ObjectCreated:*&prefix={'x' * 1025}", "InvalidArgument"),
        (f"events=s3:ObjectCreated:*&suffix={'x' * 1025}", "InvalidArgument"),
        ("events=s3:ObjectCreated:*&prefix=a&prefix=b", "InvalidArgument"),
        ("events=s3:ObjectCreated:*&acl", "NotImplemented"),
    ],
)
def test_what_cannot_be_listened_to(bucket, listen, query, code):
    refused = listen(f"/{bucket}?{query}")
    assert refused.status == (501 if code == "NotImplemented" else 400)
    assert f"<Code>{code}</Code>".encode() in refused.read()


def test_a_bucket_that_is_not_there(bucket_name, listen):
    assert b"<Code>NoSuchBucket</Code>" in listen(f"/{bucket_name}?{EVENTS}").read()


def test_signs_of_life(bucket, listen):
    ear = listen(f"/{bucket}?{EVENTS}")
    assert ear._file.read(2) == b"  "
    pinged = listen(f"/{bucket}?{EVENTS}&ping=1")
    assert next(pinged.lines()) == {"Records": []}


def test_a_listener_that_takes_nothing_slows_nobody_and_misses_events(s3, bucket, server, listen):
    ear = listen(f"/{bucket}?{EVENTS}")
    ear._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    awake = listen(f"/{bucket}?{EVENTS}")
    slowest_s = 0.0
    for _ in range(50):
        began_s = time.monotonic()
        s3.put_object(Bucket=bucket, Key="a" * 500, Body=b"")
        slowest_s = max(slowest_s, time.monotonic() - began_s)
    assert len(awake.take(50)) == 50 and slowest_s < 5


def test_minio_py_listens(s3, bucket, server):
    client = Minio(f"127.0.0.1:{server.port}", ROOT_ACCESS_KEY, ROOT_SECRET_KEY, secure=False, region=REGION)
    found: list[tuple[str, str]] = []
    begun = threading.Event()

    def listen() -> None:
        with client.listen_bucket_notification(bucket, prefix="in/") as events:
            begun.set()
            for event in events:
                found.extend((each["eventName"], each["s3"]["object"]["key"]) for each in event["Records"])
                if len(found) >= 2:
                    return

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    begun.wait(10)
    deadline = time.monotonic() + 20
    while not found and time.monotonic() < deadline:  # it connects with its first look
        s3.put_object(Bucket=bucket, Key="in/a", Body=b"")
        time.sleep(0.1)
    s3.delete_object(Bucket=bucket, Key="in/a")
    listening.join(20)
    assert not listening.is_alive()
    expected = {("s3:ObjectCreated:Put", "in%2Fa"), ("s3:ObjectRemoved:Delete", "in%2Fa")}
    assert set(found) <= expected and len(found) >= 2


def test_listeners_end_with_the_server_and_with_its_ledger_they_do_not(tmp_path):
    running = Server(tmp_path).start()
    try:
        client = running.client()
        client.create_bucket(Bucket="abc")
        ears = [Ear(running, f"/abc?{EVENTS}") for _ in range(4)]
        (ledger,) = running.children()["ledger"]
        os.kill(ledger, signal.SIGKILL)
        deadline = time.monotonic() + 20
        heard: list[dict[str, Any]] = []

        def hear() -> None:
            heard.extend(next(ears[0].lines())["Records"])

        hearing = threading.Thread(target=hear, daemon=True)
        hearing.start()
        while not heard and time.monotonic() < deadline:
            with contextlib.suppress(Exception):
                client.put_object(Bucket="abc", Key="a", Body=b"")
            time.sleep(0.1)
        assert heard
        began_s = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began_s < 15, "the drain waited for listeners"
        for ear in ears:
            ear.read()
            ear.close()
    finally:
        if running.process is not None:
            running.kill()
