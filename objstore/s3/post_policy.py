"""The policy of a browser's upload form: what its signer allows to be uploaded.

The signature over the policy proves who made it; this module decides whether a form keeps to it. Every
field of the form must be covered by a condition, or the form is refused: a field nobody thought of could
otherwise change what the upload means.

Source: Amazon S3 API reference, "POST Policy".
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from objstore.s3.errors import AccessDenied, EntityTooLarge, EntityTooSmall, InvalidPolicyDocument

CONDITIONS_MAX: Final = 200
_UNCOVERED: Final = frozenset({"awsaccesskeyid", "file", "policy", "signature", "x-amz-signature"})
"""Fields that the signature covers itself, or that are the upload."""
_IGNORED_PREFIX: Final = "x-ignore-"
_EXPIRATION: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z", re.ASCII)
_NUMBER: Final = re.compile(r"-?[0-9]+")
_LENGTH_MAX: Final = 2**63


@dataclass(frozen=True, slots=True)
class _Condition:
    operator: str  # "eq", "starts-with", or what never holds
    field: str
    value: str

    shown: str = ""
    """How a condition that never holds was written."""

    def holds(self, fields: Mapping[str, str]) -> bool:
        if self.shown:
            return False
        given = fields.get(self.field)
        if self.operator == "eq":
            return given == self.value
        if given is None:
            return self.value == ""
        # A list of content types keeps to the condition if each of them does.
        values = given.split(",") if self.field == "content-type" else [given]
        return all(value.strip(" ").startswith(self.value) for value in values)

    def __str__(self) -> str:
        return self.shown or _shown(self.operator, f"${self.field}", self.value)


@dataclass(frozen=True, slots=True)
class PostPolicy:
    """What a form may hold. `size_min` and `size_max` bound the file's length in bytes, inclusive.

    A condition on nothing (a field without its `$`, a length that is no number) is one that no form keeps to.
    """

    expires_ms: int
    conditions: tuple[_Condition, ...]
    size_min: int = 0
    size_max: int | None = None

    def check(self, fields: Mapping[str, str], now_ms: int) -> None:
        """Refuse a form that does not keep to the policy; raises AccessDenied.

        `fields` are all fields of the form but the file, by lower-case name, `${filename}` already
        replaced, and with the bucket's name added as `bucket`.
        """
        if now_ms >= self.expires_ms:
            raise AccessDenied("Invalid according to Policy: Policy expired.")
        for condition in self.conditions:
            if not condition.holds(fields):
                raise AccessDenied(f"Invalid according to Policy: Policy Condition failed: {condition}")
        covered = {condition.field for condition in self.conditions}
        extra = [
            name
            for name in fields
            if name not in covered and name not in _UNCOVERED and not name.startswith(_IGNORED_PREFIX)
        ]
        if extra:
            raise AccessDenied(f"Invalid according to Policy: Extra input fields: {', '.join(sorted(extra))}")

    def check_size_so_far(self, size: int) -> None:
        """Refuse a file that is already too long; raises EntityTooLarge."""
        if self.size_max is not None and size > self.size_max:
            raise EntityTooLarge(ProposedSize=size, MaxSizeAllowed=self.size_max)

    def check_size(self, size: int) -> None:
        """Refuse a file of the wrong length; raises EntityTooLarge, EntityTooSmall."""
        self.check_size_so_far(size)
        if size < self.size_min:
            raise EntityTooSmall(ProposedSize=size, MinSizeAllowed=self.size_min)


def parse_post_policy(encoded: str) -> PostPolicy:
    """The policy in the base64 text of a form's `policy` field; raises InvalidPolicyDocument."""
    try:
        document = json.loads(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise InvalidPolicyDocument("Invalid Policy: Invalid JSON.") from None
    if not isinstance(document, dict):
        raise InvalidPolicyDocument("Invalid Policy: Invalid JSON.")
    unknown = document.keys() - {"expiration", "conditions"}
    if unknown:
        raise InvalidPolicyDocument("Invalid Policy: Unexpected element.")
    expires_ms = _expiration_ms(document.get("expiration"))
    listed = document.get("conditions")
    if not isinstance(listed, list):
        raise InvalidPolicyDocument("Invalid Policy: Policy missing conditions.")
    if len(listed) > CONDITIONS_MAX:
        raise InvalidPolicyDocument("Invalid Policy: Too many conditions.")
    conditions: list[_Condition] = []
    size_min, size_max = 0, None
    for entry in listed:
        if isinstance(entry, dict) and len(entry) == 1:
            conditions += [_exact(name, value) for name, value in entry.items()]
        elif isinstance(entry, list) and len(entry) == 3 and _operator(entry) == "content-length-range":
            if any(isinstance(bound, str) and not _NUMBER.fullmatch(bound) for bound in entry[1:]):
                conditions.append(_impossible("content-length-range", *entry[1:]))
                continue
            low, high = _length(entry[1]), _length(entry[2])
            size_min = max(size_min, low)
            size_max = high if size_max is None else min(size_max, high)
        elif isinstance(entry, list) and len(entry) == 3:
            conditions.append(_matching(entry))
        else:
            raise _invalid_condition()
    return PostPolicy(expires_ms, tuple(conditions), size_min, size_max)


def _expiration_ms(value: object) -> int:
    if value is None:
        raise InvalidPolicyDocument("Invalid Policy: Policy missing expiration.")
    if not isinstance(value, str) or not _EXPIRATION.fullmatch(value):
        raise InvalidPolicyDocument("Invalid Policy: Invalid 'expiration' value.")
    try:
        return int(datetime.fromisoformat(value).timestamp() * 1000)
    except ValueError:
        raise InvalidPolicyDocument("Invalid Policy: Invalid 'expiration' value.") from None


def _operator(entry: list[Any]) -> str:
    return entry[0].lower() if isinstance(entry[0], str) else ""


def _exact(name: str, value: object) -> _Condition:
    if not isinstance(value, str):
        raise _invalid_condition()
    return _Condition("eq", name.lower(), value)


def _matching(entry: list[Any]) -> _Condition:
    operator, (_, field, value) = _operator(entry), entry
    is_known = operator in ("eq", "starts-with")
    if not is_known or not isinstance(field, str) or not isinstance(value, str):
        raise _invalid_condition()
    if not field.startswith("$"):
        return _impossible(operator, field, value)
    return _Condition(operator, field[1:].lower(), value)


def _impossible(operator: str, *operands: object) -> _Condition:
    return _Condition(operator, "", "", _shown(operator, *operands))


def _shown(*parts: object) -> str:
    return json.dumps([str(part) for part in parts], ensure_ascii=False)


def _length(value: object) -> int:
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= _LENGTH_MAX):
        raise InvalidPolicyDocument("Invalid Policy: Invalid content-length-range.")
    return int(text)


def _invalid_condition() -> InvalidPolicyDocument:
    return InvalidPolicyDocument(
        "Invalid Policy: Invalid Simple-Condition: "
        "Simple-Conditions must have exactly one property specified."
    )
