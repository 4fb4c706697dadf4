"""Every header and query parameter that botocore can send is read by the program, or is known not to be."""

from pathlib import Path
from typing import Final

from objstore.api.operations import OPERATIONS
from tests.support.botocore_model import MODEL, OPERATION_NAMES

SOURCE: Final = "".join(
    path.read_text().lower() for path in (Path(__file__).parent.parent / "objstore").rglob("*.py")
)
PUT_TOGETHER: Final = (
    "x-amz-checksum-",
    "x-amz-copy-source-if-",
    "x-amz-copy-source-server-side-encryption-customer-",
    "x-amz-object-lock-event-hold",
    "x-amz-rename-source-if-",
    "x-amz-server-side-encryption-",
)
"""Beginnings of names that the program puts together."""
NOT_READ: Final = {
    "x-amz-bucket-object-lock-token": "AWS's support hands these out; object lock needs none here.",
    "x-amz-confirm-remove-self-bucket-access": "A bucket's owner can always replace its policy.",
}


def test_every_header_and_parameter_is_read_or_known_not_to_be() -> None:
    not_offered = {row.name for row in OPERATIONS if row.handler is None}
    unread = set()
    for name in set(OPERATION_NAMES) - not_offered:
        shape = MODEL.operation_model(name).input_shape
        for member in shape.members.values() if shape is not None else ():
            where, called = member.serialization.get("location"), member.serialization.get("name", "").lower()
            if where not in ("header", "querystring") or called.startswith(PUT_TOGETHER):
                continue
            if f'"{called}"' not in SOURCE:
                unread.add(called)
    assert unread == set(NOT_READ)
