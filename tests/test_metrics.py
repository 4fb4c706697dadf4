"""Metrics of several processes are one page, and a restarted process goes on counting."""

import os
import subprocess
import sys
import time
from pathlib import Path

from objstore import metrics


def run(directory: Path, role: str, code: str) -> str:
    """Standard output of a process of that role."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(directory), "OBJSTORE_PROCESS_ROLE": role}
    command = [sys.executable, "-c", f"from objstore import metrics\n{code}"]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def page(directory: Path) -> str:
    return run(directory, "reader", "print(metrics.page()[1].decode())")


def test_requests_are_summed_over_workers_and_restarts(tmp_path: Path) -> None:
    count = 'metrics.count_request("GetObject", 200, 0.004, 0, 100)'
    for role in ("worker-0", "worker-1", "worker-0"):
        run(tmp_path, role, count)
    text = page(tmp_path)
    assert 'objstore_request_seconds_count{operation="GetObject",status="200"} 3.0' in text
    assert 'objstore_request_seconds_bucket{le="0.005",operation="GetObject",status="200"} 3.0' in text
    assert "objstore_sent_bytes_total 300.0" in text
    assert len(list(tmp_path.glob("counter_*"))) == 3  # two workers and the reader, not one a process


def test_gauges_of_two_workers_are_added(tmp_path: Path) -> None:
    run(tmp_path, "worker-0", "metrics.CONNECTIONS.set(2)")
    run(tmp_path, "worker-1", "metrics.CONNECTIONS.set(3)")
    assert "objstore_connections 5.0" in page(tmp_path)


def test_the_page_has_a_sentence_for_every_metric() -> None:
    content_type, body = metrics.page()
    assert content_type.startswith("text/plain")
    assert b"# HELP objstore_ledger_commit_seconds Time from" in body


def test_counting_a_request_is_cheap(tmp_path: Path) -> None:
    code = (
        "import timeit\n"
        "call = lambda: metrics.count_request('GetObject', 200, 0.004, 10, 100)\n"
        "print(min(timeit.repeat(call, number=2000, repeat=5)) / 2000)"
    )
    began = time.monotonic()
    seconds = float(run(tmp_path, "worker-0", code))
    assert seconds < 50e-6, f"{seconds * 1e6:.1f} µs, started {time.monotonic() - began:.1f} s ago"
