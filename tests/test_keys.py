"""Master keys of a real server: restarts, rotation, what lies on the drives, keys that Vault keeps."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from objstore.iam.sealing import Sealer
from tests.encryption.fake_vault import TOKEN, FakeVault, running_vault
from tests.operations.refusals import refused
from tests.operations.sse import KEY_A, KMS, S3, customer
from tests.support.server import Server

MIB = 1024 * 1024
MARK = b"the quick brown fox jumps over the lazy dog; "
NAMED = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "mine"}


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own."""
    server = Server(tmp_path, workers=2, environment={"OBJSTORE_SSE_C_OVER_HTTP": "true"}).start()
    try:
        yield server
    finally:
        if server.process is not None:
            server.stop()


def kms(server: Server, *arguments: str, check: bool = True) -> str:
    return server.run("kms", *arguments, *(f"--drive={drive}" for drive in server.drives), check=check)


def put_parts(s3: Any, key: str, parts: list[bytes], **given: Any) -> None:
    upload = s3.create_multipart_upload(Bucket="bucket", Key=key, **given)["UploadId"]
    along = {name: value for name, value in given.items() if name.startswith("SSECustomer")}
    done = []
    for number, data in enumerate(parts, 1):
        part = s3.upload_part(
            Bucket="bucket", Key=key, UploadId=upload, PartNumber=number, Body=data, **along
        )
        done.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(Bucket="bucket", Key=key, UploadId=upload, MultipartUpload={"Parts": done})


def on_drives(server: Server, wanted: bytes) -> list[Path]:
    """The files of the drives that hold these bytes."""
    return [
        path
        for drive in server.drives
        for path in drive.rglob("*")
        if path.is_file() and wanted in path.read_bytes()
    ]


