"""How a version's replication is written down and shown."""

import pytest

from objstore.model import Attributes
from objstore.s3.replication import (
    EXTRA,
    VERSION_CHARACTERS_MAX,
    Progress,
    Status,
    as_new,
    as_text,
    is_replica,
    is_unsent,
    progress_of,
    status_of,
)

A, B = "arn:aws:s3:::a", "arn:aws:objstore:::far/b"


def kept(*entries: tuple[str, Progress]) -> Attributes:
    return Attributes(extra={EXTRA: as_text(dict(entries)), "acl": "x"})


@pytest.mark.parametrize(
    "version_id", [None, "null", "-", "a b", "ü%20/+=", "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIb"]
)
def test_it_reads_back_the_same(version_id: str | None) -> None:
    entries = {A: Progress("COMPLETED", version_id), B: Progress("PENDING")}
    assert progress_of(kept(*entries.items())) == entries


def test_a_version_id_that_is_far_too_long_is_not_kept() -> None:
    entry = (A, Progress("COMPLETED", "x" * (VERSION_CHARACTERS_MAX + 1)))
    assert progress_of(kept(entry))[A].version_id is None


@pytest.mark.parametrize(
    ("statuses", "shown"),
    [
        (["PENDING"], "PENDING"),
        (["COMPLETED"], "COMPLETED"),
        (["COMPLETED", "PENDING"], "PENDING"),
        (["FAILED", "PENDING"], "FAILED"),
        (["COMPLETED", "FAILED"], "FAILED"),
        (["COMPLETED", "COMPLETED"], "COMPLETED"),
    ],
)
def test_what_the_header_says_of_several(statuses: list[Status], shown: str) -> None:
    attributes = kept(*zip((A, B), map(Progress, statuses), strict=False))
    assert status_of(attributes) == shown
    assert is_unsent(attributes) is (shown != "COMPLETED")


def test_replicas() -> None:
    replica = Attributes(extra={EXTRA: "REPLICA"})
    assert status_of(replica) == "REPLICA"
    assert is_replica(replica) and not is_unsent(replica) and progress_of(replica) == {}
    assert as_new(replica) == Attributes()
    assert status_of(Attributes()) is None and not is_replica(Attributes())
    assert as_new(kept((A, Progress("FAILED")))).extra == {"acl": "x"}
