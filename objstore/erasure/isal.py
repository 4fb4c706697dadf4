"""Products of matrices over GF(2^8) by Intel ISA-L, through ctypes: some 30 times zfec's speed.

The library is the one inside the pyeclib wheel, or the system's libisal.so.2. It is only an engine:
the matrix comes from zfec, and `Codec.self_test` compares the two. Long products run without the GIL;
short ones keep it, since giving it up and waiting for it again costs more than they do.
"""

import ctypes
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

Buffer = bytes | bytearray | memoryview

_KEEP_GIL_BELOW_BYTES: Final = 65536
"""Source bytes of a product below which it runs with the GIL held (about 10 µs)."""
_WRITABLE: Final = 1  # PyBUF_WRITABLE


class IsalMissing(Exception):
    """ISA-L cannot be loaded on this machine. Says why."""


class _PyBuffer(ctypes.Structure):
    """CPython's Py_buffer (stable ABI since 3.11): the address of any contiguous buffer, without a copy."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_get_buffer.restype = ctypes.c_int
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_PyBuffer),)
_release_buffer.restype = None


@contextmanager
def _addresses(buffers: Sequence[Buffer], length: int, flags: int) -> Iterator[Any]:
    """The addresses of the first bytes of `buffers`, each of `length` bytes, pinned while the block runs."""
    pinned: list[_PyBuffer] = []
    try:
        for buffer in buffers:
            view = _PyBuffer()
            _get_buffer(buffer, view, flags)
            pinned.append(view)
            if view.len != length:
                raise ValueError(f"a buffer of {view.len} bytes where {length} are needed")
        yield (ctypes.c_void_p * len(pinned))(*(view.buf for view in pinned))
    finally:
        for view in pinned:
            _release_buffer(view)


@lru_cache(maxsize=1)
def load() -> "Isal":
    """ISA-L, loaded once. Raises IsalMissing."""
    reasons: list[str] = []
    for name in _candidates():
        try:
            return Isal(name)
        except (OSError, AttributeError) as exc:
            reasons.append(str(exc))
    raise IsalMissing("; ".join(reasons))


def _candidates() -> Iterator[str]:
    package = importlib.util.find_spec("pyeclib")
    for folder in (package.submodule_search_locations or ()) if package else ():
        for path in sorted((Path(folder).parent / "pyeclib.libs").glob("libisal*.so*")):
            yield str(path)
    yield "libisal.so.2"


class Isal:
    """The four functions of ISA-L that a code needs. Stateless and safe in any thread."""

    def __init__(self, library: str) -> None:
        unlocked, locked = ctypes.CDLL(library), ctypes.PyDLL(library)
        bytes_pointer, pointers, number = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int
        self._init_tables = unlocked.ec_init_tables
        self._init_tables.argtypes = (number, number, bytes_pointer, ctypes.c_void_p)
        self._init_tables.restype = None
        self._invert = unlocked.gf_invert_matrix
        self._invert.argtypes = (ctypes.c_void_p, ctypes.c_void_p, number)
        self._invert.restype = number
        self._encode: Callable[..., None] = unlocked.ec_encode_data
        self._encode_locked: Callable[..., None] = locked.ec_encode_data
        for function in (unlocked.ec_encode_data, locked.ec_encode_data):
            function.argtypes = (number, number, number, bytes_pointer, pointers, pointers)
            function.restype = None

    def tables(self, matrix: bytes, columns: int) -> bytes:
        """A matrix (row by row, `columns` bytes each) expanded for `multiply`."""
        rows = len(matrix) // columns
        expanded = ctypes.create_string_buffer(32 * columns * rows)
        self._init_tables(columns, rows, matrix, expanded)
        return expanded.raw

    def multiply(
        self, tables: bytes, sources: Sequence[Buffer], targets: Sequence[Buffer], length: int
    ) -> None:
        """targets = matrix · sources, byte column by byte column; all buffers of `length` bytes.

        One source for each column of the matrix, one writable target for each row.
        """
        assert len(tables) == 32 * len(sources) * len(targets)
        if not length or not targets:
            return
        encode = self._encode_locked if length * len(sources) < _KEEP_GIL_BELOW_BYTES else self._encode
        with _addresses(sources, length, 0) as source, _addresses(targets, length, _WRITABLE) as target:
            encode(length, len(sources), len(targets), tables, source, target)

    def inverse(self, matrix: bytes, size: int) -> bytes:
        """The inverse of a square matrix, row by row. ValueError if it has none."""
        original = ctypes.create_string_buffer(matrix, size * size)  # the library uses it as scratch
        inverted = ctypes.create_string_buffer(size * size)
        if self._invert(original, inverted, size) != 0:
            raise ValueError("the matrix is singular")
        return inverted.raw
