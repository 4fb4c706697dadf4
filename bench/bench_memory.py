"""Resident memory of the whole process group while one very large object goes up and comes down.

`python -m bench.bench_memory [--gib 5]` uploads one single PUT and one multipart upload of that size, and
downloads both, sampling the memory of every process of the server ten times a second.
"""

import argparse
import hashlib
import http.client
import tempfile
import threading
import time
from pathlib import Path

from bench.bench_put_get import BUCKET, MIB, multipart
from bench.load import Target, resident_bytes, signed
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

BLOCK = bytes(range(256)) * 4096


class Sampler(threading.Thread):
    """The largest sum of resident memory seen while it runs."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.stopped = pid, 0, threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.1):
            self.peak = max(self.peak, resident_bytes(self.pid))


def upload(target: Target, path: str, blocks: int) -> None:
    request = signed(target, "PUT", path)
    connection = http.client.HTTPConnection(target.host, target.port, timeout=600)
    connection.putrequest("PUT", path, skip_host=True, skip_accept_encoding=True)
    headers = dict(line.split(": ", 1) for line in request.head.decode().split("\r\n")[1:] if line)
    headers["content-length"] = str(blocks * len(BLOCK))  # not among the signed ones
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    for _ in range(blocks):
        connection.send(BLOCK)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.read()


def download(target: Target, path: str) -> tuple[int, str]:
    request = signed(target, "GET", path)
    connection = http.client.HTTPConnection(target.host, target.port, timeout=600)
    headers = dict(line.split(": ", 1) for line in request.head.decode().split("\r\n")[1:] if line)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    digest, total = hashlib.md5(), 0
    while piece := answer.read(1 << 20):
        digest.update(piece)
        total += len(piece)
    return total, digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=5.0)
    parser.add_argument("--directory", default=None, help="where the drives are made")
    options = parser.parse_args()
    blocks = int(options.gib * 1024)
    expected = hashlib.md5()
    for _ in range(blocks):
        expected.update(BLOCK)
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        server = Server(Path(directory)).start()
        try:
            assert server.process is not None
            target = Target("127.0.0.1", server.port, ROOT_ACCESS_KEY, ROOT_SECRET_KEY)
            server.client().create_bucket(Bucket=BUCKET)
            idle = resident_bytes(server.process.pid)
            sampler = Sampler(server.process.pid)
            sampler.start()
            began = time.monotonic()
            upload(target, f"/{BUCKET}/single", blocks)
            put_s, put_peak = time.monotonic() - began, sampler.peak
            began = time.monotonic()
            total, digest = download(target, f"/{BUCKET}/single")
            get_s = time.monotonic() - began
            assert (total, digest) == (blocks * len(BLOCK), expected.hexdigest())
            multipart(target, 32, 64 * MIB, server.process.pid)
            sampler.stopped.set()
            print(
                f"{options.gib} GiB: idle {idle / MIB:.0f} MiB, "
                f"peak up {put_peak / MIB:.0f} MiB ({put_s:.1f} s), "
                f"peak of all {sampler.peak / MIB:.0f} MiB (down {get_s:.1f} s)"
            )
        finally:
            server.stop()


if __name__ == "__main__":
    main()
