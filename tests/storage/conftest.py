"""Every test here makes drives of 256 directories each: they are removed at once, not by a later session."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_drives_left(tmp_path: Path) -> Iterator[None]:
    yield
    for entry in tmp_path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
