"""Commands of an operator, against a running server and a stopped one."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support.server import Server


def objstore(*arguments: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "objstore", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parent.parent), **environment},
    )


@pytest.fixture(scope="module", params=["running", "stopped"])
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A deployment whose server runs, and one whose server was stopped."""
    server = Server(tmp_path_factory.mktemp(request.param)).start()
    if request.param == "stopped":
        assert server.stop() == 0
    yield server
    if server.process is not None:
        assert server.stop() == 0


def run(server: Server, *arguments: str, status: int = 0) -> str:
    """Output of a command on the deployment's drives; what it says when it refuses."""
    drives = [f"--drive={drive}" for drive in server.drives]
    finished = objstore(*arguments, *drives, directory=server.directory)
    assert finished.returncode == status, finished.stderr
    assert "Traceback" not in finished.stderr, finished.stderr
    return finished.stdout if status == 0 else finished.stderr


def test_a_user_is_added_with_everything_generated(deployment: Server) -> None:
    made = json.loads(run(deployment, "user", "add", "alice", "--json"))
    assert re.fullmatch("[0-9a-f]{64}", made["id"])
    assert re.fullmatch("[A-Z2-7]{20}", made["access_key"])
    assert len(made["secret_key"]) == 40
    assert (made["name"], made["display_name"], made["email"]) == ("alice", "alice", "")


