"""The code: byte-identical engines, every erasure pattern, and shards no engine must be given."""

import threading
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.erasure import codec as codec_module
from objstore.erasure import isal
from objstore.erasure.codec import Codec, CodecBroken, EngineName, ShardsUnusable, generator_matrix

ENGINES: tuple[EngineName, ...] = ("isal", "zfec")
SMALL_CODES = [(k, n) for k in range(1, 7) for n in range(k, k + 5)]


def pattern(length: int, salt: int = 0) -> bytes:
    return bytes((i * i * 131 + i * (salt + 7) + (i >> 7)) & 0xFF for i in range(length))


def power(exponent: int) -> int:
    value = 1
    for _ in range(exponent % 255):
        value <<= 1
        if value & 0x100:
            value ^= 0x11D
    return value


def product(a: int, b: int) -> int:
    result = 0
    for bit in range(8):
        if b >> bit & 1:
            result ^= a << bit
    for bit in range(14, 7, -1):
        if result >> bit & 1:
            result ^= 0x11D << (bit - 8)
    return result


@pytest.mark.parametrize(("k", "n"), [*SMALL_CODES, (10, 14), (17, 20)])
def test_the_matrix_is_the_one_the_document_defines(k: int, n: int) -> None:
    """G·T = V, with V and T as docs/on_disk_format.md writes them."""
    vandermonde = [[int(c == 0) for c in range(k)]]
    vandermonde += [[power((r - 1) * c) for c in range(k)] for r in range(1, n)]
    matrix = generator_matrix(k, n)
    for r in range(n):
        for c in range(k):
            total = 0
            for i in range(k):
                total ^= product(matrix[r * k + i], vandermonde[i][c])
            assert total == vandermonde[r][c]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("k", "n"), SMALL_CODES)
def test_any_k_shards_give_the_chunk_back(k: int, n: int, engine: EngineName) -> None:
    codec = Codec(k, n, engine)
    for size in (1, k, 5 * k + 1):
        chunk = pattern(size)
        shards = codec.encode(chunk)
        assert len(shards) == n and {len(shard) for shard in shards} == {-(-size // k)}
        for kept in combinations(range(n), k):
            assert codec.decode({i: shards[i] for i in kept}, size) == chunk


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("k", "n"), [(1, 3), (2, 3), (4, 6), (5, 9)])
def test_every_shard_is_rebuilt_from_any_k_others(k: int, n: int, engine: EngineName) -> None:
    codec = Codec(k, n, engine)
    shards = codec.encode(pattern(k * 40 + 3))
    for kept in combinations(range(n), k):
        lost = [i for i in range(n) if i not in kept]
        rebuilt = codec.rebuild({i: shards[i] for i in kept}, lost)
        assert list(rebuilt) == lost
        assert all(rebuilt[i] == shards[i] for i in lost)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    k=st.integers(1, 20),
    m=st.integers(0, 6),
    size=st.integers(1, 3000),
    seed=st.integers(0, 255),
)
def test_engines_agree_and_decode(data: st.DataObject, k: int, m: int, size: int, seed: int) -> None:
    chunk = pattern(size, seed)
    fast, reference = Codec(k, k + m, "isal"), Codec(k, k + m, "zfec")
    shards = fast.encode(chunk)
    assert shards == reference.encode(chunk)
    kept = data.draw(st.sets(st.integers(0, k + m - 1), min_size=k, max_size=k + m))
    some = {i: bytes(shards[i]) for i in kept}
    assert fast.decode(some, size) == chunk == reference.decode(some, size)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [65535, 65536 * 4, (1 << 20) + 1, (1 << 22) + 5])
