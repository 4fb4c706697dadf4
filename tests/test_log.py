"""Log lines: JSON, never in anyone's way, without secrets."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from objstore.log import MAX_WAITING_BYTES, Writer

ACCESS = (
    'log.access("R1", "127.0.0.1", None, "GET", "/b/k\\"\\n\\u00fc", "GetObject", 404, "NoSuchKey", 0, 300, '
    '0.0123, "agent \\\\ \\udc80")'
)


def run(code: str, **environment: str) -> list[str]:
    """What a process that runs `code` logged."""
    finished = subprocess.run(
        [sys.executable, "-c", f"import logging\nfrom objstore import log\n{code}"],
        stderr=subprocess.PIPE,
        check=True,
        env={**os.environ, "OBJSTORE_PROCESS_ROLE": "worker-0", **environment},
    )
    return finished.stderr.decode().splitlines()


def test_an_access_line_is_one_json_object_whatever_the_client_sent() -> None:
    (line,) = run(f"log.start()\n{ACCESS}")
    said = json.loads(line)
    assert said["request_id"] == "R1"
    assert said["path"] == '/b/k"\nü'
    assert said["role"] == "worker-0"
    assert (said["status"], said["code"], said["ms"]) == (404, "NoSuchKey", 12.3)
    assert said["access_key"] is None


def test_access_lines_can_be_switched_off() -> None:
    assert run(f"log.start(access=False)\n{ACCESS}") == []


def test_messages_below_the_level_are_not_logged_and_extra_names_become_fields() -> None:
    code = 'log.start(level="warning")\nlogging.info("no")\nlogging.error("yes", extra={"request_id": "R2"})'
    (line,) = run(code)
    said = json.loads(line)
    assert (said["message"], said["level"], said["request_id"]) == ("yes", "error", "R2")


def test_a_traceback_stays_in_its_line() -> None:
    code = "log.start()\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n    logging.exception('oh')"
    (line,) = run(code)
    assert "ZeroDivisionError" in json.loads(line)["traceback"]


def test_text_for_people() -> None:
    lines = run('log.start(format="text")\nlogging.info("hello", extra={"request_id": "R3"})')
    assert lines[0].endswith("INFO    worker-0 hello (request R3)")


def test_access_lines_for_people_are_one_line_whatever_the_client_sent() -> None:
    (line,) = run(f'log.start(format="text")\n{ACCESS}')
    assert line.endswith(r"""GetObject "GET" "/b/k\"\nü" 404 NoSuchKey (0 in, 300 out, 12.3 ms) R1""")


def test_lines_of_many_threads_come_whole_and_all(tmp_path: Path) -> None:
    path = tmp_path / "log"
    writer = Writer(os.open(path, os.O_WRONLY | os.O_CREAT))

    def write(number: int) -> None:
        for line in range(500):
            writer.put(f"{number}:{line}:" + "x" * 200, urgent=line % 50 == 0)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    lines = path.read_text().splitlines()
    assert len(lines) == 2000
    assert all(line.endswith(":" + "x" * 200) for line in lines)


def test_a_reader_that_stops_reading_holds_nobody_up_and_losses_are_counted() -> None:
    read, write = os.pipe()
    writer = Writer(write)
    line = "x" * 10_000
    began = time.monotonic()
    for _ in range(2 * MAX_WAITING_BYTES // len(line)):
        writer.put(line)
    assert time.monotonic() - began < 5
    received = bytearray()

    def drain() -> None:
        while data := os.read(read, 1 << 16):
            received.extend(data)

    reader = threading.Thread(target=drain)
    reader.start()
    deadline = time.monotonic() + 10
    while b"log lines dropped" not in received and time.monotonic() < deadline:
        time.sleep(0.05)
        writer.put("more", urgent=True)
    writer.close()
    os.close(write)
    reader.join(10)
    os.close(read)
    assert b"log lines dropped" in received
