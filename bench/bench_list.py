"""LIST: 1,000 keys of 100,000, flat and by delimiter, through the server.

`python -m bench.bench_list [--keys 100000]`
"""

import argparse
import tempfile
from pathlib import Path

from bench.bench_put_get import BUCKET, show
from bench.load import Target, run, signed
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--directory", default=None, help="where the drives are made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        server = Server(Path(directory)).start()
        try:
            assert server.process is not None
            pid = server.process.pid
            target = Target("127.0.0.1", server.port, ROOT_ACCESS_KEY, ROOT_SECRET_KEY)
            server.client().create_bucket(Bucket=BUCKET)
            for start in range(
                0, options.keys, 10_000
            ):  # signed in slices: a signature is good for 15 minutes
                puts = [
                    signed(target, "PUT", f"/{BUCKET}/{n % 100:02d}/{n:07d}")
                    for n in range(start, min(start + 10_000, options.keys))
                ]
                run(target, puts, 32, pid)
            for name, query, count in (
                ("list-v2-1000", "list-type=2&max-keys=1000&start-after={:02d}%2F", 100),
                ("list-v1-1000", "marker={:02d}%2F&max-keys=1000", 100),
                ("list-prefixes", "delimiter=%2F&list-type=2&max-keys=1000", 100),
                ("list-in-prefix", "delimiter=%2F&list-type=2&max-keys=1000&prefix={:02d}%2F", 100),
            ):
                for concurrency in (1, 32):
                    requests = [
                        signed(target, "GET", f"/{BUCKET}", "&".join(sorted(query.format(n % 99).split("&"))))
                        for n in range(count)
                    ]
                    show(f"{name}-c{concurrency}", run(target, requests, concurrency, pid))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
