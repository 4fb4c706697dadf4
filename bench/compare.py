"""Two versions side by side: what a 4 KiB PUT and GET cost in one, as a ratio to the other.

`python -m bench.compare TREE [--rounds 12]` starts a server of the source tree at TREE (the one before)
and one of this tree, and lets them take turns: each round has one burst of requests for each, in
alternating order. What else the machine does meets both alike, so the ratios are good to a few percent
where single figures are not. CPU per request is the figure to go by.
"""

import argparse
import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.load import Result, Target, run, signed
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

BUCKET = "bench"
BODY_BYTES = 4096
TREE = Path(__file__).parents[1]


class Version:
    """A running server of one source tree."""

    def __init__(self, tree: Path, directory: Path) -> None:
        self.server = Server(directory, environment={"PYTHONPATH": str(tree)}).start()
        self.target = Target("127.0.0.1", self.server.port, ROOT_ACCESS_KEY, ROOT_SECRET_KEY)
        self.server.client().create_bucket(Bucket=BUCKET)

    def burst(self, method: str, prefix: str, count: int, concurrency: int) -> Result:
        """`count` requests for as many keys below `prefix`."""
        assert self.server.process is not None
        body = os.urandom(BODY_BYTES) if method == "PUT" else b""
        requests = [
            signed(self.target, method, f"/{BUCKET}/{prefix}/{n:06d}", body=body) for n in range(count)
        ]
        result = run(self.target, requests, concurrency, self.server.process.pid)
        assert not result.errors, result.errors
        return result


def show(name: str, before: list[Result], after: list[Result]) -> None:
    """A row: the medians of both; the median and middle half of the ratios of each round; the ratio of the
    least either ever cost, which the rest of a busy machine touches least."""
    ratios = [b.cpu_ms / a.cpu_ms for a, b in zip(before, after, strict=True)]
    quarter, middle, three_quarters = statistics.quantiles(ratios, n=4)
    least = min(result.cpu_ms for result in after) / min(result.cpu_ms for result in before)
    roles = sorted({role for result in (*before, *after) for role in result.cpu_ms_by_role})
    by_role = ", ".join(f"{role} {_of(role, before):.3f} -> {_of(role, after):.3f}" for role in roles)
    rate = statistics.median(b.rate / a.rate for a, b in zip(before, after, strict=True))
    print(
        f"{name:16} cpu {statistics.median(r.cpu_ms for r in before):6.3f} -> "
        f"{statistics.median(r.cpu_ms for r in after):6.3f} ms, ratio {middle:.3f} "
        f"({quarter:.3f}-{three_quarters:.3f}), of the least {least:.3f}; {by_role}; rate ratio {rate:.3f}",
        flush=True,
    )


def _of(role: str, results: list[Result]) -> float:
    return statistics.median(result.cpu_ms_by_role.get(role, 0.0) for result in results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tree", type=Path, help="the source tree to compare this one with")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--requests", type=int, default=3000, help="in a burst")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--directory", default=None, help="where the drives are made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory, ExitStack() as running:
        versions = []
        for name, tree in (("before", options.tree.resolve()), ("after", TREE)):
            versions.append(Version(tree, Path(directory) / name))
            running.callback(versions[-1].server.stop)
        for version in versions:
            version.burst("PUT", "warm", 500, 8)
            version.burst("GET", "warm", 500, 8)
        results: dict[str, tuple[list[Result], list[Result]]] = {}
        for turn in range(options.rounds):
            for method in ("PUT", "GET"):
                order = (0, 1) if turn % 2 else (1, 0)
                for which in order:
                    result = versions[which].burst(method, f"{turn}", options.requests, options.concurrency)
                    results.setdefault(method, ([], []))[which].append(result)
        for method, (before, after) in results.items():
            show(f"{method.lower()}-4k-c{options.concurrency}", before, after)


if __name__ == "__main__":
    main()
