"""Starting, stopping, and what happens when a process dies: as an operator and a client see it."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from objstore.supervisor import Child, Runtime, RuntimeDirectory, listen
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server, free_port


def get(server: Server, path: str) -> tuple[int, bytes]:
    """Status and body of a plain GET."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def eventually(check: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not check():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def nothing_left_running(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kill what a failed test left running."""
    spawned: list[Server] = []
    spawn = Server.spawn
    monkeypatch.setattr(Server, "spawn", lambda self: (spawned.append(self), spawn(self))[1])
    yield
    for server in spawned:
        if server.process is not None:
            server.kill()


def refusal(server: Server) -> str:
    """What a server says that does not start."""
    server.log_path.unlink(missing_ok=True)
    server.spawn()
    assert server.process is not None
    assert server.process.wait(30) == 1
    server.process = None
    assert "Traceback" not in server.log_tail()
    return server.log_tail()


def started(server: Server) -> Server:
    server.start()
    eventually(lambda: "objstore serves S3 at" in server.log_tail(100_000))
    return server


class ZeroConfig(Server):
    """`objstore serve ./data`, with no root credentials given."""

    def full_environment(self) -> dict[str, str]:
        environment = super().full_environment()
        for name in ("OBJSTORE_ROOT_ACCESS_KEY", "OBJSTORE_ROOT_SECRET_KEY"):
            if name not in self.environment:
                del environment[name]
        return environment


def zero_config(directory: Path, **environment: str) -> ZeroConfig:
    server = ZeroConfig(directory, drive_count=0, environment=environment)
    server.drives = [directory / "data"]
    return server


# The first start