def test_a_user_is_added_with_everything_chosen(deployment: Server) -> None:
    secret = deployment.directory / "secret"
    secret.write_text("chosen-secret-key\n")
    chosen = [
        "--id",
        "b0b",
        "--display-name",
        "Bob Ü.",
        "--email",
        "bob@example.org",
        "--access-key",
        "BOBKEY",
    ]
    made = json.loads(run(deployment, "user", "add", "bob", *chosen, f"--secret-key-file={secret}", "--json"))
    assert made == {
        "id": "b0b",
        "name": "bob",
        "display_name": "Bob Ü.",
        "email": "bob@example.org",
        "access_key": "BOBKEY",
        "secret_key": "chosen-secret-key",
    }
    listed = {user["name"]: user for user in json.loads(run(deployment, "user", "list", "--json"))}
    assert listed["bob"]["id"] == "b0b"
    assert listed["root"]["is_root"] is True
    assert "chosen-secret-key" not in run(deployment, "user", "list") + run(deployment, "key", "list", "bob")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("user", "add", "root"), "UserExists"),
        (("user", "add", "a b"), "name: 'a b' is not allowed"),
        (("user", "add", "eve", "--email", "eve"), "e-mail: 'eve' is not allowed"),
        (("user", "add", "eve", "--access-key", "a/b"), "access key: 'a/b' is not allowed"),
        (("user", "add", "eve", "--id", "-"*200), "canonical id"),
        (("user", "remove", "root"), "root cannot be removed"),
        (("user", "remove", "nobody"), "UserMissing"),
        (("key", "add", "nobody"), "UserMissing"),
        (("key", "disable", "NOKEY"), "AccessKeyMissing"),
        (("user", "mfa", "add", "nobody"), "UserMissing"),
        (("user", "mfa", "add", "root", "--device", "a/b"), "device: 'a/b' is not allowed"),
        (("user", "mfa", "remove", "no-such-device"), "MfaDeviceMissing"),
        (("drive", "add", "/nowhere/at/all"), "no such directory"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_what_is_not_allowed_is_refused_in_one_line(
    server: Server, arguments: tuple[str, ...], said: str
) -> None:
    message = run(server, *arguments, status=1)
    assert said in message
    assert message.startswith("Error: ")


def test_a_refused_user_leaves_nothing_behind(deployment: Server) -> None:
    run(deployment, "user", "add", "twice", "--access-key", "TWICE")
    run(deployment, "user", "add", "taken", "--access-key", "TWICE", status=1)
    names = [user["name"] for user in json.loads(run(deployment, "user", "list", "--json"))]
    assert "twice" in names
    assert "taken" not in names


def test_devices_come_and_go(deployment: Server) -> None:
    made = json.loads(run(deployment, "user", "mfa", "add", "root", "--json"))
    serial = made["serial"]
    assert re.fullmatch("arn:aws:iam::[0-9]{12}:mfa/root-account-mfa-device", serial)
    assert f"secret={made['secret']}&" in made["uri"]
    assert "MfaDeviceExists" in run(deployment, "user", "mfa", "add", "root", status=1)
    second = run(deployment, "user", "mfa", "add", "root", "--device", "phone")
    assert "uri:" in second and serial.replace("root-account-mfa-device", "phone") in second
    listed = run(deployment, "user", "mfa", "list", "root")
    assert listed.count("arn:aws:iam::") == 2 and made["secret"] not in listed
    run(deployment, "user", "mfa", "remove", serial)
    left = json.loads(run(deployment, "user", "mfa", "list", "root", "--json"))
    assert [device["serial"].rpartition("/")[2] for device in left] == ["phone"]


def test_a_user_is_removed_with_the_keys(deployment: Server) -> None:
    run(deployment, "user", "add", "leaver")
    run(deployment, "user", "remove", "leaver")
    assert "UserMissing" in run(deployment, "key", "list", "leaver", status=1)


def test_drives_are_listed_and_healing_is_complete(deployment: Server) -> None:
    listed = json.loads(run(deployment, "drive", "list", "--json"))
    assert [drive["state"] for drive in listed] == ["online"] * 6
    assert run(deployment, "drive", "list").count("online") == 6
    assert json.loads(run(deployment, "heal", "status", "--json"))["is_complete"] is True


def test_check_finds_all_well(deployment: Server) -> None:
    assert "all is well" in run(deployment, "check")


def test_the_index_is_built_anew_by_a_running_and_by_a_stopped_server(tmp_path: Path) -> None:
    server = Server(tmp_path, workers=1).start()
    try:
        s3 = server.client()
        s3.create_bucket(Bucket="kept")
        paths = [server.run("check", "--rebuild-index", *(f"--drive={d}" for d in server.drives))]
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["kept"]
        assert server.stop() == 0
        paths.append(server.run("check", "--rebuild-index", *(f"--drive={d}" for d in server.drives)))
        for said in paths:
            assert "index rebuilt: " in said and said.rstrip().endswith("all is well"), said
        before, after = (re.findall(r"metadata-\w+\.db", said) for said in paths)
        assert len({*before, *after}) == 3, paths
    finally:
        if server.process is not None:
            server.stop()


def test_a_key_works_from_the_next_request_on_and_no_longer_after_it_is_disabled(server: Server) -> None:
    made = server.make_user("keys")
    again = json.loads(server.run("key", "add", "keys", "--json", *(f"--drive={d}" for d in server.drives)))
    clients = [server.client(one["access_key"], one["secret_key"]) for one in (made, again) for _ in range(4)]
    for client in clients:
        client.list_buckets()
    server.run("key", "disable", again["access_key"], *(f"--drive={d}" for d in server.drives))
    for client in clients[:4]:
        client.list_buckets()
    for client in clients[4:]:
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            client.list_buckets()
    server.run("key", "enable", again["access_key"], *(f"--drive={d}" for d in server.drives))
    for client in clients:
        client.list_buckets()


def test_a_user_who_owns_buckets_is_not_removed(server: Server, bucket_name: str) -> None:
    made = server.make_user("owner")
    server.client(made["access_key"], made["secret_key"]).create_bucket(Bucket=bucket_name)
    finished = objstore(
        "user", "remove", "owner", *(f"--drive={d}" for d in server.drives), directory=server.directory
    )
    assert finished.returncode == 1
    assert "UserNotEmpty" in finished.stderr


def test_commands_on_drives_that_are_none_say_so_and_make_nothing(tmp_path: Path) -> None:
    for number in range(1, 7):
        (tmp_path / f"d{number}").mkdir()
    finished = objstore(
        "user", "list", *(f"--drive={tmp_path}/d{n}" for n in range(1, 7)), directory=tmp_path
    )
    assert finished.returncode == 1
    assert "no drive of a deployment" in finished.stderr
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_wrong_settings_are_refused_by_every_command(tmp_path: Path) -> None:
    for arguments in (("serve",), ("user", "list"), ("drive", "list"), ("check",)):
        finished = objstore(*arguments, directory=tmp_path, OBJSTORE_ERASURE="4x2")
        assert finished.returncode == 1, arguments
        assert "erasure: '4x2' (from OBJSTORE_ERASURE) is not allowed" in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_setting_but_the_secret_has_a_flag(tmp_path: Path) -> None:
    from objstore.config import SECRETS, Config

    shown = objstore("serve", "--help", directory=tmp_path).stdout
    for name in Config.model_fields:
        flag = f"--{name.replace('_', '-')}"
        assert (flag in shown) == (name not in ("drives", *SECRETS)), name


def test_settings_are_printed_as_in_the_repository(tmp_path: Path) -> None:
    printed = objstore("settings", directory=tmp_path).stdout
    assert printed == (Path(__file__).parent.parent / "config/objstore.toml").read_text()


def test_operations_are_listed(tmp_path: Path) -> None:
    rows = json.loads(objstore("operations", "--json", directory=tmp_path).stdout)
    offered = {row["name"] for row in rows if row["offered"] == "yes"}
    assert {"GetObject", "PutObject", "CompleteMultipartUpload"} <= offered
    assert "PutObject" in objstore("operations", directory=tmp_path).stdout


def test_the_children_are_no_commands_for_people(tmp_path: Path) -> None:
    assert "_worker" not in objstore("--help", directory=tmp_path).stdout
