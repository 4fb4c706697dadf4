"""How fast chunks are coded, decoded and framed on this machine. Run: python bench/bench_codec.py

Each figure is the best of several short runs, in one thread, on data that fits no cache level by luck.
"""

import os
import platform
import time
from collections.abc import Callable

from objstore.erasure import frame
from objstore.erasure.codec import Codec
from objstore.erasure.isal import IsalMissing

RUNS = 5
RUN_S = 0.15
MIB = 1 << 20


def best_s(action: Callable[[], object]) -> float:
    """The least mean time of one call over several runs."""
    best = float("inf")
    for _ in range(RUNS):
        calls, start = 0, time.perf_counter()
        while (spent := time.perf_counter() - start) < RUN_S:
            action()
            calls += 1
        best = min(best, spent / calls)
    return best


def bench_code() -> None:
    print(f"{'code':>6} {'engine':>6} {'chunk':>9} {'encode':>12} {'decode, m lost':>15}")
    for k, m in ((1, 2), (2, 1), (4, 2), (8, 4), (16, 4)):
        for name in ("isal", "zfec"):
            try:
                codec = Codec(k, k + m, "isal" if name == "isal" else "zfec")
            except IsalMissing as exc:
                print(f"{k}+{m:<4} {name:>6} missing: {exc}")
                continue
            for size in (64 * 1024, 8 * MIB):
                chunk = bytearray(os.urandom(size))
                shards = codec.encode(chunk)
                kept = {i: shards[i] for i in range(min(m, k), k + m)}
                encode = best_s(lambda codec=codec, chunk=chunk: codec.encode(chunk))
                decode = best_s(lambda codec=codec, kept=kept, size=size: codec.decode(kept, size))
                rates = [f"{size / seconds / 1e9:7.2f} GB/s" for seconds in (encode, decode)]
                print(f"{f'{k}+{m}':>6} {name:>6} {size // 1024:>5} KiB {rates[0]:>12} {rates[1]:>15}")


def bench_frame() -> None:
    print(f"\n{'payload':>9} {'build':>10} {'parse + check':>14}")
    blob_id = os.urandom(16)
    for size in (512, 4096, 65536, 2 * MIB):
        payload = os.urandom(size)
        fields = {
            "data_shards": 1,
            "total_shards": 3,
            "shard": 1,
            "blob_id": blob_id,
            "blob_size": size,
            "chunk": 0,
            "chunk_bytes": size,
            "chunk_checksum": frame.chunk_checksum(payload),
            "payload": payload,
        }
        whole = b"".join(frame.build(**fields))  # type: ignore[arg-type]
        build = best_s(lambda fields=fields: frame.build(**fields))
        check = best_s(lambda whole=whole: frame.open_frame(whole, blob_id, 0, 1))
        print(f"{size:>9} {build * 1e6:>7.2f} µs {check * 1e6:>11.2f} µs")


if __name__ == "__main__":
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    bench_code()
    bench_frame()
