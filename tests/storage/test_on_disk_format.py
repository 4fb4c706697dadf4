"""What lies on the drives, read as docs/on_disk_format.md writes it down and by nothing else of ours."""

import asyncio
import json
import re
import struct
from pathlib import Path

from xxhash import xxh3_64_hexdigest, xxh3_64_intdigest

from objstore.model import BlobRef
from objstore.storage.drive import DIRECTORIES
from tests.storage.support import CHUNK_BYTES, directories, drives_in, open_store, pieces, seeded

DOCUMENT = Path(__file__).parents[2] / "docs" / "on_disk_format.md"


def _stored(tmp_path: Path) -> list[tuple[BlobRef, bytes]]:
    async def store() -> list[tuple[BlobRef, bytes]]:
        random = seeded()
        with drives_in(directories(tmp_path)) as drives:
            opened = await open_store(drives)
            bodies = [random.randbytes(size) for size in (100, 50_000, 2 * CHUNK_BYTES + 5)]
            refs = [await opened.put(pieces(body), len(body)) for body in bodies]
            await opened.delete(await opened.put(pieces(b"gone"), 4))
            await opened.close()
            return list(zip(refs, bodies, strict=True))

    return asyncio.run(store())


def _payload(data: bytes, ref: BlobRef, chunk: int, shard: int) -> bytes:
    """The payload of the frame that `data` begins with, by the table "Shard frame"."""
    assert data[:4] == b"OSHD"
    assert data[4] == 1
    assert data[7] == shard
    assert data[8:24] == ref.id
    assert struct.unpack_from("<Q", data, 24)[0] in (0, ref.size)
    found_chunk, _, size = struct.unpack_from("<III", data, 32)
    assert found_chunk == chunk
    blocks = -(-size // 65536)
    assert struct.unpack_from("<Q", data, 56 + 8 * blocks)[0] == xxh3_64_intdigest(data[: 56 + 8 * blocks])
    start = 64 + 8 * blocks
    payload = data[start : start + size]
    seed = xxh3_64_intdigest(data[:56])
    for block in range(blocks):
        expected = struct.unpack_from("<Q", data, 56 + 8 * block)[0]
        piece = payload[block * 65536 : (block + 1) * 65536]
        assert xxh3_64_intdigest(piece, (seed + block) % 2**64) == expected
    return payload


def test_every_blob_is_found_by_the_document_alone(tmp_path: Path) -> None:
    for ref, body in _stored(tmp_path):
        kind, k, n = ref.locator[:3]
        if kind == 1:
            found = b""
            for shard in range(k):
                drive, pack, offset = struct.unpack_from("<HQI", ref.locator, 3 + 14 * shard)
                data = (tmp_path / f"d{drive}" / "packs" / f"{pack:016x}.pack").read_bytes()
                found += _payload(data[offset:], ref, 0, shard)
            assert len(ref.locator) == 3 + 14 * n
            assert found[: len(body)] == body
            continue
        (chunk_size,) = struct.unpack_from("<I", ref.locator, 3)
        chunk, found = 0, b""
        for start in range(7, len(ref.locator), 4 + 2 * n):
            chunks, *drives = struct.unpack_from(f"<I{n}H", ref.locator, start)
            for chunk in range(chunk, chunk + chunks):  # noqa: B020
                name = f"{ref.id.hex()}.{chunk:x}"
                data = [
                    (tmp_path / f"d{drives[i]}" / "shards" / ref.id.hex()[-2:] / f"{name}.{i:x}").read_bytes()
                    for i in range(k)
                ]
                whole = b"".join(_payload(data[i], ref, chunk, i) for i in range(k))
                found += whole[: min(chunk_size, len(body) - len(found))]
            chunk += 1
        assert found == body


def test_packs_and_their_accounts_are_as_the_document_says(tmp_path: Path) -> None:
    _stored(tmp_path)
    dead = 0
    for number in range(6):
        identity = json.loads((tmp_path / f"d{number}" / "objstore.json").read_text())
        for path in (tmp_path / f"d{number}" / "packs").glob("*.pack"):
            data = path.read_bytes()
            assert data[:8] == b"OSPK\x01\0\0\0"
            assert struct.unpack_from("<Q", data, 8)[0] == int(path.stem, 16)
            assert data[16:32].hex() == identity["uuid"]
            assert data[32:48].hex() == identity["deployment"]
            assert struct.unpack_from("<Q", data, 56)[0] == xxh3_64_intdigest(data[:56])
            assert data[64:68] == b"OSHD"
            assert path.stat().st_mode & 0o777 == 0o400
            account = path.with_suffix(".dead")
            if account.exists():
                written = account.read_bytes()
                magic, count, checksum = struct.unpack_from("<4sIQ", written)
                assert (magic, checksum) == (b"OSDD", xxh3_64_intdigest(written[16:]))
                assert len(written) == 16 + 16 * count
                for offset, length, tail in struct.iter_unpack("<II8s", written[16:]):
                    assert data[offset : offset + 4] == b"OSHD"
                    assert data[offset + 16 : offset + 24] == tail
                    assert length == 72 + 4
                    dead += 1
    assert dead == 3


def test_the_identity_file_is_as_the_document_says(tmp_path: Path) -> None:
    _stored(tmp_path)
    section = DOCUMENT.read_text().split("## Identity")[1].split("\n## ")[0]
    documented = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.M) for name in re.findall(r"`(\w+)`", row)
    }
    identity = json.loads((tmp_path / "d3" / "objstore.json").read_text())
    assert set(identity) == documented
    assert identity["number"] == 3
    assert identity["drives"]["3"] == identity["uuid"]
    assert identity["next_number"] == 6
    checksum = identity.pop("checksum")
    assert checksum == xxh3_64_hexdigest(json.dumps(identity, sort_keys=True, separators=(",", ":")).encode())


def test_the_directories_are_as_the_document_says(tmp_path: Path) -> None:
    _stored(tmp_path)
    section = DOCUMENT.read_text().split("## Drive layout")[1].split("\n## ")[0]
    documented = set(re.findall(r"`([a-z]+)/", section))
    assert documented == set(DIRECTORIES)
    assert {path.name for path in (tmp_path / "d0").iterdir()} == {*DIRECTORIES, "objstore.json"}
