"""Drives that are not what they should be: refused or degraded with a named reason, nothing lost, nothing
created where it should not be. Mounts need root; without it those tests are skipped, loudly.
"""

import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.server import Server

NOTICE_S = 15.0
MIB = 1 << 20


def names_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*")}


def refused(server: Server, *arguments: str) -> str:
    """What `objstore serve` says as it refuses to start."""
    finished = subprocess.run(
        server.command("serve", *(arguments or map(str, server.drives)), "--port", str(server.port)),
        env=server.full_environment(),
        cwd=server.directory,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert finished.returncode not in (0, -9), finished.stdout
    assert "Traceback" not in finished.stderr, finished.stderr
    return finished.stdout + finished.stderr


@contextmanager
def mounted(path: Path, *options: str) -> Iterator[None]:
    """A tmpfs on `path` while the block runs."""
    if os.geteuid() != 0:
        pytest.skip("MOUNTING NEEDS ROOT: run the tests as root to exercise full and read-only drives")
    path.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", *options, "tmpfs", str(path)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"MOUNTING IS NOT ALLOWED HERE: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def eventually(check: Any, timeout_s: float = NOTICE_S) -> None:
    """`check` holds within the time; its last assertion is shown when it does not."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            check()
            return
        except (AssertionError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def drive_states(server: Server) -> str:
    return server.run("drive", "list", *(f"--drive={drive}" for drive in server.drives), check=False)


@pytest.fixture
def stopped(tmp_path: Path) -> Server:
    """A deployment with one object `kept/object`, stopped."""
    server = Server(tmp_path).start()
    s3 = server.client()
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="object", Body=b"precious" * 1000)
    assert server.stop() == 0
    return server


def assert_kept(server: Server) -> None:
    assert server.client().get_object(Bucket="kept", Key="object")["Body"].read() == b"precious" * 1000


def test_a_second_server_on_the_same_drives_is_refused(stopped: Server) -> None:
    stopped.start()
    try:
        said = refused(Server(stopped.directory))
        assert "another" in said.lower() or "in use" in said.lower(), said
        assert_kept(stopped)
    finally:
        stopped.stop()


def test_the_same_directory_twice_is_refused(stopped: Server) -> None:
    paths = [str(drive) for drive in stopped.drives]
    said = refused(stopped, *paths[:5], paths[0])
    assert "twice" in said or "same" in said, said


def test_a_copy_of_a_drive_is_refused_with_its_twin_and_the_rest_serves(stopped: Server) -> None:
    twin = stopped.directory / "twin"
    shutil.copytree(stopped.drives[4], twin)
    before = names_below(twin)
    stopped.drives.append(twin)
    stopped.start()
    try:
        assert_kept(stopped)
        assert drive_states(stopped).lower().count("duplicate") == 2, drive_states(stopped)
        assert names_below(twin) == before
    finally:
        stopped.stop()


def test_a_drive_of_another_deployment_is_refused_untouched(stopped: Server, tmp_path: Path) -> None:
    foreign = Server(tmp_path / "foreign").start()
    foreign.stop()
    shutil.rmtree(stopped.drives[2])
    shutil.copytree(foreign.drives[2], stopped.drives[2])
    before = names_below(stopped.drives[2])
    stopped.start()
    try:
        assert_kept(stopped)
        assert "another deployment" in drive_states(stopped).lower(), drive_states(stopped)
        assert names_below(stopped.drives[2]) == before
    finally:
        stopped.stop()


def test_an_empty_mount_point_stays_empty(stopped: Server) -> None:
    shutil.rmtree(stopped.drives[0])
    stopped.drives[0].mkdir()
    stopped.start()
    try:
        assert_kept(stopped)
        stopped.client().put_object(Bucket="kept", Key="more", Body=b"x" * 2_000_000)
        assert "empty" in drive_states(stopped).lower(), drive_states(stopped)
        assert names_below(stopped.drives[0]) == set()
    finally:
        stopped.stop()


def test_drives_swapped_between_paths_are_known_by_their_identity(stopped: Server) -> None:
    one, other, aside = stopped.drives[1], stopped.drives[3], stopped.directory / "aside"
    one.rename(aside), other.rename(one), aside.rename(other)
    stopped.start()
    try:
        assert_kept(stopped)
        assert drive_states(stopped).lower().count("online") == 6, drive_states(stopped)
    finally:
        stopped.stop()


def test_more_shards_than_drives_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    server = Server(tmp_path)
    said = refused(server, *map(str, server.drives), "--erasure", "5+2")
    assert "5+2" in said and "6" in said, said
    assert all(names_below(drive) == set() for drive in server.drives)


def test_more_shards_than_the_deployment_has_drives_is_refused(stopped: Server) -> None:
    said = refused(stopped, str(stopped.directory), "--erasure", "6+2")
    assert "6+2" in said and "8" in said and "6" in said, said
    assert not (stopped.directory / "d7").exists()
    stopped.start()
    try:
        assert_kept(stopped)
    finally:
        stopped.stop()


def test_a_drive_going_away_and_coming_back_is_noticed_without_restart(stopped: Server) -> None:
    stopped.start()
    drive, aside = stopped.drives[3], stopped.directory / "aside"

    def state(wanted: str, count: int) -> None:
        assert drive_states(stopped).lower().count(wanted) == count, drive_states(stopped)

    try:
        drive.rename(aside)
        eventually(lambda: state("online", 5))
        s3 = stopped.client()
        s3.put_object(Bucket="kept", Key="meanwhile", Body=b"m" * 3_000_000)
        s3.delete_object(Bucket="kept", Key="object")
        aside.rename(drive)
        eventually(lambda: state("online", 6))
        assert s3.get_object(Bucket="kept", Key="meanwhile")["Body"].read() == b"m" * 3_000_000
        with pytest.raises(ClientError, match="NoSuchKey"):
            s3.get_object(Bucket="kept", Key="object")
    finally:
        stopped.stop()


def test_of_two_mirrored_drives_one_that_is_replaced_brings_writes_back(tmp_path: Path) -> None:
    server = Server(tmp_path, drive_count=2, environment={"OBJSTORE_ERASURE": "1+1"}).start()
    try:
        s3 = server.client()
        s3.create_bucket(Bucket="kept")
        s3.put_object(Bucket="kept", Key="object", Body=b"precious" * 1000)
        server.kill()
        shutil.rmtree(server.drives[0])
        server.drives[0].mkdir()
        server.spawn()
        server.wait_ready()
        assert_kept(server)
        with pytest.raises(ClientError, match="ServiceUnavailable"):
            s3.put_object(Bucket="kept", Key="more", Body=b"x")
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(f"{server.endpoint}/health/writable")
        said = refusal.value.read().decode()
        assert "drives 0 (of 0, 1) are away" in said and "objstore drive replace" in said, said
        server.run("drive", "replace", str(server.drives[0]), *(f"--drive={d}" for d in server.drives))
        eventually(lambda: s3.put_object(Bucket="kept", Key="more", Body=b"x"), timeout_s=40)
        assert_kept(server)
    finally:
        server.stop()


def test_fewer_drives_than_the_write_quorum_answer_slow_down_and_still_read(stopped: Server) -> None:
    aside = stopped.directory / "aside"
    aside.mkdir()
    stopped.start()
    try:
        for drive in stopped.drives[4:]:
            drive.rename(aside / drive.name)
        s3 = stopped.client()

        def write_refused() -> None:
            try:
                s3.put_object(Bucket="kept", Key="refused", Body=b"r" * 2_000_000)
            except ClientError as exc:
                assert exc.response["ResponseMetadata"]["HTTPStatusCode"] == 503
                assert exc.response["Error"]["Code"] == "SlowDown"
                assert "5" in exc.response["Error"]["Message"]  # says how many drives it takes
            else:
                raise AssertionError("a write was taken by fewer drives than the quorum")

        eventually(write_refused)
        assert_kept(stopped)
        for drive in stopped.drives[4:]:
            (aside / drive.name).rename(drive)
        eventually(lambda: s3.put_object(Bucket="kept", Key="again", Body=b"a" * 2_000_000))
    finally:
        stopped.stop()


def test_full_drives_keep_reading_and_deleting_and_take_writes_again(tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "-o", "size=600m"):
        server = Server(tmp_path / "small").start()
        try:
            s3 = server.client(read_timeout=60)
            s3.create_bucket(Bucket="full")
            s3.put_object(Bucket="full", Key="first", Body=b"f" * 5000)
            body, kept = os.urandom(8 * MIB), []
            for number in range(100):
                try:
                    s3.put_object(Bucket="full", Key=f"k{number}", Body=body)
                except ClientError as exc:
                    assert exc.response["ResponseMetadata"]["HTTPStatusCode"] in (503, 507), exc
                    break
                kept.append(f"k{number}")
            else:
                raise AssertionError("the drives never became full")
            assert s3.get_object(Bucket="full", Key="first")["Body"].read() == b"f" * 5000
            for key in kept:
                assert s3.get_object(Bucket="full", Key=key)["Body"].read() == body, key
            for key in kept:
                s3.delete_object(Bucket="full", Key=key)
            eventually(lambda: s3.put_object(Bucket="full", Key="after", Body=body), timeout_s=90)
            assert s3.get_object(Bucket="full", Key="after")["Body"].read() == body
        finally:
            server.stop()


def test_a_read_only_drive_degrades_and_the_others_take_the_writes(tmp_path: Path) -> None:
    server = Server(tmp_path)
    drive = server.drives[4]
    with mounted(drive, "-o", "size=300m"):
        server.start()
        try:
            s3 = server.client()
            s3.create_bucket(Bucket="readonly")
            s3.put_object(Bucket="readonly", Key="before", Body=b"b" * 3_000_000)
            subprocess.run(["mount", "-o", "remount,ro", str(drive)], check=True)
            for number in range(5):
                s3.put_object(Bucket="readonly", Key=f"during{number}", Body=b"d" * 3_000_000)
            eventually(lambda: _says(server, "read-only"))
            assert s3.get_object(Bucket="readonly", Key="before")["Body"].read() == b"b" * 3_000_000
            subprocess.run(["mount", "-o", "remount,rw", str(drive)], check=True)
            eventually(lambda: _online(server, 6))
        finally:
            server.stop()


def _says(server: Server, word: str) -> None:
    assert word in drive_states(server).lower(), drive_states(server)


def _online(server: Server, count: int) -> None:
    assert drive_states(server).lower().count("online") == count, drive_states(server)
