"""Opaque strings handed to clients: what goes in comes out, and nothing else gets in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objstore.s3 import tokens
from objstore.s3.errors import InvalidArgument, NoSuchUpload

FIELDS = st.lists(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(codec="utf-8")), max_size=5
)


@given(FIELDS)
def test_a_token_gives_back_what_it_was_made_of(fields):
    assert tokens.decode_token("list:bucket", tokens.encode_token("list:bucket", fields)) == fields


def test_a_token_is_good_for_its_purpose_alone():
    token = tokens.encode_token("list:one", ["key"])
    with pytest.raises(InvalidArgument):
        tokens.decode_token("list:two", token)


def test_no_character_of_a_token_can_be_changed():
    token = tokens.encode_token("list:bucket", ["some/key", 3])
    for position, character in enumerate(token.rstrip("=")[:-1]):
        changed = token[:position] + ("A" if character != "A" else "B") + token[position + 1 :]
        with pytest.raises(InvalidArgument):
            tokens.decode_token("list:bucket", changed)


@pytest.mark.parametrize(
    "text", ["", "x", "====", "ü", "a" * 10_000, "AQ==", "1", "../..", "AQAAAAAAAAAAwA=="]
)
def test_what_is_no_token_is_refused(text):
    with pytest.raises(InvalidArgument):
        tokens.decode_token("list:bucket", text)


def test_ids_are_unique_ordered_and_recognised():
    ids = [tokens.new_upload_id() for _ in range(100)]
    assert len(set(ids)) == 100
    assert [tokens.check_upload_id(upload_id) for upload_id in ids] == ids
    assert tokens.check_version_id("null") == "null"
    assert tokens.check_version_id(tokens.new_version_id())


@pytest.mark.parametrize("text", ["", "x", "G" * 32, "0" * 31, "0" * 33, "../" * 10, "0" * 31 + "\n"])
def test_what_cannot_be_an_id_is_refused(text):
    with pytest.raises(NoSuchUpload):
        tokens.check_upload_id(text)
    with pytest.raises(InvalidArgument):
        tokens.check_version_id(text)
