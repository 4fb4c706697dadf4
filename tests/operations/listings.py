"""What tests of the three listings share: keys to list, and what a listing of them must say."""

from typing import Any

AWKWARD_KEYS = (
    "a",
    "a b",
    "a!",
    "a+b",
    "a%2Fb",
    "a-",
    "a.",
    "a/",
    "a//b",
    "a/b",
    "a/b/c",
    "a0",
    "A",
    "_",
    "%",
    "ä",
    "ä/ö",
    "日本/語",
    "\uffee",  # after the emoji in UTF-16, before it in UTF-8
    "😀",
    "😀/x",
    " leading",
    "trailing ",
    "&<>\"'",
    "new\nline",
    "carriage\rreturn",
    "tab\t",
    "-",
    "..",
    "../x",
    "x" * 1024,
)


def fill(s3: Any, bucket: str, keys: Any = AWKWARD_KEYS) -> list[str]:
    """Put an object under each key; the keys in the order of their UTF-8 bytes."""
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    return sorted(keys, key=str.encode)


def folded(keys: list[str], prefix: str, delimiter: str, after: str = "") -> tuple[list[str], list[str]]:
    """The keys and common prefixes that a listing must have, by the rule in its shortest form."""
    contents, prefixes = [], []
    for key in keys:
        if not key.startswith(prefix):
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            if key.encode() > after.encode():
                contents.append(key)
        else:
            shared = key[: cut + len(delimiter)]
            is_passed = shared.encode() <= after.encode() or after.startswith(shared)
            if shared not in prefixes and not is_passed:
                prefixes.append(shared)
    return contents, prefixes
