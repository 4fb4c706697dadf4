"""What goes over the ledger's socket: frames of commands one way, frames of answers the other.

A frame is its length (4 bytes, big-endian) and one msgpack value. The ledger speaks first, with a
Hello; then each side sends when it has something, many commands or answers in one frame. Every
command carries a number of the sender's choosing, and its answer carries it back. Both ends are
processes of one server of one version; the socket lies in a directory only their user can enter.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

import msgpack

from objstore.meta.interface import (
    Busy,
    Command,
    Conflict,
    MetadataError,
    OutcomeUnknown,
    Refusal,
    Unavailable,
)

FRAME_BYTES_MAX: Final = 64 << 20
COMMAND_BYTES_MAX: Final = 16 << 20
"""One command, encoded. The longest there is completes an upload of 10,000 parts: about 1 MiB."""
_LENGTH_BYTES: Final = 4

OK: Final = 0
REFUSED: Final = 1
FAILED: Final = 2

STATUS: Final = "status"
"""Sent in place of a command: answered with the ledger's status as a map."""
VERIFY: Final = "verify"
"""Sent in place of a command: answered, when every byte of the journal was read, with what was found."""
VERIFY_ALL: Final = "verify all"
"""The same, and the index is compared with what the journal makes of it."""
REBUILD: Final = "rebuild"
"""Sent in place of a command: the ledger stops, and the next one builds the index anew."""
LISTEN: Final = "listen"
"""Sent in place of a command: answered with nothing, and from then on with the events that commands tell."""
SUSPECT: Final = "suspect"
"""Sent in place of a command by a reader that found the index damaged: the ledger looks at it itself."""

_ERRORS: Final[dict[str, type[MetadataError]]] = {
    error.__name__: error for error in (Conflict, Busy, Unavailable, OutcomeUnknown)
}


class Codec(Protocol):
    """Commands and their results as bytes: the module objstore.meta.commands, or a test's own few."""

    def encode(self, command: Any, /) -> bytes: ...

    def decode(self, data: bytes, /) -> Command[Any]: ...

    def encode_result(self, result: Any, /) -> bytes: ...

    def decode_result(self, data: bytes, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Hello:
    """The ledger's first words on a connection."""

    index_path: str
    generation: int
    """Stands for that file: readers of another one must be opened again."""


class FrameTooLong(Exception):
    """The other side announced a frame past the limit: the stream cannot be trusted any more."""


class FrameReader:
    """Cuts a byte stream into frames: feed bytes, get values."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Every frame completed by `data`, unpacked. Raises FrameTooLong."""
        pending = self._pending
        pending += data
        start = 0
        while len(pending) - start >= _LENGTH_BYTES:
            length = int.from_bytes(pending[start : start + _LENGTH_BYTES], "big")
            if length > FRAME_BYTES_MAX:
                raise FrameTooLong(f"frame of {length} bytes")
            end = start + _LENGTH_BYTES + length
            if end > len(pending):
                break
            yield msgpack.unpackb(bytes(pending[start + _LENGTH_BYTES : end]), strict_map_key=False)
            start = end
        del pending[:start]


def frame(value: Any) -> bytes:
    """`value` (plain msgpack types) as one frame."""
    body: bytes = msgpack.packb(value)
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def hello_frame(hello: Hello) -> bytes:
    """The ledger's first frame."""
    return frame(asdict(hello))


def failure(exc: Exception) -> tuple[int, Any]:
    """Outcome and payload of an answer that says no."""
    if isinstance(exc, Refusal):
        return REFUSED, (type(exc).__name__, exc.detail)
    name = type(exc).__name__
    return FAILED, (name if name in _ERRORS else Unavailable.__name__, str(exc))


def raised(outcome: int, payload: Any) -> Exception:
    """The exception that `failure` was given, on the other side. A name not known here is a MetadataError."""
    name, detail = payload
    if outcome == REFUSED:
        known = Refusal.by_name.get(name)
        return known(**detail) if known else MetadataError(f"unknown refusal {name}: {detail}")
    return _ERRORS.get(name, MetadataError)(detail)
