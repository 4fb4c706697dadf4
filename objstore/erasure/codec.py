"""The code: k data shards and m parity shards of a chunk, any k of which give it back.

zfec defines it. Its systematic matrix (Rizzo 1997, "Effective erasure codes for reliable computer
communication protocols": a Vandermonde matrix over GF(2^8), polynomial 0x11d, brought to systematic
form) is part of the on-disk format, written down in docs/on_disk_format.md. ISA-L runs the same matrix
much faster; `self_test` proves that both agree with each other and with known answers.

zfec does not protect its caller: a shard number given twice makes it loop for ever with the GIL held,
one out of range gives garbage. So nothing reaches an engine before `_checked` has passed it.
"""

import random
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import combinations, islice
from typing import Final, Literal, Protocol

import zfec

from objstore.erasure import isal
from objstore.erasure.geometry import shard_bytes

Buffer = bytes | bytearray | memoryview
EngineName = Literal["isal", "zfec"]

SHARDS_MAX: Final = 255
PATTERNS_CACHED: Final = 64
"""Decoding matrices kept per codec, one for each erasure pattern lately met."""
_ZFEC_SLICE_BYTES: Final = 1 << 20
"""zfec holds the GIL: between slices of this many source bytes other threads get their turn."""


class CodecBroken(Exception):
    """An engine computes wrong shards on this machine. Nothing may be stored or rebuilt with it."""


class ShardsUnusable(ValueError):
    """These shards cannot be decoded: too few, of unequal length, or with a number out of range."""


class _Engine(Protocol):
    name: EngineName

    def encode(self, data: Sequence[Buffer], parity: Sequence[memoryview], length: int) -> None:
        """Fill the parity shards from all k data shards."""
        ...

    def rebuild(
        self,
        present: tuple[int, ...],
        sources: Sequence[Buffer],
        wanted: tuple[int, ...],
        targets: Sequence[memoryview],
        length: int,
    ) -> None:
        """Fill the wanted shards from exactly k others, whose numbers are ascending."""
        ...


