"""Any two of six drives emptied, the one with the index among them: everything is readable, byte for
byte, and after replacement it is healed, so that two further drives may be lost.
"""

import itertools
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.server import Server

pytestmark = pytest.mark.crash

SIZES = (0, 1, 5_000, 16_384, 16_385, 200_000, 1_048_576, 1_048_577, 9_000_000)
HEAL_S = 120.0
SWITCH_S = 15.0
PAIRS = list(itertools.combinations(range(6), 2))


def fill(s3: Any, seeded: random.Random) -> dict[str, bytes]:
    """Objects of every size class, a multipart object, overwritten and deleted ones; key → bytes."""
    s3.create_bucket(Bucket="loss")
    held = {}
    for size in SIZES:
        for copy in range(3):
            key = f"size {size}/{copy}"
            held[key] = seeded.randbytes(size)
            s3.put_object(Bucket="loss", Key=key, Body=held[key], Metadata={"size": str(size)})
    upload = s3.create_multipart_upload(Bucket="loss", Key="multipart")["UploadId"]
    pieces = [seeded.randbytes(5 << 20), seeded.randbytes(1234)]
    parts = [
        {
            "PartNumber": n,
            "ETag": s3.upload_part(Bucket="loss", Key="multipart", UploadId=upload, PartNumber=n, Body=piece)[
                "ETag"
            ],
        }
        for n, piece in enumerate(pieces, 1)
    ]
    s3.complete_multipart_upload(
        Bucket="loss", Key="multipart", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    held["multipart"] = b"".join(pieces)
    s3.put_object(Bucket="loss", Key="gone", Body=b"deleted")
    s3.delete_object(Bucket="loss", Key="gone")
    s3.put_object(Bucket="loss", Key="size 1/0", Body=b"overwritten")
    held["size 1/0"] = b"overwritten"
    return held


def check(s3: Any, held: dict[str, bytes]) -> None:
    listed = [
        entry["Key"]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket="loss")
        for entry in page.get("Contents", ())
    ]
    assert listed == sorted(held, key=str.encode)
    for key, data in held.items():
        assert s3.get_object(Bucket="loss", Key=key)["Body"].read() == data, key
    for key, data in list(held.items())[::5]:
        if len(data) > 2:
            ranged = s3.get_object(Bucket="loss", Key=key, Range=f"bytes=1-{len(data) - 2}")
            assert ranged["Body"].read() == data[1:-1], key


def empty(drive: Path) -> None:
    """What a fresh disk mounted in place of the old one looks like."""
    for entry in drive.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(directory, contents, seed) of a stopped server's drives; each test works on a copy."""
    directory = tmp_path_factory.mktemp("loss")
    seeded = random.Random(20261121)
    server = Server(directory).start()
    held = fill(server.client(), seeded)
    assert server.stop() == 0
    return directory, held


def clone(directory: Path, target: Path) -> Server:
    target.mkdir(parents=True, exist_ok=True)
    for drive in sorted(directory.glob("d?")):
        shutil.copytree(drive, target / drive.name)
    return Server(target)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"d{pair[0] + 1}+d{pair[1] + 1}")
def test_any_two_drives_may_be_emptied_at_rest(filled: Any, tmp_path: Path, pair: tuple[int, int]) -> None:
    directory, held = filled
    server = clone(directory, tmp_path)
    for number in pair:
        empty(server.drives[number])
    server.start()
    try:
        check(server.client(), held)
        for number in pair:
            assert not list(server.drives[number].iterdir()), "created on an unidentified drive"
    finally:
        server.kill()


@pytest.mark.parametrize("pair", [(0, 1), (2, 5)], ids=str)
def test_replaced_drives_are_healed_and_two_more_may_be_lost(
    filled: Any, tmp_path: Path, pair: tuple[int, int]
) -> None:
    directory, held = filled
    server = clone(directory, tmp_path).start()
    try:
        s3 = server.client()
        for number in pair:
            empty(server.drives[number])
        wait_for(lambda: s3.list_objects_v2(Bucket="loss"), SWITCH_S)  # a new index, new journals
        check(s3, held)
        for number in pair:
            server.run(
                "drive",
                "replace",
                str(server.drives[number]),
                f"--number={number}",
                *(f"--drive={d}" for d in server.drives),
            )
        wait_healed(server)
        assert server.stop() == 0
        for number in [n for n in range(6) if n not in pair][:2]:
            empty(server.drives[number])
        server.start()
        check(server.client(), held)
    finally:
        if server.process is not None:
            server.kill()


def wait_for(request: Any, within_s: float) -> None:
    """`request` is answered within the time; 503 until then is what clients retry."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            request()
            return
        except ClientError as exc:
            if exc.response["ResponseMetadata"]["HTTPStatusCode"] != 503 or time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def wait_healed(server: Server) -> None:
    """Until `objstore drive list` shows every drive online and nothing left to repair."""
    deadline = time.monotonic() + HEAL_S
    while time.monotonic() < deadline:
        if "complete" in server.run("heal", "status", *(f"--drive={d}" for d in server.drives), check=False):
            return
        time.sleep(0.5)
    raise AssertionError(f"not healed after {HEAL_S} s\n{server.log_tail()}")
