"""Mixed clients whose every acknowledged write is remembered, so that a crash can be judged.

Each client owns its keys, so its own requests on one key never overlap. What a key may hold is a set
of *states*: a state is the digest of a body, or None for "no object". An acknowledged request leaves
one state; a request that failed or got no answer leaves the states before it and the one it wanted.
Later reads may show any state of the set, and from then on only that one.
"""

import hashlib
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

State = str | None
SIZES = (0, 1, 100, 4096, 16 * 1024, 16 * 1024 + 1, 70_000, 300_000, 1_100_000, 3_000_000)
PART_BYTES = 5 << 20
KEYS_PER_CLIENT = 8


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Client:
    """One client: a loop of random requests on its own keys until told to stop."""

    number: int
    bucket: str
    random: random.Random
    states: dict[str, set[State]] = field(default_factory=dict)
    acknowledged: int = 0
    failed: int = 0
    surprises: list[str] = field(default_factory=list)
    renames: dict[tuple[str, str], State] = field(default_factory=dict)
    """Those without an answer, by source and target, and what was renamed; until either key is used again."""

    def own_keys(self) -> list[str]:
        return [f"c{self.number}/k {index}" for index in range(KEYS_PER_CLIENT)]

    def body(self) -> bytes:
        size = self.random.choice(SIZES)
        return (
            self.random.randbytes(min(size, 4096)) * (size // 4096 + 1)
            if size > 4096
            else self.random.randbytes(size)
        )

    def attempt(self, key: str, wanted: State, request: Callable[[], Any]) -> None:
        self.renames = {pair: state for pair, state in self.renames.items() if key not in pair}
        before = self.states.get(key, {None})
        self.states[key] = before | {wanted}
        request()
        self.states[key] = {wanted}
        self.acknowledged += 1

    def put(self, s3: Any, key: str) -> None:
        data, about = self.body(), self.encryption()
        self.attempt(
            key, digest(data), lambda: s3.put_object(Bucket=self.bucket, Key=key, Body=data, **about)
        )

    def encryption(self) -> dict[str, str]:
        return self.random.choice([{}, {}, {"ServerSideEncryption": "AES256"}])

    def delete(self, s3: Any, key: str) -> None:
        self.attempt(key, None, lambda: s3.delete_object(Bucket=self.bucket, Key=key))

    def copy(self, s3: Any, key: str) -> None:
        source = self.random.choice(self.own_keys())
        held = self.states.get(source, {None})
        if source == key or len(held) != 1 or None in held:
            return
        (state,) = held
        self.attempt(
            key,
            state,
            lambda: s3.copy_object(
                Bucket=self.bucket,
                Key=key,
                CopySource={"Bucket": self.bucket, "Key": source},
                **self.encryption(),
            ),
        )

    def rename(self, s3: Any, key: str) -> None:
        source = self.random.choice(self.own_keys())
        held = self.states.get(source, {None})
        if source == key or len(held) != 1 or None in held:
            return
        (state,) = held
        is_new = state not in self.states.get(key, {None})

        def both() -> None:
            s3.rename_object(Bucket=self.bucket, Key=key, RenameSource=source)

        def and_source() -> None:
            self.attempt(source, None, both)

        try:
            self.attempt(key, state, and_source)
        except (ClientError, BotoCoreError, OSError):
            if is_new:  # else nobody could tell
                self.renames[source, key] = state
            raise

    def multipart(self, s3: Any, key: str) -> None:
        pieces = [self.random.randbytes(64) * (PART_BYTES // 64), self.body() or b"tail"]
        about = self.encryption()
        upload_id = s3.create_multipart_upload(Bucket=self.bucket, Key=key, **about)["UploadId"]
        parts = []
        for number, piece in enumerate(pieces, 1):
            answer = s3.upload_part(
                Bucket=self.bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=piece
            )
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        if self.random.random() < 0.2:
            s3.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
            return
        self.attempt(
            key,
            digest(b"".join(pieces)),
            lambda: s3.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}
            ),
        )

    def check(self, s3: Any, key: str) -> None:
        """Read one key and narrow what it may hold to what it does hold."""
        allowed = self.states.get(key, {None})
        try:
            answer = s3.get_object(Bucket=self.bucket, Key=key)
            data = answer["Body"].read()
        except ClientError as exc:
            if exc.response["Error"]["Code"] != "NoSuchKey":
                raise
            seen = None
        else:
            seen = digest(data)
        if seen not in allowed:
            self.surprises.append(f"{key}: holds {seen}, allowed {allowed}")
        self.states[key] = {seen}

    def run(self, s3: Any, stop: threading.Event) -> None:
        """Random requests until `stop`; errors of a dying server are expected and only counted."""
        actions = [self.put] * 6 + [self.delete] * 2 + [self.copy] * 2 + [self.rename] * 2
        actions += [self.multipart] + [self.check] * 4
        while not stop.is_set():
            action = self.random.choice(actions)
            try:
                action(s3, self.random.choice(self.own_keys()))
            except (ClientError, BotoCoreError, OSError):
                self.failed += 1
                stop.wait(0.02)


def check_all(clients: list[Client], s3: Any) -> None:
    """Every key of every client holds an allowed state, and the listing shows just what is there."""
    for client in clients:
        for key in client.own_keys():
            client.check(s3, key)
        for (source, target), state in client.renames.items():
            is_done = client.states[target] == {state}
            if (client.states[source] == {None}) is not is_done:
                client.surprises.append(f"{source} was renamed to {target} by half")
        client.renames.clear()
        assert not client.surprises, client.surprises
        listed = {
            entry["Key"]
            for page in s3.get_paginator("list_objects_v2").paginate(
                Bucket=client.bucket, Prefix=f"c{client.number}/", PaginationConfig={"PageSize": 3}
            )
            for entry in page.get("Contents", ())
        }
        assert listed == {key for key, states in client.states.items() if states != {None}}
