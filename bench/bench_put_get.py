"""PUT, GET, HEAD and DELETE by size and concurrency, multipart, and the memory of large transfers.

`python -m bench.bench_put_get [--quick] [--only put-4k]` starts a server of its own (two workers, six
directories on one disk), runs each scenario after a warm-up, and prints one row a scenario: README.md.
"""

import argparse
import hashlib
import json
import os
import re
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.load import Request, Result, Target, resident_bytes, run, signed
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

KIB, MIB = 1 << 10, 1 << 20
BUCKET = "bench"


def rows(target: Target, scale: float) -> Iterator[tuple[str, Callable[[int], list[Request]], int]]:
    """(name, requests of a repetition, concurrency) of every scenario, in an order in which each finds its
    objects: a repetition has its own."""
    for size, label, count in ((4 * KIB, "4k", 8000), (MIB, "1m", 400), (64 * MIB, "64m", 12)):
        for concurrency in (1, 32):
            if size == 64 * MIB and concurrency == 32:
                concurrency = 4
            number = max(concurrency, int(count * scale * (0.25 if concurrency == 1 else 1)))
            body = os.urandom(size)

            def path(turn: int, index: int, concurrency: int = concurrency, label: str = label) -> str:
                return f"/{BUCKET}/{label}/{concurrency}/{turn}/{index:06d}"

            def make(
                method: str, body: bytes = b"", number: int = number, path: Callable[[int, int], str] = path
            ) -> Callable[[int], list[Request]]:
                return lambda turn: [
                    signed(target, method, path(turn, index), body=body) for index in range(number)
                ]

            yield f"put-{label}-c{concurrency}", make("PUT", body), concurrency
            yield f"get-{label}-c{concurrency}", make("GET"), concurrency
            if size == 4 * KIB:
                yield f"head-{label}-c{concurrency}", make("HEAD"), concurrency
            yield f"delete-{label}-c{concurrency}", make("DELETE"), concurrency


def multipart(target: Target, parts: int, part_bytes: int, server_pid: int) -> Result:
    """One multipart upload of `parts` parts, four at a time, Create and Complete included."""

    def call(request: Request) -> bytes:
        head = request.head.decode().split("\r\n")
        method, location, _ = head[0].split(" ")
        sent = urllib.request.Request(
            f"http://{target.host}:{target.port}{location}",
            data=request.body or None,
            method=method,
            headers=dict(line.split(": ", 1) for line in head[1:] if line),
        )
        with urllib.request.urlopen(sent) as answer:
            return bytes(answer.read())

    body = os.urandom(part_bytes)
    created = call(signed(target, "POST", f"/{BUCKET}/multipart", "uploads="))
    upload_id = re.search(rb"<UploadId>(.*?)</UploadId>", created).group(1).decode()
    result = run(
        target,
        [
            signed(target, "PUT", f"/{BUCKET}/multipart", f"partNumber={n}&uploadId={upload_id}", body)
            for n in range(1, parts + 1)
        ],
        4,
        server_pid,
    )
    etag = hashlib.md5(body).hexdigest()
    listed = "".join(
        f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n in range(1, parts + 1)
    )
    answer = call(
        signed(
            target,
            "POST",
            f"/{BUCKET}/multipart",
            f"uploadId={upload_id}",
            f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode(),
        )
    )
    assert b"<ETag>" in answer, answer
    return result


def show(name: str, *results: Result) -> None:
    """One row: the median of the repetitions, and in brackets their range."""
    rates, cpu = sorted(r.rate for r in results), sorted(r.cpu_ms for r in results)
    middle = sorted(results, key=lambda result: result.cpu_ms)[len(results) // 2]
    latencies = [statistics.median(r.percentile_ms(share) for r in results) for share in (0.5, 0.99)]
    print(
        f"{name:16} {middle.count:6} {sum(r.errors for r in results):4} "
        f"{statistics.median(rates):8.1f}/s ({rates[0]:.1f}-{rates[-1]:.1f}) "
        f"{statistics.median(r.megabytes_per_s for r in results):7.1f} MB/s "
        f"cpu {statistics.median(cpu):7.3f} ms ({cpu[0]:.3f}-{cpu[-1]:.3f}: "
        + ", ".join(f"{role} {spent:.3f}" for role, spent in sorted(middle.cpu_ms_by_role.items()) if spent)
        + f") p50 {latencies[0]:.2f} p99 {latencies[1]:.2f} ms",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the requests")
    parser.add_argument("--repeat", type=int, default=3, help="how often each scenario runs")
    parser.add_argument("--only", default="", help="run the scenarios whose name starts so (and their PUT)")
    parser.add_argument("--directory", default=None, help="where the drives are made")
    parser.add_argument("--json", default=None, help="also write the rows to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        server = Server(Path(directory)).start()
        try:
            assert server.process is not None
            pid = server.process.pid
            target = Target("127.0.0.1", server.port, ROOT_ACCESS_KEY, ROOT_SECRET_KEY)
            server.client().create_bucket(Bucket=BUCKET)
            run(
                target,
                [signed(target, "PUT", f"/{BUCKET}/warm/{n}", body=b"w" * 4096) for n in range(500)],
                8,
                pid,
            )
            run(target, [signed(target, "GET", f"/{BUCKET}/warm/{n}") for n in range(500)], 8, pid)
            report = []
            print(f"{'scenario':16} {'count':>6} {'err':>4}")
            for name, requests, concurrency in rows(target, 0.1 if options.quick else 1.0):
                if options.only and not name.startswith(options.only):
                    continue
                results = []
                for turn in range(options.repeat):
                    results.append(run(target, requests(turn), concurrency, pid))
                    time.sleep(0.5)
                show(name, *results)
                report += [
                    {
                        "name": name,
                        "rate": result.rate,
                        "mb_s": result.megabytes_per_s,
                        "cpu_ms": result.cpu_ms,
                        "cpu_ms_by_role": result.cpu_ms_by_role,
                        "p50_ms": result.percentile_ms(0.5),
                        "p99_ms": result.percentile_ms(0.99),
                        "errors": result.errors,
                    }
                    for result in results
                ]
            if not options.only or "multipart".startswith(options.only):
                show("multipart-256m", multipart(target, 32, 8 * MIB, pid))
            print(f"resident memory of all processes now: {resident_bytes(pid) / MIB:.0f} MiB")
            if options.json:
                Path(options.json).write_text(json.dumps(report, indent=1))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
