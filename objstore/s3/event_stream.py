"""Messages of an event stream, as SelectObjectContent answers with.

A message is: length of the message and length of its headers (four bytes each, big-endian), CRC-32 of
these eight, headers, payload, CRC-32 of all before. A header is: length of its name (one byte), name, type
7 (string), length of its value (two bytes), value. Source: Amazon S3 API reference, "Appendix:
SelectObjectContent Response".
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final

PAYLOAD_BYTES_MAX: Final = 128 * 1024
"""Records are sent in messages of at most this much."""
_PRELUDE: Final = struct.Struct(">II")
_CRC: Final = struct.Struct(">I")
_STRING: Final = 7
_VALUE_BYTES_MAX: Final = 2**15 - 1


def message(headers: dict[str, str], payload: bytes = b"") -> bytes:
    """One message."""
    lines = b"".join(_header(name, value) for name, value in headers.items())
    length = _PRELUDE.size + _CRC.size + len(lines) + len(payload) + _CRC.size
    prelude = _PRELUDE.pack(length, len(lines))
    before = b"".join((prelude, _CRC.pack(zlib.crc32(prelude)), lines, payload))
    return before + _CRC.pack(zlib.crc32(before))


def _header(name: str, value: str) -> bytes:
    encoded = value.encode()[:_VALUE_BYTES_MAX].decode(errors="ignore").encode()
    return bytes((len(name),)) + name.encode() + struct.pack(">BH", _STRING, len(encoded)) + encoded


def _event(name: str, content_type: str | None = None, payload: bytes = b"") -> bytes:
    headers = {":message-type": "event", ":event-type": name}
    if content_type is not None:
        headers[":content-type"] = content_type
    return message(headers, payload)


def records(data: bytes) -> Iterator[bytes]:
    """Result records, which may be cut anywhere."""
    for offset in range(0, len(data), PAYLOAD_BYTES_MAX):
        piece = data[offset : offset + PAYLOAD_BYTES_MAX]
        yield _event("Records", "application/octet-stream", piece)


def _counts(name: str, scanned: int, processed: int, returned: int) -> bytes:
    document = (
        f'<?xml version="1.0" encoding="UTF-8"?><{name}><BytesScanned>{scanned}</BytesScanned>'
        f"<BytesProcessed>{processed}</BytesProcessed><BytesReturned>{returned}</BytesReturned></{name}>"
    )
    return _event(name, "text/xml", document.encode())


def progress(scanned: int, processed: int, returned: int) -> bytes:
    """How far the query is."""
    return _counts("Progress", scanned, processed, returned)


def stats(scanned: int, processed: int, returned: int) -> bytes:
    """What the query came to."""
    return _counts("Stats", scanned, processed, returned)


def error(code: str, message_: str) -> bytes:
    """The last message of a query that failed after its answer began."""
    return message({":error-code": code, ":error-message": message_, ":message-type": "error"})


CONTINUATION: Final = _event("Cont")
"""Keeps the connection while there is nothing to say."""
END: Final = _event("End")
"""The last message of a query that is complete."""
