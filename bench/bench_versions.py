"""Listing current keys in a bucket full of noncurrent versions and delete markers, and in one without.

`python -m bench.bench_versions [--rows 1000000]` fills two buckets with the same current keys through the
ledger, without bytes; one of them gets so many noncurrent versions and delete markers besides: some below
each current key, most below keys that were deleted and lie between them. Then each question is put to both
in turn, and the ratio of what it costs is shown: 1 means that history costs a listing nothing.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.compare import show
from bench.load import Result, Target, run, signed
from objstore.deployment import find_server
from objstore.meta import queries
from objstore.meta.client import Metadata
from objstore.meta.commands import DeleteVersion, PutVersion
from objstore.model import Attributes
from objstore.shared_state import SharedState
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

PLAIN, HISTORY = "plain", "history"
CURRENT_KEYS = 10_000
FOLDERS = 100
DELETED_PER_KEY = 4
"""Keys that were deleted, between two current ones."""
WAITING = 1000
"""Commands under way at a time."""


def key_of(number: int) -> str:
    return f"{number % FOLDERS:02d}/{number:07d}"


def commands_for(bucket_id: int, current: int, versions_per_key: int) -> Iterator[PutVersion | DeleteVersion]:
    """What fills a bucket: the current keys, each with `versions_per_key` rows of history."""
    owner = "0" * 64
    number = 0

    def version_id() -> str:
        nonlocal number
        number += 1
        return f"{number:032d}"

    def put(key: str) -> PutVersion:
        return PutVersion(bucket_id, key, 0, "d" * 32, owner, Attributes(), version_id=version_id())

    for index in range(current):
        key = key_of(index)
        deleted = min(DELETED_PER_KEY, versions_per_key // 2)
        left = versions_per_key
        for gone in range(deleted):
            # most of the history lies below the last of them: a listing has to pass it
            count = 2 if gone + 1 < deleted else max(2, left // 2)
            for _ in range(count - 1):
                yield put(f"{key}.{gone}")
            yield DeleteVersion(bucket_id, f"{key}.{gone}", owner, new_version_id=version_id())
            left -= count
        for _ in range(1 + max(0, left)):
            yield put(key)


async def fill(server: Server, current: int, versions_per_key: int) -> None:
    """Both buckets, straight through the server's ledger."""
    runtime = find_server(server.drives)
    assert runtime is not None
    metadata = await Metadata.connect(str(runtime.ledger_socket), SharedState(runtime.state))
    try:
        for name, history in ((PLAIN, 0), (HISTORY, versions_per_key)):
            bucket = await metadata.read(queries.bucket_by_name, name)
            assert bucket is not None
            waiting: list[asyncio.Future[object]] = []
            for command in commands_for(bucket.id, current, history):
                waiting.append(asyncio.ensure_future(metadata.write(command)))
                if len(waiting) == WAITING:
                    await asyncio.gather(*waiting)
                    waiting.clear()
            await asyncio.gather(*waiting)
    finally:
        await metadata.close()


def questions(count: int) -> Iterator[tuple[str, str]]:
    """(name, query) of each listing; `{}` is the number of a folder."""
    yield "v2", "list-type=2&max-keys=1000&start-after={:02d}%2F"
    yield "v2-100-keys", "list-type=2&max-keys=100&start-after={:02d}%2F"
    yield "v2-prefix", "list-type=2&max-keys=1000&prefix={:02d}%2F"
    yield "v2-delimiter", "delimiter=%2F&list-type=2&max-keys=1000"
    yield "v2-in-folder", "delimiter=%2F&list-type=2&max-keys=1000&prefix={:02d}%2F"
    yield "v1-delimiter", "delimiter=%2F&max-keys=1000"
    yield "versions-1000", "key-marker={:02d}%2F&max-keys=1000&versions="
    yield "versions-prefix", "max-keys=1000&prefix={:02d}%2F&versions="
    yield "versions-folders", "delimiter=%2F&max-keys=1000&versions="


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="noncurrent versions and delete markers")
    parser.add_argument("--keys", type=int, default=CURRENT_KEYS, help="current keys")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=20, help="in a burst")
    parser.add_argument("--directory", default=None, help="where the drives are made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        server = Server(Path(directory)).start()
        try:
            assert server.process is not None
            pid = server.process.pid
            s3 = server.client()
            for name in (PLAIN, HISTORY):
                s3.create_bucket(Bucket=name)
            s3.put_bucket_versioning(Bucket=HISTORY, VersioningConfiguration={"Status": "Enabled"})
            began_s = time.monotonic()
            asyncio.run(fill(server, options.keys, options.rows // options.keys))
            print(f"filled in {time.monotonic() - began_s:.0f} s", flush=True)
            target = Target("127.0.0.1", server.port, ROOT_ACCESS_KEY, ROOT_SECRET_KEY)
            print("without -> with history")
            for name, query in questions(options.keys):
                found: tuple[list[Result], list[Result]] = ([], [])
                for turn in range(options.rounds):
                    for which, bucket in enumerate((PLAIN, HISTORY)):
                        wanted = [
                            query.format((turn * options.requests + n) % (FOLDERS - 15))
                            for n in range(options.requests)
                        ]
                        requests = [
                            signed(target, "GET", f"/{bucket}", "&".join(sorted(one.split("&"))))
                            for one in wanted
                        ]
                        found[which].append(run(target, requests, 1, pid))
                        assert not found[which][-1].errors
                show(name, *found)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
