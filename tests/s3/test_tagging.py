"""Tag sets: from a document and back, and their limits."""

import pytest

from objstore.s3 import errors
from objstore.s3.documents.tagging import Tag, Tagging, check_bucket_tags, tagging_of, tags_of


def tagging(*pairs: tuple[str, str]) -> Tagging:
    return Tagging(tags=tuple(Tag(key=key, value=value) for key, value in pairs))


def many(count: int) -> Tagging:
    return tagging(*((f"k{number}", "") for number in range(count)))


def test_there_and_back() -> None:
    tags = {"a": "1", "b:c/d": "ü @+-=._"}
    assert tags_of(tagging_of(tags)) == tags
    assert tags_of(tagging()) == {}


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (many(11), errors.TooManyTags),
        (tagging(("", "v")), errors.InvalidTag),
        (tagging(("k" * 129, "v")), errors.InvalidTag),
        (tagging(("k", "v" * 257)), errors.InvalidTag),
        (tagging(("aws:k", "v")), errors.InvalidTag),
        (tagging(("k", "v;")), errors.InvalidTag),
        (tagging(("k", "1"), ("k", "1")), errors.DuplicateTag),
    ],
)
def test_tags_that_cannot_be(wanted: Tagging, error: type[Exception]) -> None:
    with pytest.raises(error):
        tags_of(wanted)


def test_buckets_may_have_fifty() -> None:
    check_bucket_tags(many(50))
    with pytest.raises(errors.TooManyTags):
        check_bucket_tags(many(51))