def test_serve_data_makes_six_drives_and_root_credentials_and_says_how_to_use_them(tmp_path: Path) -> None:
    server = started(zero_config(tmp_path))
    said = server.log_tail(100_000)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [f"d{n}" for n in range(1, 7)]
    assert "share one disk" in said
    export = re.search(r"export AWS_ACCESS_KEY_ID=(\S+) AWS_SECRET_ACCESS_KEY=(\S+)", said)
    assert export
    access_key, secret_key = export.groups()

    kept = tmp_path / "data/d1/system/root-credentials.json"
    assert json.loads(kept.read_text()) == {"access_key": access_key, "secret_key": secret_key}
    for path in (tmp_path / "data").glob("d*/system/*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    server.client(access_key, secret_key).create_bucket(Bucket="first")

    snippet = said[said.index("import boto3") : said.index('")\n', said.index("import boto3")) + 2]
    used: dict[str, Any] = {"boto3": boto3}
    exec("\n".join(line.strip() for line in snippet.splitlines()[:2]) + snippet.splitlines()[2], used)
    assert [bucket["Name"] for bucket in used["s3"].list_buckets()["Buckets"]] == ["first"]

    assert server.stop() == 0
    server.log_path.unlink()
    started(server)
    assert secret_key not in server.log_tail(100_000), "the secret is shown once"
    assert server.client(access_key, secret_key).list_buckets()["Buckets"]

    assert server.stop() == 0
    server.environment = {"OBJSTORE_ROOT_ACCESS_KEY": "ANOTHER", "OBJSTORE_ROOT_SECRET_KEY": "another-secret"}
    started(server)
    assert server.client("ANOTHER", "another-secret").list_buckets()["Buckets"]
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        server.client(access_key, secret_key).list_buckets()
    assert server.stop() == 0


def test_two_deployments_never_have_the_same_credentials(tmp_path: Path) -> None:
    found = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        server = started(zero_config(tmp_path / name))
        found.add((tmp_path / name / "data/d1/system/root-credentials.json").read_text())
        found.add((tmp_path / name / "data/d1/system/secret.key").read_text())
        assert server.stop() == 0
    assert len(found) == 4


def test_a_lost_drive_of_a_divided_directory_is_not_made_again(tmp_path: Path) -> None:
    server = started(zero_config(tmp_path))
    assert server.stop() == 0
    subprocess.run(["rm", "-r", str(tmp_path / "data/d3")], check=True)
    started(server)
    assert not (tmp_path / "data/d3").exists()
    assert "d3 is offline" in server.log_tail(100_000)
    assert server.stop() == 0


def test_a_directory_that_is_not_empty_is_not_taken(tmp_path: Path) -> None:
    server = Server(tmp_path)
    (server.drives[2] / "thesis.tex").write_text("precious")
    assert "d3" in refusal(server)
    assert [path.name for drive in server.drives for path in drive.iterdir()] == ["thesis.tex"]


def test_drives_that_do_not_exist_are_not_made(tmp_path: Path) -> None:
    server = Server(tmp_path)
    for drive in server.drives:
        drive.rmdir()
    assert "no such directory" in refusal(server).lower()
    assert not any(drive.exists() for drive in server.drives)


def test_a_port_in_use_is_refused_by_name(server: Server, tmp_path: Path) -> None:
    other = Server(tmp_path)
    other.port = server.port
    assert f"cannot listen on 127.0.0.1 port {server.port}: Address already in use" in refusal(other)


# Health, metrics, log


def test_health_and_metrics_lie_where_no_bucket_can(server: Server, s3: Any, bucket: str) -> None:
    assert get(server, "/health/live") == (200, b'{"status": "live"}\n')
    status, body = get(server, "/health/ready")
    assert (status, json.loads(body)) == (200, {"status": "ready", "reasons": []})
    s3.put_object(Bucket=bucket, Key="measured", Body=b"x" * 100_000)
    for _ in range(20):
        s3.get_object(Bucket=bucket, Key="measured")["Body"].read()
    _, page = get(server, "/metrics")
    text = page.decode()
    assert re.search(r'objstore_request_seconds_count\{operation="GetObject",status="200"\} [1-9]', text)
    assert re.search(r"objstore_sent_bytes_total [1-9]", text)
    assert re.search(r"objstore_received_bytes_total [1-9]", text)
    assert text.count('objstore_drive_free_bytes{drive="') == 6
    assert text.count('state="online"} 1.0') == 6
    assert re.search(r"objstore_ledger_commit_seconds_count [1-9]", text)
    assert re.search(r"objstore_ledger_batch_commands_count [1-9]", text)
    assert "objstore_repair_queue_blobs 0.0" in text
    assert "objstore_at_risk_blobs 0.0" in text
    assert re.search(r"objstore_connections [0-9]", text)
    for name in ("health", "metrics"):
        with pytest.raises(ClientError, match=r"InvalidBucketName|405"):
            s3.create_bucket(Bucket=name)


def test_no_secret_is_ever_logged(tmp_path: Path) -> None:
    server = Server(tmp_path, options=["--log-level", "debug"]).start()
    made = server.make_user("talker")
    url = server.client(signature_version="s3v4").generate_presigned_url("list_buckets")
    urllib.request.urlopen(url).read()
    key = (server.drives[0] / "system/secret.key").read_text().strip()
    assert server.stop() == 0
    logged = server.log_tail(10_000_000)
    assert '"operation":"ListBuckets"' in logged
    for secret in (ROOT_SECRET_KEY, made["secret_key"], key, key.split(":")[1], "X-Amz-Signature"):
        assert secret not in logged


def test_no_secret_is_in_a_command_line_or_in_a_childs_environment(server: Server) -> None:
    assert server.process is not None
    children = [pid for pids in server.children().values() for pid in pids]
    assert len(children) == 4
    for pid in (server.process.pid, *children):
        assert ROOT_SECRET_KEY.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    for pid in children:
        assert ROOT_SECRET_KEY.encode() not in Path(f"/proc/{pid}/environ").read_bytes()


# Stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_in_order_and_the_next_start_needs_no_waiting(tmp_path: Path, number: int) -> None:
    server = started(Server(tmp_path))
    runtime = runtime_of(server)
    server.client().create_bucket(Bucket="kept")
    children = [pid for pids in server.children().values() for pid in pids]
    assert server.process is not None
    server.process.send_signal(number)
    assert server.process.wait(20) == 0
    server.process = None
    assert not runtime.path.exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    server.start()
    assert [b["Name"] for b in server.client().list_buckets()["Buckets"]] == ["kept"]
    assert server.stop() == 0
    assert '"level": "error"' not in server.log_tail(1_000_000)


def runtime_of(server: Server) -> Runtime:
    note = json.loads((server.drives[0] / "system/server.json").read_text())
    return Runtime(Path(note["runtime"]))


class SlowBody:
    """A body that arrives piece by piece."""

    def __init__(self, pieces: int, pause_s: float) -> None:
        self.left = pieces
        self.pause_s = pause_s
        self.begun = threading.Event()

    def read(self, size: int = -1) -> bytes:
        self.begun.set()
        if self.left == 0:
            return b""
        self.left -= 1
        time.sleep(self.pause_s)
        return b"s" * 1000


def put_slowly(server: Server, body: SlowBody, key: str, outcome: list[Any]) -> None:
    url = server.client(signature_version="s3v4").generate_presigned_url(
        "put_object", Params={"Bucket": "slow", "Key": key}
    )
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        headers = {"Content-Length": str(1000 * body.left)}
        connection.request("PUT", url.split(str(server.port), 1)[1], body=body, headers=headers)  # type: ignore[arg-type]
        outcome.append(connection.getresponse().status)
    except OSError as exc:
        outcome.append(exc)
    finally:
        connection.close()


def test_a_request_under_way_is_finished_before_the_server_stops(tmp_path: Path) -> None:
    server = started(Server(tmp_path))
    server.client().create_bucket(Bucket="slow")
    body, outcome = SlowBody(20, 0.1), []  # type: tuple[SlowBody, list[Any]]
    thread = threading.Thread(target=put_slowly, args=(server, body, "finished", outcome))
    thread.start()
    body.begun.wait(10)
    time.sleep(0.3)
    assert server.stop() == 0
    thread.join(30)
    assert outcome == [200]
    server.start()
    assert server.client().head_object(Bucket="slow", Key="finished")["ContentLength"] == 20_000
    assert server.stop() == 0


def test_draining_is_bounded_and_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    for drain_s, signals, limit_s in (("0.5", 1, 10.0), ("60", 2, 10.0)):
        server = Server(tmp_path, options=["--drain-s", drain_s])
        started(server)
        if not server.client().list_buckets()["Buckets"]:
            server.client().create_bucket(Bucket="slow")
        body, outcome = SlowBody(100, 0.3), []  # type: tuple[SlowBody, list[Any]]
        thread = threading.Thread(target=put_slowly, args=(server, body, "cut", outcome))
        thread.start()
        body.begun.wait(10)
        time.sleep(0.4)
        began = time.monotonic()
        assert server.process is not None
        for _ in range(signals):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
        assert server.process.wait(30) == 0
        assert time.monotonic() - began < limit_s
        server.process = None
        body.left = 0
        thread.join(30)
        assert outcome != [200]
        server.start()
        with pytest.raises(ClientError, match="404"):
            server.client().head_object(Bucket="slow", Key="cut")
        assert server.stop() == 0


# Dying


def test_a_dead_child_is_replaced_at_once_and_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    server = started(Server(tmp_path))
    server.client().create_bucket(Bucket="alive")
    for victim in ("worker", "ledger", "jobs", "worker"):
        before = server.children()
        server.client().put_object(Bucket="alive", Key=victim, Body=victim.encode())
        began = time.monotonic()
        os.kill(before[victim][0], signal.SIGKILL)

        def replaced(victim: str = victim, before: dict[str, list[int]] = before) -> bool:
            now = server.children().get(victim, [])
            return len(now) == len(before[victim]) and now != before[victim]

        eventually(replaced)
        assert time.monotonic() - began < 3.0
        server.wait_ready()
        assert server.client().get_object(Bucket="alive", Key=victim)["Body"].read() == victim.encode()
        eventually(
            lambda: all(len(pids) == (2 if r == "worker" else 1) for r, pids in server.children().items())
        )
    eventually(lambda: b'objstore_process_restarts_total{role="worker"} 2.0' in get(server, "/metrics")[1])
    assert server.stop() == 0


def test_a_new_connection_waits_while_its_worker_is_replaced(tmp_path: Path) -> None:
    server = Server(tmp_path, workers=1)
    started(server)
    os.kill(server.children()["worker"][0], signal.SIGKILL)
    assert get(server, "/health/live")[0] == 200, "not refused: the queue belongs to the supervisor"
    assert server.stop() == 0


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    server = started(Server(tmp_path))
    runtime = runtime_of(server)
    children = [pid for pids in server.children().values() for pid in pids]
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    server.process = None
    eventually(lambda: not any(is_running(pid) for pid in children))
    assert runtime.path.exists()
    assert not runtime.is_alive
    server.start()
    assert not runtime.path.exists(), "what was left over is swept away"
    assert server.stop() == 0


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_without_a_quorum_of_journals_it_is_not_ready_but_alive_and_keeps_trying(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    server.client().create_bucket(Bucket="there")
    assert server.stop() == 0
    aside = tmp_path / "aside"
    aside.mkdir()
    for drive in server.drives[:4]:
        drive.rename(aside / drive.name)
    server.spawn()
    eventually(lambda: _status(server, "/health/live") == 200)
    for path in ("/health/ready", "/health/writable"):
        status, body = get(server, path)
        assert status == 503
        assert json.loads(body)["reasons"]
    for drive in server.drives[:4]:
        (aside / drive.name).rename(drive)
    server.wait_ready(30)
    eventually(lambda: _status(server, "/health/writable") == 200)
    assert [b["Name"] for b in server.client().list_buckets()["Buckets"]] == ["there"]
    assert server.stop() == 0


def test_with_too_few_drives_to_write_it_is_ready_to_read_and_says_so(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    server.client().create_bucket(Bucket="there")
    server.client().put_object(Bucket="there", Key="k", Body=b"k" * 100_000)
    for drive in server.drives[4:]:
        drive.rename(tmp_path / f"away-{drive.name}")
    eventually(lambda: b"read-only" in get(server, "/health/ready")[1])
    eventually(lambda: {_status(server, "/health/writable") for _ in range(6)} == {503})
    # Each worker finds it out by itself.
    eventually(lambda: all(b"4 drives" in get(server, "/health/ready")[1] for _ in range(8)))
    assert get(server, "/health/ready")[0] == 200
    assert server.client().get_object(Bucket="there", Key="k")["Body"].read() == b"k" * 100_000
    assert server.stop() == 0


def _status(server: Server, path: str) -> int:
    try:
        return get(server, path)[0]
    except OSError:
        return 0


# TLS


def make_certificate(directory: Path, name: str) -> None:
    """A self-signed certificate of this common name in tls.crt and tls.key."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(directory / "tls.key"), "-out", str(directory / "tls.crt")],
        check=True, capture_output=True,
    )  # fmt: skip


def served_certificate(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port))


class TlsServer(Server):
    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def is_ready(self) -> bool:
        context = ssl.create_default_context(cafile=str(self.directory / "tls.crt"))
        try:
            url = f"{self.endpoint}/health/ready"
            with urllib.request.urlopen(url, timeout=2, context=context) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def test_https_with_a_certificate_that_is_read_again_on_sighup(tmp_path: Path) -> None:
    make_certificate(tmp_path, "one")
    options = [f"--tls-certificate={tmp_path}/tls.crt", f"--tls-key={tmp_path}/tls.key"]
    server = TlsServer(tmp_path, options=options)
    started(server)
    s3 = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        region_name="us-east-1",
        verify=str(tmp_path / "tls.crt"),
        aws_access_key_id=ROOT_ACCESS_KEY,
        aws_secret_access_key=ROOT_SECRET_KEY,
    )
    s3.create_bucket(Bucket="secure")
    s3.put_object(Bucket="secure", Key="k", Body=b"over TLS" * 100_000)
    assert s3.get_object(Bucket="secure", Key="k")["Body"].read() == b"over TLS" * 100_000
    first = served_certificate(server.port)
    assert server.process is not None

    (tmp_path / "tls.crt").write_text("no certificate")
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: "certificate not reloaded" in server.log_tail(100_000))
    assert served_certificate(server.port) == first

    make_certificate(tmp_path, "two")
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: {served_certificate(server.port) for _ in range(6)}.isdisjoint({first}))
    assert server.stop() == 0


def test_a_wrong_certificate_keeps_the_server_from_starting(tmp_path: Path) -> None:
    make_certificate(tmp_path, "one")
    (tmp_path / "tls.key").write_text("no key")
    options = [f"--tls-certificate={tmp_path}/tls.crt", f"--tls-key={tmp_path}/tls.key"]
    server = TlsServer(tmp_path, options=options)
    assert "tls_certificate" in refusal(server)
    assert not any(path for drive in server.drives for path in drive.iterdir())


# The key file


def test_a_key_file_keeps_the_key_off_the_drives_and_is_never_made_twice(tmp_path: Path) -> None:
    key_file = tmp_path / "secret.key"
    server = started(Server(tmp_path, options=[f"--key-file={key_file}"]))
    made = json.loads(
        server.run("user", "add", "u", "--json", *(f"--drive={d}" for d in server.drives), check=False)
        or "{}"
    )
    assert made == {}, "without the key file the command cannot seal a secret"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert not list(tmp_path.glob("d*/system/secret.key"))
    assert server.stop() == 0

    hidden = key_file.read_bytes()
    key_file.unlink()
    said = refusal(server)
    assert "key_file" in said and "secrets were sealed with it" in said

    key_file.write_bytes(hidden)
    key_file.chmod(0o644)
    assert "mode 0600" in refusal(server)

    key_file.chmod(0o600)
    server.start()
    server.client().list_buckets()
    assert server.stop() == 0


def test_copies_of_the_key_that_differ_are_never_chosen_between(tmp_path: Path) -> None:
    server = started(Server(tmp_path))
    assert server.stop() == 0
    copy = server.drives[3] / "system/secret.key"
    copy.write_text(
        copy.read_text().replace(copy.read_text()[-3], "0" if copy.read_text()[-3] != "0" else "1")
    )
    assert "differ" in refusal(server)


# Pieces, without a server


def test_the_pause_before_a_restart_grows_only_while_a_child_does_not_come_up() -> None:
    child = Child("ledger", "_ledger", {})
    assert [child.pause_s() for _ in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]
    child.ready.set()
    child.started_s = time.monotonic()
    assert child.pause_s() == 0.5
    child.started_s = time.monotonic() - 60
    assert child.pause_s() == 0.1
    child.ready.clear()
    assert child.pause_s() == 0.2


def test_listening_sockets_share_one_port_but_not_with_strangers() -> None:
    sockets = listen("127.0.0.1", 0, 3)
    try:
        ports = {sock.getsockname()[1] for sock in sockets}
        assert len(ports) == 1
        with pytest.raises(OSError, match="in use"):
            listen("127.0.0.1", ports.pop(), 1)
    finally:
        for sock in sockets:
            sock.close()


def test_ipv6_can_be_listened_on() -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    (sock,) = listen("::1", free_port(), 1)
    assert sock.family == socket.AF_INET6
    sock.close()


def test_left_over_runtime_directories_are_swept_and_living_ones_are_not() -> None:
    code = (
        "import os; from objstore.supervisor import RuntimeDirectory\n"
        "print(RuntimeDirectory().runtime.path, flush=True); os._exit(9)"
    )
    dead = Path(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip())
    assert dead.is_dir()
    with RuntimeDirectory() as living:
        assert not dead.exists()
        assert stat.S_IMODE(living.runtime.path.stat().st_mode) == 0o700
        with RuntimeDirectory() as other:
            assert living.runtime.is_alive
            assert other.runtime.path != living.runtime.path
        assert living.runtime.path.exists()
    assert not living.runtime.path.exists()
