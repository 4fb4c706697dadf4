"""ListObjectAnnotations: named texts on versions of objects."""

from typing import Any

import pytest

from tests.operations.annotations import annotated, names, put
from tests.operations.refusals import refused


@pytest.fixture
def noted(s3: Any, bucket: str) -> str:
    return annotated(s3, bucket)


def test_list(s3: Any, noted: str) -> None:
    wanted = sorted(["b", "a", "ab.1", "ab.2", "ü", "ab-3"], key=str.encode)
    for name in wanted:
        put(s3, noted, name, name.encode())
    found = s3.list_object_annotations(Bucket=noted, Key="key")
    assert [entry["AnnotationName"] for entry in found["Annotations"]] == wanted
    assert (found["AnnotationCount"], found["MaxAnnotationResults"]) == (6, 1000)
    entry = found["Annotations"][0]
    assert (entry["Size"], entry["ChecksumAlgorithm"]) == (1, ["CRC32"])
    assert names(s3, noted, AnnotationPrefix="ab") == ["ab-3", "ab.1", "ab.2"]
    pages, token = [], {}
    while True:
        page = s3.list_object_annotations(
            Bucket=noted, Key="key", MaxAnnotationResults=2, AnnotationPrefix="a", **token
        )
        pages.append([entry["AnnotationName"] for entry in page["Annotations"]])
        if "NextContinuationToken" not in page:
            break
        token = {"ContinuationToken": page["NextContinuationToken"]}
    assert pages == [["a", "ab-3"], ["ab.1", "ab.2"]]


def test_listings_that_cannot_be(s3: Any, noted: str) -> None:
    wanted = {"s3": s3, "bucket": noted}
    assert refused(names, **wanted, MaxAnnotationResults=1001) == (400, "InvalidArgument")
    assert refused(names, **wanted, ContinuationToken="junk") == (400, "InvalidArgument")
    assert refused(names, **wanted, AnnotationPrefix="x" * 513) == (400, "InvalidPrefix")