class Codec:
    """The code of `data_shards` out of `total_shards`. Safe in any thread; holds no chunk."""

    def __init__(self, data_shards: int, total_shards: int, engine: EngineName | None = None) -> None:
        """1 ≤ data_shards ≤ total_shards ≤ 255. `engine` None takes ISA-L, or zfec where it will not load.

        Raises ValueError; isal.IsalMissing when ISA-L is asked for by name and cannot be loaded.
        """
        if not 1 <= data_shards <= total_shards <= SHARDS_MAX:
            raise ValueError(
                f"{data_shards} of {total_shards} shards: must be 1 ≤ data ≤ total ≤ {SHARDS_MAX}"
            )
        self.data_shards = data_shards
        self.total_shards = total_shards
        self._engine = _engine(data_shards, total_shards, engine)

    @property
    def engine(self) -> EngineName:
        """The engine that runs the code: "isal" or "zfec"."""
        return self._engine.name

    def encode(self, chunk: Buffer, parity_buffer: bytearray | memoryview | None = None) -> list[Buffer]:
        """All shards of a chunk (at least 1 byte), each of ceil(len(chunk) / k) bytes.

        Data shards are views of `chunk`, except those that reach past its end, which are padded copies;
        parity shards are views of one buffer: `parity_buffer`, if it is given and large enough for all of
        them. So both must stay unchanged while the shards are used.
        """
        view = memoryview(chunk).cast("B")
        if not view:
            raise ValueError("a chunk has at least one byte")
        k, parity_count = self.data_shards, self.total_shards - self.data_shards
        if k == 1:
            return [view] * self.total_shards
        length = shard_bytes(len(view), k)
        whole = len(view) // length
        data = [view[i * length : (i + 1) * length] for i in range(whole)]
        if whole < k:
            tail = bytearray((k - whole) * length)
            rest = len(view) - whole * length
            tail[:rest] = view[whole * length :]
            data += _split(tail, length)
        if parity_buffer is None or len(parity_buffer) < parity_count * length:
            parity_buffer = bytearray(parity_count * length)
        parity = _split(memoryview(parity_buffer)[: parity_count * length], length)
        if parity:
            self._engine.encode(data, parity, length)
        return [*data, *parity]

    def decode(self, shards: Mapping[int, Buffer], chunk_bytes: int) -> Buffer:
        """The chunk that was encoded to these shards.

        `shards` maps shard numbers to their bytes, all of ceil(chunk_bytes / k); any k of them suffice,
        more are ignored. Checksums are the caller's: a wrong shard gives a wrong chunk.

        Raises ShardsUnusable.
        """
        length = self._checked(shards)
        k = self.data_shards
        if chunk_bytes < 1 or length != shard_bytes(chunk_bytes, k):
            raise ShardsUnusable(f"shards of {length} bytes cannot be those of a chunk of {chunk_bytes}")
        if k == 1:
            return memoryview(next(iter(shards.values())))
        chunk = bytearray(k * length)
        pieces = _split(chunk, length)
        missing = tuple(i for i in range(k) if i not in shards)
        for i in range(k):
            if i in shards:
                pieces[i][:] = shards[i]
        if missing:
            self._rebuild_into(shards, missing, [pieces[i] for i in missing], length)
        return memoryview(chunk)[:chunk_bytes]

    def rebuild(self, shards: Mapping[int, Buffer], wanted: Sequence[int]) -> dict[int, Buffer]:
        """The wanted shards (data or parity), computed from any k others.

        The code works on each byte column by itself: `shards` may as well be the same byte range of
        each shard, which gives that range of the wanted ones. Raises ShardsUnusable.
        """
        length = self._checked(shards)
        numbers = tuple(dict.fromkeys(wanted))
        if any(not 0 <= number < self.total_shards for number in numbers):
            raise ShardsUnusable(f"shards {numbers} wanted of a code of {self.total_shards}")
        if self.data_shards == 1:
            copy = memoryview(next(iter(shards.values())))
            return dict.fromkeys(numbers, copy)
        targets = _split(bytearray(len(numbers) * length), length)
        if targets:
            self._rebuild_into(shards, numbers, targets, length)
        return dict(zip(numbers, targets, strict=True))

    def self_test(self) -> None:
        """See that the engine gives known answers, agrees with zfec and decodes what it encodes.

        A few ten milliseconds; at start, before the first byte is stored. Raises CodecBroken.
        """
        for (k, n), expected in _KNOWN_ANSWERS.items():
            shards = Codec(k, n, self.engine).encode(_pattern(k * 64 + 1))
            if zlib.crc32(b"".join(shards[k:])) != expected:
                raise CodecBroken(f"{self.engine} gives other parity than it must for {k} of {n} shards")
        reference = Codec(self.data_shards, self.total_shards, "zfec")
        for chunk_bytes in _TESTED_CHUNK_BYTES:
            chunk = _pattern(chunk_bytes)
            shards = self.encode(chunk)
            if shards != reference.encode(chunk):
                raise CodecBroken(f"{self.engine} and zfec differ on a chunk of {chunk_bytes} bytes")
            for kept in self._erasures():
                if self.decode({i: shards[i] for i in kept}, chunk_bytes) != chunk:
                    raise CodecBroken(f"{self.engine} decodes shards {kept} to another chunk")

    def _erasures(self) -> Iterator[tuple[int, ...]]:
        """Some sets of k shards: the ones furthest from all data shards first, then some at random."""
        k, n = self.data_shards, self.total_shards
        yield tuple(range(n - k, n))
        chosen = random.Random(k * 256 + n)  # noqa: S311 - the same sets on every machine
        for _ in range(8):
            yield tuple(chosen.sample(range(n), k))
        yield from islice(combinations(range(n), k), 24)

    def _checked(self, shards: Mapping[int, Buffer]) -> int:
        """The length of the shards; ShardsUnusable unless an engine may be given them."""
        if len(shards) < self.data_shards:
            raise ShardsUnusable(f"{len(shards)} shards where {self.data_shards} are needed")
        if any(not 0 <= number < self.total_shards for number in shards):
            raise ShardsUnusable(f"shard numbers {sorted(shards)} of a code of {self.total_shards}")
        lengths = {len(shard) for shard in shards.values()}
        if len(lengths) != 1:
            raise ShardsUnusable(f"shards of unequal lengths {sorted(lengths)}")
        return lengths.pop()

    def _rebuild_into(
        self,
        shards: Mapping[int, Buffer],
        wanted: tuple[int, ...],
        targets: Sequence[memoryview],
        length: int,
    ) -> None:
        present = tuple(sorted(shards)[: self.data_shards])
        self._engine.rebuild(present, [shards[i] for i in present], wanted, targets, length)


