"""The process that runs one query, and lives no longer.

Standard input: frames of four bytes length and that much content; the job first, then what is to be read,
an empty frame at its end. An input that ends otherwise was cut off and gives no result. Standard output:
frames of a kind, four bytes length and content, the last one DONE or FAILED.
"""

import json
import os
import resource
import struct
import sys
from collections.abc import Iterator
from typing import Final

from objstore.s3 import errors
from objstore.s3.errors import S3Error
from objstore.select.job import Job

RECORDS: Final = b"R"
PROGRESS: Final = b"P"
DONE: Final = b"D"
FAILED: Final = b"F"
LENGTH: Final = struct.Struct(">I")
HEAD: Final = struct.Struct(">cI")
COUNTS: Final = struct.Struct(">QQ")
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
PROGRAM_BYTES: Final = 768 * 1024 * 1024
"""Address space for the program and DuckDB's code, beyond what DuckDB may use for data."""
DESCRIPTORS_MAX: Final = 32
RECURSION_MAX: Final = 5000


class CutOff(Exception):
    """The server went away in mid-object."""


def main() -> None:
    """Run the one query that standard input brings."""
    frames = _frames()
    job = Job.from_json(next(frames))
    _limit(job)
    sys.setrecursionlimit(RECURSION_MAX)
    scanned = processed = 0
    try:
        from objstore.select.engine import Evaluation

        evaluation = Evaluation(job, lambda data: _send(RECORDS, data), _report)
        evaluation.run(frames)
        scanned, processed = evaluation.scanned, evaluation.processed
    except CutOff:
        os._exit(1)
    except S3Error as exc:
        _fail(exc)
    except MemoryError:
        _fail(errors.ExternalEvalException("The query needs more memory than one may have."))
    except RecursionError:
        _fail(errors.MaxOperatorsExceeded())
    _send(DONE, COUNTS.pack(scanned, processed))
    os._exit(0)  # nothing to tidy up that the system does not


def _fail(error: S3Error) -> None:
    _send(FAILED, json.dumps([error.code, error.message]).encode())
    os._exit(0)


def _limit(job: Job) -> None:
    """Before a byte of the caller's is looked at: bounds on memory, computing, files."""
    for what, value in (
        (resource.RLIMIT_AS, job.memory_bytes + PROGRAM_BYTES),
        (resource.RLIMIT_CPU, job.cpu_s),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, DESCRIPTORS_MAX),
    ):
        resource.setrlimit(what, (value, value))


def _frames() -> Iterator[bytes]:
    """The frames of standard input, the empty one not among them. Raises CutOff."""
    while length := LENGTH.unpack(_read(LENGTH.size))[0]:
        yield _read(length)


def _read(length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = os.read(0, length - len(data))
        if not piece:
            raise CutOff
        data += piece
    return bytes(data)


def _report(scanned: int, processed: int) -> None:
    _send(PROGRESS, COUNTS.pack(scanned, processed))


def _send(kind: bytes, content: bytes) -> None:
    for offset in range(0, len(content), FRAME_BYTES_MAX):
        piece = content[offset : offset + FRAME_BYTES_MAX]
        view = memoryview(HEAD.pack(kind, len(piece)) + piece)
        while view:
            view = view[os.write(1, view) :]
