"""Every operation that is offered has a test file of its own, and no test file speaks of none."""

import re
from pathlib import Path
from typing import Final

from objstore.api.operations import OPERATIONS

DIRECTORY: Final = Path(__file__).parent / "operations"

NOT_OF_ONE_OPERATION: Final = {
    "test_documents_negative",
    "test_expected_owner",
    "test_fresh_bucket",
    "test_not_offered",
    "test_other_services",
    "test_payload_modes",
    "test_regions",
    "test_version_headers",
    "test_website",
    "test_yesterdays_s3",
}
"""What several operations, or none, are tested by."""


TOGETHER: Final = {"ListenBucketNotification": "ListenNotification"}
"""Operations that are one, asked of a bucket or of all, and share a file."""


def file_name(operation: str) -> str:
    """`test_put_bucket_cors` of PutBucketCors."""
    operation = TOGETHER.get(operation, operation)
    return "test_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation).lower()


def test_every_operation_offered_has_its_file() -> None:
    present = {path.stem for path in DIRECTORY.glob("test_*.py")}
    missing = {
        row.name for row in OPERATIONS if row.handler is not None and file_name(row.name) not in present
    }
    assert missing == set()


def test_every_file_is_of_an_operation() -> None:
    present = {path.stem for path in DIRECTORY.glob("test_*.py")}
    assert present - {file_name(row.name) for row in OPERATIONS} == NOT_OF_ONE_OPERATION
