"""A real server on a free port over six directories, and boto3 clients for it."""

import itertools
import os
import random
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.support.mfa import Devices
from tests.support.server import Server


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Servers of tests note what they serve there, not in the home directory of whoever runs the tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


_bucket_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server (two workers, six drives) that the whole session shares; tests do not stop it."""
    running = Server(
        tmp_path_factory.mktemp("server"), environment={"OBJSTORE_SSE_C_OVER_HTTP": "true"}
    ).start()
    try:
        yield running
    finally:
        assert running.stop() == 0, running.log_tail()


@pytest.fixture(scope="session")
def s3(server: Server) -> Iterator[Any]:
    """Root's boto3 client."""
    with closing(server.client()) as client:
        yield client


@pytest.fixture(scope="session")
def other_user(server: Server) -> dict[str, Any]:
    """A second user, who owns nothing at first: the JSON of `objstore user add`."""
    return server.make_user("other")


@pytest.fixture(scope="session")
def other(server: Server, other_user: dict[str, Any]) -> Iterator[Any]:
    """The boto3 client of the second user."""
    with closing(server.client(other_user["access_key"], other_user["secret_key"])) as client:
        yield client


@pytest.fixture(scope="session")
def other_id(other: Any) -> str:
    """The second user's canonical id."""
    owner: str = other.list_buckets()["Owner"]["ID"]
    return owner


@pytest.fixture(scope="session")
def root_id(s3: Any) -> str:
    """Root's canonical id."""
    owner: str = s3.list_buckets()["Owner"]["ID"]
    return owner


@pytest.fixture(scope="session")
def devices(server: Server) -> Devices:
    """Root's devices."""
    return Devices(server, "root", 6)


@pytest.fixture(scope="session")
def anonymous(server: Server) -> Iterator[Any]:
    """A boto3 client that signs nothing."""
    from botocore import UNSIGNED

    with closing(server.client(signature_version=UNSIGNED)) as client:
        yield client


@pytest.fixture
def bucket_name() -> str:
    """A bucket name no other test uses."""
    return f"test-{os.getpid()}-{next(_bucket_numbers)}"


@pytest.fixture
def bucket(s3: Any, bucket_name: str) -> str:
    """The name of a fresh bucket of root's. It is left behind: the session's server is thrown away."""
    s3.create_bucket(Bucket=bucket_name)
    return bucket_name


@pytest.fixture
def seeded(request: pytest.FixtureRequest) -> random.Random:
    """A random generator whose seed is printed; OBJSTORE_TEST_SEED repeats a run."""
    seed = int(os.environ.get("OBJSTORE_TEST_SEED", "0")) or random.SystemRandom().getrandbits(32)
    print(f"seed of {request.node.name}: {seed} (OBJSTORE_TEST_SEED={seed})")
    return random.Random(seed)