def test_nothing_plain_lies_on_the_drives(own: Server) -> None:
    with closing(own.client()) as s3:
        s3.create_bucket(Bucket="bucket")
        small, large = MARK * 20, MARK * (6 * MIB // len(MARK))
        for number, given in enumerate((S3, KMS, customer(KEY_A))):
            s3.put_object(Bucket="bucket", Key=f"small-{number}", Body=small, **given)
            s3.put_object(Bucket="bucket", Key=f"large-{number}", Body=large, **given)
            put_parts(s3, f"parts-{number}", [large, small], **given)
        assert on_drives(own, MARK) == []
        assert on_drives(own, KEY_A) == []
        s3.put_object(Bucket="bucket", Key="plain", Body=small)
        assert on_drives(own, MARK), "and so would be found"


def test_keys_outlive_restarts_and_lost_drives(own: Server) -> None:
    with closing(own.client()) as s3:
        kms(own, "key", "create", "mine")
        s3.create_bucket(Bucket="bucket")
        for name, given in (("s3", S3), ("kms", KMS), ("mine", NAMED), ("c", customer(KEY_A))):
            s3.put_object(Bucket="bucket", Key=name, Body=name.encode() * 1000, **given)
        own.stop()
        for drive in own.drives[:2]:
            drive.rename(drive.with_name(f"{drive.name}-lost"))
            drive.mkdir()
        own.start()
        for name in ("s3", "kms", "mine"):
            assert s3.get_object(Bucket="bucket", Key=name)["Body"].read() == name.encode() * 1000
        assert s3.get_object(Bucket="bucket", Key="c", **customer(KEY_A))["Body"].read() == b"c" * 1000


def test_rotation_and_sealing_anew(own: Server) -> None:
    with closing(own.client()) as s3:
        kms(own, "key", "create", "mine")
        s3.create_bucket(Bucket="bucket")
        s3.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
        kinds = {
            "s3": S3,
            "mine": NAMED,
            "bucket-key": {**NAMED, "BucketKeyEnabled": True},
            "c": customer(KEY_A),
        }
        past = {
            name: s3.put_object(Bucket="bucket", Key=name, Body=b"old", **given)["VersionId"]
            for name, given in kinds.items()
        }
        for name, given in kinds.items():
            s3.put_object(Bucket="bucket", Key=name, Body=b"new", **given)
        s3.put_object(Bucket="bucket", Key="plain", Body=b"plain")
        upload = s3.create_multipart_upload(Bucket="bucket", Key="parts", **S3)["UploadId"]
        s3.put_object_annotation(Bucket="bucket", Key="s3", AnnotationName="note", AnnotationPayload=b"text")

        assert "0 data keys sealed anew, of 10" in kms(own, "reseal")
        assert "version 2" in kms(own, "key", "rotate", "mine")
        assert "version 2" in kms(own, "key", "rotate", "sse-s3")
        listed = {one["name"]: one for one in json.loads(kms(own, "key", "list", "--json"))}
        assert {name: one["version"] for name, one in listed.items()} == {"mine": 2, "sse-s3": 2}

        def check() -> None:
            for name in kinds:
                along = customer(KEY_A) if name == "c" else {}
                new = s3.get_object(Bucket="bucket", Key=name, **along)
                old = s3.get_object(Bucket="bucket", Key=name, VersionId=past[name], **along)
                assert (new["Body"].read(), old["Body"].read()) == (b"new", b"old")

        check()
        before = s3.head_object(Bucket="bucket", Key="s3")
        assert "8 data keys sealed anew, of 10" in kms(own, "reseal")
        assert "0 data keys sealed anew, of 10" in kms(own, "reseal")
        check()
        note = s3.get_object_annotation(Bucket="bucket", Key="s3", AnnotationName="note")
        assert note["AnnotationPayload"].read() == b"text"
        after = s3.head_object(Bucket="bucket", Key="s3")
        assert (before["ETag"], before["LastModified"]) == (after["ETag"], after["LastModified"])
        part = s3.upload_part(Bucket="bucket", Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
        s3.complete_multipart_upload(
            Bucket="bucket",
            Key="parts",
            UploadId=upload,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
        )
        assert s3.get_object(Bucket="bucket", Key="parts")["Body"].read() == b"part"


def test_a_disabled_key_does_nothing(own: Server) -> None:
    with closing(own.client()) as s3:
        kms(own, "key", "create", "mine")
        s3.create_bucket(Bucket="bucket")
        for key, more in (("k", {}), ("b", {"BucketKeyEnabled": True})):
            s3.put_object(Bucket="bucket", Key=key, Body=b"data", **NAMED, **more)
        kms(own, "key", "disable", "mine")
        for key, more in (("k", {}), ("b", {"BucketKeyEnabled": True})):
            assert refused(s3.get_object, Bucket="bucket", Key=key) == (400, "KMS.DisabledException")
            put = {"Bucket": "bucket", "Key": key, "Body": b"other", **NAMED, **more}
            assert refused(s3.put_object, **put) == (400, "KMS.DisabledException")
            assert s3.head_object(Bucket="bucket", Key=key)["SSEKMSKeyId"] == "mine"
        kms(own, "key", "enable", "mine")
        assert s3.get_object(Bucket="bucket", Key="k")["Body"].read() == b"data"
        assert "disabled" not in kms(own, "key", "list")


def test_refusals_of_the_command_line(own: Server) -> None:
    kms(own, "key", "create", "mine")
    for arguments in (
        ("key", "create", "mine"),
        ("key", "create", "no/slashes"),
        ("key", "rotate", "absent"),
        ("key", "disable", "absent"),
    ):
        with pytest.raises(AssertionError, match="exited 1"):
            kms(own, *arguments)


def test_check_tells_of_keys_that_the_key_file_does_not_open(tmp_path: Path) -> None:
    key_file = tmp_path / "secret.key"
    server = Server(tmp_path / "server", workers=1, environment={"OBJSTORE_KEY_FILE": str(key_file)}).start()
    drives = [f"--drive={drive}" for drive in server.drives]
    try:
        with closing(server.client()) as s3:
            s3.create_bucket(Bucket="bucket")
            s3.put_object(Bucket="bucket", Key="k", Body=b"data", **S3)
            assert "all is well" in server.run("check", *drives)
            server.stop()
            key_file.write_text(Sealer.generate().to_text())
            said = server.run("check", *drives, check=False)
            assert "master key sse-s3, version 1, does not open" in said and "NOT well" in said
            server.start()
            assert refused(s3.get_object, Bucket="bucket", Key="k")[0] == 500
    finally:
        if server.process is not None:
            server.stop()


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[tuple[FakeVault, Server]]:
    """A server whose KMS keys are Vault's."""
    with running_vault() as running:
        (tmp_path / "token").write_text(TOKEN)
        server = Server(
            tmp_path / "server",
            workers=1,
            environment={
                "OBJSTORE_KMS": "vault",
                "OBJSTORE_VAULT_ADDRESS": running.address,
                "OBJSTORE_VAULT_TOKEN_FILE": str(tmp_path / "token"),
            },
        ).start()
        try:
            yield running, server
        finally:
            server.stop()


def test_keys_of_vault(vault: tuple[FakeVault, Server]) -> None:
    running, server = vault
    running.make("mine")
    running.make("default")
    with closing(server.client()) as s3:
        s3.create_bucket(Bucket="bucket")
        bucket_key = {**NAMED, "BucketKeyEnabled": True}
        for name, given in (("default", KMS), ("mine", NAMED), ("bucket-key", bucket_key), ("s3", S3)):
            s3.put_object(Bucket="bucket", Key=name, Body=name.encode(), **given)
            assert s3.get_object(Bucket="bucket", Key=name)["Body"].read() == name.encode()
        absent = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "absent"}
        put = {"Bucket": "bucket", "Key": "k", "Body": b"x", **absent}
        assert refused(s3.put_object, **put) == (400, "KMS.NotFoundException")

        asked = len(running.asked)
        for number in range(10):
            s3.put_object(Bucket="bucket", Key=f"{number}", Body=b"x", **bucket_key)
            assert s3.get_object(Bucket="bucket", Key=f"{number}")["Body"].read() == b"x"
        assert len(running.asked) == asked, "a bucket key saves asking"
        s3.head_object(Bucket="bucket", Key="mine")
        assert len(running.asked) == asked, "nothing is decrypted for a HEAD"
        put_parts(s3, "parts", [MARK * (5 * MIB // len(MARK) + 1), b"end"], **NAMED)
        assert s3.get_object(Bucket="bucket", Key="parts", Range="bytes=-3")["Body"].read() == b"end"

        running.is_sealed = True
        assert refused(s3.get_object, Bucket="bucket", Key="mine") == (503, "ServiceUnavailable")
        assert refused(s3.put_object, Bucket="bucket", Key="k", Body=b"x", **NAMED)[0] == 503
        assert s3.get_object(Bucket="bucket", Key="s3")["Body"].read() == b"s3"
        running.is_sealed = False

        running.make("mine")
        assert "13 data keys sealed anew" in kms(server, "reseal")
        running.keys["mine"][0] = bytes(32)  # the old version is gone
        for name in ("mine", "bucket-key", "parts", "3"):
            assert s3.head_object(Bucket="bucket", Key=name)["SSEKMSKeyId"] == "mine"
            s3.get_object(Bucket="bucket", Key=name)["Body"].read()
