"""Which drives hold a chunk: rendezvous hashing weighted by free space. Pure.

Every drive draws a number from the blob's id and its own; the highest win. A drive with twice the room
is chosen twice as often, and one more or less moves nothing: what was chosen stands in the locator.
Source: Schindelhauer and Schomaker, "Weighted Distributed Hash Tables" (SPAA 2005), logarithmic method.
"""

from collections.abc import Mapping, Sequence
from math import log
from typing import Final

from xxhash import xxh3_64_intdigest

_SCALE: Final = 1.0 / (1 << 64)


def choose(blob_id: bytes, room_bytes: Mapping[int, int], count: int) -> list[int]:
    """Up to `count` drive numbers, best first, of those with room. Fewer when there are fewer."""
    if len(room_bytes) <= count:
        return order(blob_id, [number for number, room in room_bytes.items() if room > 0])
    scores = sorted(
        (-room / log((xxh3_64_intdigest(blob_id, number) + 1) * _SCALE), number)
        for number, room in room_bytes.items()
        if room > 0
    )
    return [number for _, number in scores[: -count - 1 : -1]]


def order(blob_id: bytes, numbers: Sequence[int]) -> list[int]:
    """The drives in an order that differs from blob to blob, so that data shards spread over all."""
    return sorted(numbers, key=lambda number: xxh3_64_intdigest(blob_id, number), reverse=True)