def test_large_chunks_cross_the_slices_of_zfec_and_run_without_the_gil(size: int, engine: EngineName) -> None:
    codec, reference = Codec(4, 6, engine), Codec(4, 6, "isal")
    chunk = pattern(4096) * (size // 4096) + pattern(size % 4096)
    shards = codec.encode(bytearray(chunk))
    assert shards == reference.encode(chunk)
    assert codec.decode({i: shards[i] for i in (1, 3, 4, 5)}, size) == chunk


@pytest.mark.parametrize("engine", ENGINES)
def test_a_byte_range_of_shards_gives_that_range_of_the_others(engine: EngineName) -> None:
    codec = Codec(3, 5, engine)
    shards = codec.encode(pattern(3000))
    part = {i: shards[i][100:177] for i in (1, 2, 4)}
    assert codec.rebuild(part, [0])[0] == shards[0][100:177]


@pytest.mark.parametrize(("k", "size"), [(4, 4096), (4, 4095), (4, 1), (3, 4), (7, 8)])
def test_data_shards_are_views_of_the_chunk_as_far_as_it_goes(k: int, size: int) -> None:
    chunk = bytearray(pattern(size))
    shards = Codec(k, k + 2).encode(chunk)
    assert (b"".join(shards[:k]))[:size] == chunk
    assert not any(b"".join(shards[:k])[size:])
    first, length = bytes(shards[0]), len(shards[0])
    if size // length:
        chunk[0] ^= 0xFF
        assert shards[0][0] == first[0] ^ 0xFF


def test_without_parity_there_are_only_data_shards() -> None:
    codec = Codec(3, 3)
    assert [bytes(shard) for shard in codec.encode(b"abcdefgh")] == [b"abc", b"def", b"gh\0"]
    assert codec.decode({0: b"abc", 1: b"def", 2: b"gh\0"}, 8) == b"abcdefgh"
    with pytest.raises(ShardsUnusable):
        codec.decode({0: b"abc", 1: b"def"}, 8)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "shards",
    [
        {},
        {0: b"ab", 1: b"ab"},
        {0: b"ab", 1: b"ab", 5: b"ab"},
        {0: b"ab", 1: b"ab", -1: b"ab"},
        {0: b"ab", 1: b"ab", 2: b"abc"},
        {0: b"ab", 1: b"ab", 2: b""},
        {0: b"a", 1: b"a", 2: b"a"},
        {0: b"abc", 1: b"abc", 2: b"abc"},
        {0: b"", 1: b"", 2: b""},
    ],
)
def test_shards_that_cannot_be_decoded_are_refused(shards: dict[int, bytes], engine: EngineName) -> None:
    with pytest.raises(ShardsUnusable):
        Codec(3, 5, engine).decode(shards, 6)


def test_rebuild_refuses_numbers_out_of_range_and_ignores_repetition() -> None:
    codec = Codec(2, 4)
    shards = dict(enumerate(codec.encode(b"abcd")))
    with pytest.raises(ShardsUnusable):
        codec.rebuild(shards, [4])
    assert codec.rebuild(shards, []) == {}
    assert codec.rebuild(shards, [3, 3]) == {3: shards[3]}


def test_an_empty_chunk_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        Codec(4, 6).encode(b"")


@pytest.mark.parametrize(("k", "n"), [(0, 3), (-1, 2), (4, 3), (1, 256), (256, 256)])
def test_impossible_codes_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Codec(k, n)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("k", "n"), [(1, 1), (1, 3), (2, 2), (4, 6), (8, 12), (30, 40)])
def test_self_test_passes(k: int, n: int, engine: EngineName) -> None:
    Codec(k, n, engine).self_test()


def test_self_test_fails_when_parity_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    multiply = isal.Isal.multiply

    def wrong(
        self: isal.Isal, tables: bytes, sources: object, targets: list[memoryview], length: int
    ) -> None:
        multiply(self, tables, sources, targets, length)  # type: ignore[arg-type]
        targets[-1][length - 1] ^= 1

    monkeypatch.setattr(isal.Isal, "multiply", wrong)
    with pytest.raises(CodecBroken):
        Codec(4, 6, "isal").self_test()


def test_self_test_fails_when_the_matrix_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both engines agreeing is not enough: another matrix could not read what was stored before."""
    monkeypatch.setitem(codec_module._KNOWN_ANSWERS, (4, 6), 1)
    for engine in ENGINES:
        with pytest.raises(CodecBroken, match="other parity"):
            Codec(4, 6, engine).self_test()


def test_self_test_fails_when_decoding_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    inverse = isal.Isal.inverse
    monkeypatch.setattr(isal.Isal, "inverse", lambda *args: inverse(*args)[::-1])
    with pytest.raises(CodecBroken, match="decodes"):
        Codec(4, 6, "isal").self_test()


def test_zfec_runs_where_isal_will_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    isal.load.cache_clear()
    monkeypatch.setattr(isal, "_candidates", lambda: iter(["libnowhere.so"]))
    try:
        assert Codec(4, 6).engine == "zfec"
        Codec(4, 6).self_test()
        with pytest.raises(isal.IsalMissing, match="libnowhere"):
            Codec(4, 6, "isal")
    finally:
        isal.load.cache_clear()


def test_isal_is_the_default() -> None:
    assert Codec(4, 6).engine == "isal"


def test_isal_refuses_what_would_corrupt_memory() -> None:
    library = isal.load()
    tables = library.tables(b"\1\2", 2)
    with pytest.raises(ValueError, match="are needed"):
        library.multiply(tables, [b"abcd", b"abc"], [bytearray(4)], 4)
    with pytest.raises(BufferError):
        library.multiply(tables, [b"abcd", b"abcd"], [b"read-only"[:4]], 4)
    with pytest.raises(ValueError, match="singular"):
        library.inverse(b"\1\1\1\1", 2)


def test_many_threads_share_one_codec() -> None:
    codec = Codec(4, 6)
    chunk = pattern(300_000)
    shards = [bytes(shard) for shard in codec.encode(chunk)]
    wrong: list[tuple[int, ...]] = []

    def work() -> None:
        for kept in combinations(range(6), 4):
            if (
                codec.encode(chunk) != shards
                or codec.decode({i: shards[i] for i in kept}, len(chunk)) != chunk
            ):
                wrong.append(kept)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
