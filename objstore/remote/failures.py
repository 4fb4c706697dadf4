"""How another server's answers, and its silence, look to those who ask it."""

from typing import Final

from lxml import etree

BUSY_CODES: Final = frozenset(
    {
        "InternalError",
        "OperationAborted",
        "RequestTimeout",
        "RequestTimeTooSkewed",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottlingException",
        "TooManyRequests",
    }
)
"""Codes that say nothing against the request: the same one may be answered otherwise later."""
BUSY_STATUSES: Final = frozenset({408, 429})
NOT_IMPLEMENTED: Final = 501
"""The one status of a fault that is an answer: it will be the same tomorrow."""

_parser: Final = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


class RemoteUnavailable(Exception):
    """The server could not be reached, broke off, or is busy: worth trying again later."""


class RemoteError(Exception):
    """The server refused. `code` is S3's, or empty where the answer had none."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(f"{status} {code}: {message}" if message else f"{status} {code}")
        self.status = status
        self.code = code


def raised(status: int, body: bytes, what: str) -> RemoteError | RemoteUnavailable:
    """The exception for an answer that is no success. `what` was asked, for people."""
    code, message = text_in(body, "Code") or "", text_in(body, "Message") or ""
    is_fault = status >= 500 and status != NOT_IMPLEMENTED
    if is_fault or status in BUSY_STATUSES or code in BUSY_CODES:
        return RemoteUnavailable(f"{what}: {status} {code}")
    return RemoteError(status, code, message)


def text_in(body: bytes, name: str) -> str | None:
    """The text of the root's child called `name`, whatever its namespace; None where there is none.

    Other servers' documents are not held to our schema: what we do not ask for may be anything.
    """
    root = _root(body)
    if root is None:
        return None
    for child in root:
        if isinstance(child.tag, str) and etree.QName(child).localname == name:
            return child.text or ""
    return None


def children_in(body: bytes, name: str) -> list[dict[str, str]]:
    """The texts of the children of each of the root's children called `name`, by their names."""
    root = _root(body)
    if root is None:
        return []
    return [
        {etree.QName(item).localname: item.text or "" for item in child if isinstance(item.tag, str)}
        for child in root
        if isinstance(child.tag, str) and etree.QName(child).localname == name
    ]


def root_of(body: bytes) -> str:
    """The name of a document's root without its namespace; empty where this is no document."""
    root = _root(body)
    return "" if root is None else etree.QName(root).localname


def _root(body: bytes) -> etree._Element | None:
    try:
        return etree.fromstring(body.lstrip(), _parser)
    except (etree.XMLSyntaxError, ValueError):
        return None