class _IsalEngine:
    """The matrix run by ISA-L; the k×k inverse of an erasure pattern is computed once and cached."""

    name: EngineName = "isal"

    def __init__(self, data_shards: int, total_shards: int) -> None:
        self._isal = isal.load()
        self._k = data_shards
        self._matrix = generator_matrix(data_shards, total_shards)
        self._encoding = self._isal.tables(self._matrix[data_shards * data_shards :], data_shards)
        self._rebuilding = lru_cache(maxsize=PATTERNS_CACHED)(self._rebuilding_tables)

    def encode(self, data: Sequence[Buffer], parity: Sequence[memoryview], length: int) -> None:
        self._isal.multiply(self._encoding, data, parity, length)

    def rebuild(
        self,
        present: tuple[int, ...],
        sources: Sequence[Buffer],
        wanted: tuple[int, ...],
        targets: Sequence[memoryview],
        length: int,
    ) -> None:
        self._isal.multiply(self._rebuilding(present, wanted), sources, targets, length)

    def _rebuilding_tables(self, present: tuple[int, ...], wanted: tuple[int, ...]) -> bytes:
        """wanted = G[wanted] · data and data = G[present]⁻¹ · present, so the product of the two."""
        k = self._k
        inverse = self._isal.inverse(self._rows(present), k)
        product = bytearray(len(wanted) * k)
        rows = self._isal.tables(self._rows(wanted), k)
        self._isal.multiply(rows, _split(bytearray(inverse), k), _split(product, k), k)
        return self._isal.tables(bytes(product), k)

    def _rows(self, numbers: Iterable[int]) -> bytes:
        return b"".join(self._matrix[i * self._k : (i + 1) * self._k] for i in numbers)


class _ZfecEngine:
    """The reference: zfec itself, in slices, so that other threads run in between."""

    name: EngineName = "zfec"

    def __init__(self, data_shards: int, total_shards: int) -> None:
        self._k = data_shards
        self._encoder = zfec.Encoder(data_shards, total_shards)
        self._decoder = zfec.Decoder(data_shards, total_shards)
        self._parity = tuple(range(data_shards, total_shards))

    def encode(self, data: Sequence[Buffer], parity: Sequence[memoryview], length: int) -> None:
        for part in self._slices(length):
            self._encode_part([shard[part] for shard in data], self._parity, parity, part)

    def rebuild(
        self,
        present: tuple[int, ...],
        sources: Sequence[Buffer],
        wanted: tuple[int, ...],
        targets: Sequence[memoryview],
        length: int,
    ) -> None:
        parity = tuple(number for number in wanted if number >= self._k)
        for part in self._slices(length):
            data = self._decoder.decode([shard[part] for shard in sources], present)
            for number, target in zip(wanted, targets, strict=True):
                if number < self._k:
                    target[part] = data[number]
            if parity:
                parity_targets = [t for number, t in zip(wanted, targets, strict=True) if number >= self._k]
                self._encode_part(data, parity, parity_targets, part)

    def _encode_part(
        self, data: Sequence[Buffer], numbers: Sequence[int], targets: Sequence[memoryview], part: slice
    ) -> None:
        for target, computed in zip(targets, self._encoder.encode(data, numbers), strict=True):
            target[part] = computed

    def _slices(self, length: int) -> Iterator[slice]:
        step = max(1, _ZFEC_SLICE_BYTES // self._k)
        for start in range(0, length, step):
            yield slice(start, min(start + step, length))


def generator_matrix(data_shards: int, total_shards: int) -> bytes:
    """The code's n×k matrix, row by row: shard i is row i times the data shards. Its top is the identity.

    Read out of zfec by encoding the unit vectors: shard i of the identity matrix's rows is row i.
    """
    units = [bytes(int(i == j) for i in range(data_shards)) for j in range(data_shards)]
    return b"".join(zfec.Encoder(data_shards, total_shards).encode(units))


def _engine(data_shards: int, total_shards: int, name: EngineName | None) -> _Engine:
    if name == "zfec":
        return _ZfecEngine(data_shards, total_shards)
    try:
        return _IsalEngine(data_shards, total_shards)
    except isal.IsalMissing:
        if name == "isal":
            raise
        return _ZfecEngine(data_shards, total_shards)


def _split(buffer: bytearray | memoryview, length: int) -> list[memoryview]:
    view = memoryview(buffer)
    return [view[start : start + length] for start in range(0, len(buffer), length)]


def _pattern(length: int) -> bytes:
    """Bytes that look like nothing in particular and are the same everywhere."""
    return bytes((i * i * 31 + i * 7 + (i >> 8)) & 0xFF for i in range(length))


_TESTED_CHUNK_BYTES: Final = (1, 2, 3, 31, 257, 1024, 4099)
_KNOWN_ANSWERS: Final = {
    (2, 3): 1921258324,
    (3, 5): 121602958,
    (4, 6): 1267796937,
    (8, 12): 1976691448,
    (10, 14): 540052931,
    (16, 20): 1523771839,
}
"""CRC-32 of all parity shards of `_pattern(64 k + 1)`, by (k, n): the on-disk format, nailed down."""
