"""s3cmd with the configuration its own `--configure` would write for a plain endpoint."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.clients.programs import Client, awkward_tree, contents
from tests.operations.sharing import open_up, policy, statement
from tests.support.server import ROOT_ACCESS_KEY, ROOT_SECRET_KEY, Server

pytestmark = pytest.mark.clients


@pytest.fixture
def s3cmd(server: Server, tmp_path: Path) -> Client:
    home = tmp_path / "home"
    home.mkdir()
    host = f"127.0.0.1:{server.port}"
    (home / ".s3cfg").write_text(
        f"[default]\naccess_key = {ROOT_ACCESS_KEY}\nsecret_key = {ROOT_SECRET_KEY}\n"
        f"host_base = {host}\nhost_bucket = {host}\nuse_https = False\n"
    )
    return Client("s3cmd", home, {})


def test_put_get_list_copy_move_delete(s3cmd: Client, bucket_name: str, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(b"some bytes")
    s3cmd("mb", f"s3://{bucket_name}")
    s3cmd("put", source, f"s3://{bucket_name}/a b/ü+.txt")
    assert "ü+.txt" in s3cmd("ls", f"s3://{bucket_name}/a b/")
    s3cmd("get", f"s3://{bucket_name}/a b/ü+.txt", back)
    assert back.read_bytes() == b"some bytes"
    s3cmd("cp", f"s3://{bucket_name}/a b/ü+.txt", f"s3://{bucket_name}/copy")
    s3cmd("mv", f"s3://{bucket_name}/copy", f"s3://{bucket_name}/moved")
    assert "MD5 sum" in s3cmd("info", f"s3://{bucket_name}/moved")
    assert "2 objects" in s3cmd("du", f"s3://{bucket_name}")
    s3cmd("modify", "--add-header=x-amz-meta-colour:blue", f"s3://{bucket_name}/moved")
    assert "blue" in s3cmd("info", f"s3://{bucket_name}/moved")
    s3cmd("del", "--recursive", "--force", f"s3://{bucket_name}")
    s3cmd("rb", f"s3://{bucket_name}")


def test_sync_both_ways(s3cmd: Client, bucket: str, tmp_path: Path, seeded: random.Random) -> None:
    tree = awkward_tree(tmp_path / "tree", seeded)
    s3cmd("sync", f"{tree}/", f"s3://{bucket}/t/")
    back = tmp_path / "back"
    back.mkdir()
    s3cmd("sync", f"s3://{bucket}/t/", f"{back}/")
    assert contents(back) == contents(tree)


def test_multipart_upload_of_40_mib(
    s3cmd: Client, bucket: str, tmp_path: Path, seeded: random.Random
) -> None:
    source, back = tmp_path / "large", tmp_path / "back"
    source.write_bytes(seeded.randbytes(40 << 20))
    s3cmd("put", source, f"s3://{bucket}/large")
    s3cmd("get", f"s3://{bucket}/large", back)
    assert back.read_bytes() == source.read_bytes()


def test_info_acl_and_policy(s3: Any, s3cmd: Client, bucket: str, tmp_path: Path) -> None:
    open_up(s3, bucket)
    where = f"s3://{bucket}"
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )
    s3cmd("put", "--acl-private", __file__, f"{where}/key")
    shown = s3cmd("info", where)
    for line in ("Location:  us-east-1", "Payer:     BucketOwner", "Policy:    none", "CORS:      none"):
        assert line in shown
    s3cmd("setacl", "--acl-public", f"{where}/key")
    assert "*anon*: READ" in s3cmd("info", f"{where}/key")
    s3cmd("setacl", "--acl-private", f"{where}/key")
    assert "*anon*" not in s3cmd("info", f"{where}/key")
    s3cmd("setacl", "--acl-public", where)
    assert "*anon*: READ" in s3cmd("info", where)
    s3cmd("setacl", "--acl-grant=read:" + s3.list_buckets()["Owner"]["ID"], f"{where}/key")
    document = tmp_path / "policy.json"
    document.write_text(policy(statement(bucket, "s3:GetObject")))
    s3cmd("setpolicy", document, where)
    assert "s3:GetObject" in s3cmd("info", where)
    s3cmd("delpolicy", where)
    assert "Policy:    none" in s3cmd("info", where)


def test_lifecycle(s3cmd: Client, bucket: str, tmp_path: Path) -> None:
    where, rules = f"s3://{bucket}", tmp_path / "lifecycle.xml"
    rules.write_text(
        "<LifecycleConfiguration><Rule><ID>old</ID><Prefix>logs/</Prefix><Status>Enabled</Status>"
        "<Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>"
    )
    s3cmd("setlifecycle", rules, where)
    assert "<Days>30</Days>" in s3cmd("getlifecycle", where)
    assert "Expiration Rule: objects with key prefix 'logs/'" in s3cmd("info", where)
    s3cmd("dellifecycle", where)
    s3cmd("expire", "--expiry-days=7", "--expiry-prefix=tmp/", where)
    assert "<Days>7</Days>" in s3cmd("getlifecycle", where)
    s3cmd("dellifecycle", where)
    assert "NoSuchLifecycleConfiguration" in s3cmd("getlifecycle", where, fails=True)


def test_website(s3cmd: Client, bucket: str) -> None:
    where = f"s3://{bucket}"
    s3cmd("ws-create", "--ws-index=start.html", "--ws-error=oops.html", where)
    shown = s3cmd("ws-info", where)
    assert "start.html" in shown and "oops.html" in shown
    s3cmd("ws-delete", where)
    assert "start.html" not in s3cmd("ws-info", where)


def test_cors_payer_and_notification(s3: Any, s3cmd: Client, bucket: str, tmp_path: Path) -> None:
    where, rules = f"s3://{bucket}", tmp_path / "cors.xml"
    rules.write_text(
        "<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"
        "</CORSRule></CORSConfiguration>"
    )
    s3cmd("setcors", rules, where)
    assert "AllowedOrigin" in s3cmd("info", where)
    s3cmd("delcors", where)
    assert "CORS:      none" in s3cmd("info", where)
    s3cmd("payer", "--requester-pays", where)
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "Requester"
    assert "NotificationConfiguration" in s3cmd("getnotification", where)
    s3cmd("delnotification", where)


def test_access_log(s3: Any, s3cmd: Client, bucket: str, bucket_name: str) -> None:
    target = f"{bucket_name}-logs"
    s3.create_bucket(Bucket=target)
    statement_ = statement(target, "s3:PutObject", {"Service": "logging.s3.amazonaws.com"})
    s3.put_bucket_policy(Bucket=target, Policy=policy(statement_))
    s3cmd("accesslog", f"--access-logging-target-prefix=s3://{target}/logs/", f"s3://{bucket}")
    wanted = s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"]
    assert (wanted["TargetBucket"], wanted["TargetPrefix"]) == (target, "logs/")
    assert f"s3://{target}/logs/" in s3cmd("accesslog", f"s3://{bucket}")
    s3cmd("accesslog", "--no-access-logging", f"s3://{bucket}")
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket=bucket)


def test_uploads_under_way(s3: Any, s3cmd: Client, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="key")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="key", UploadId=upload, PartNumber=1, Body=b"part")
    assert upload in s3cmd("multipart", f"s3://{bucket}")
    assert "LastModified" in s3cmd("listmp", f"s3://{bucket}/key", upload)
    s3cmd("abortmp", f"s3://{bucket}/key", upload)
    assert upload not in s3cmd("multipart", f"s3://{bucket}")
