"""The error document. Not a dataclass: every error may bring elements of its own."""

from collections.abc import Mapping

from objstore.s3.xml import DECLARATION, escape


def error_document(
    *,
    code: str,
    message: str,
    elements: Mapping[str, str],
    resource: str,
    request_id: str,
    host_id: str,
    declaration: bool = True,
) -> bytes:
    """`<Error>` without a namespace, as S3 writes it; `resource` is the path of bucket or object.

    `declaration=False` leaves out the `<?xml …?>` line, for answers that have sent it already.
    """
    pairs = {
        "Code": code,
        "Message": message,
        **elements,
        "Resource": resource,
        "RequestId": request_id,
        "HostId": host_id,
    }
    body = "".join(f"<{name}>{_readable(value)}</{name}>" for name, value in pairs.items())
    return (DECLARATION if declaration else b"") + f"<Error>{body}</Error>".encode()


def _readable(value: str) -> str:
    """Line breaks stay line breaks: people compare a canonical request with theirs line by line."""
    return escape(value).replace("&#10;", "\n")
