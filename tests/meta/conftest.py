"""Fixtures for tests of the metadata engine."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A directory in memory where there is one: for tests that sync often and lose power never."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="test-objstore-meta-", dir=memory))
    yield path
    shutil.rmtree(path)
