"""Documents cannot lie: what is generated from the code is up to date."""

from pathlib import Path

import pytest

from tests.support.documents import ROOT, generated


@pytest.mark.parametrize("path", sorted(generated()), ids=lambda path: str(path.relative_to(ROOT)))
def test_generated_document_is_up_to_date(path: Path) -> None:
    assert path.read_text() == generated()[path], f"run `make docs` to write {path.relative_to(ROOT)} anew"
