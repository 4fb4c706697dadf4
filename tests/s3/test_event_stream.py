"""Event streams, as botocore reads them."""

import struct
import zlib

from botocore.eventstream import EventStreamBuffer

from objstore.s3 import event_stream


def read(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    return [(message.headers, message.payload) for message in buffer]


def test_bytes_of_a_message() -> None:
    message = event_stream.message({"a": "bc"}, b"payload")
    prelude = struct.pack(">II", 8 + 4 + 7 + 7 + 4, 7)
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + b"\x01a\x07\x00\x02bc" + b"payload"
    assert message == body + struct.pack(">I", zlib.crc32(body))


def test_messages_of_a_query() -> None:
    data = b"x" * (event_stream.PAYLOAD_BYTES_MAX + 1)
    stream = b"".join(event_stream.records(data)) + event_stream.CONTINUATION + event_stream.END
    (one, first), (_, second), (cont, _), (end, nothing) = read(stream)
    assert one == {
        ":message-type": "event",
        ":event-type": "Records",
        ":content-type": "application/octet-stream",
    }
    assert first + second == data and nothing == b""
    assert (cont[":event-type"], end[":event-type"]) == ("Cont", "End")


def test_error() -> None:
    ((headers, payload),) = read(event_stream.error("Busy", "ü" * 30_000))
    assert (headers[":message-type"], headers[":error-code"], payload) == ("error", "Busy", b"")
