"""Commands and results as bytes: everything comes back as it went, and quickly."""

import dataclasses
import time
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objstore.meta import commands
from objstore.model import Attributes, BlobRef, Bucket, Checksum, ChecksumType, ObjectVersion, Versioning

numbers = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(codec="utf-8"), max_size=8)


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([values(argument) for argument in arguments])
    if origin is Mapping:
        return st.dictionaries(texts, texts, max_size=3)
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        fields = {field.name: values(hints[field.name]) for field in dataclasses.fields(hint)}
        return st.builds(typing.cast(Any, hint), **fields)
    if issubclass(hint, Enum):
        return st.sampled_from(hint)
    return {
        int: numbers,
        bool: st.booleans(),
        str: texts,
        bytes: st.binary(max_size=8),
        type(None): st.none(),
    }[hint]


@pytest.mark.parametrize("cls", commands.COMMANDS, ids=lambda cls: cls.__name__)
def test_every_command_comes_back_as_it_went(cls: type[Any]) -> None:
    @settings(max_examples=30, deadline=None, print_blob=True)
    @given(values(cls))
    def check(command: Any) -> None:
        back = commands.decode(commands.encode(command))
        assert back == command and type(back) is cls

    check()


@pytest.mark.parametrize("cls", commands.RESULTS, ids=lambda cls: cls.__name__)
def test_every_result_comes_back_as_it_went(cls: type[Any]) -> None:
    @settings(max_examples=30, deadline=None, print_blob=True)
    @given(values(cls))
    def check(result: Any) -> None:
        back = commands.decode_result(commands.encode_result(result))
        assert back == result and type(back) is cls

    check()


@pytest.mark.parametrize("value", [None, True, 7, "text", b"bytes"])
def test_plain_results_come_back(value: Any) -> None:
    assert commands.decode_result(commands.encode_result(value)) == value


def test_enumerations_come_back_as_themselves() -> None:
    bucket = Bucket(1, "bucket", "owner", "here", 0, Versioning.SUSPENDED, True)
    back = commands.decode_result(commands.encode_result(bucket))
    assert type(back.versioning) is Versioning and back.object_lock is True


def test_every_command_is_in_the_table_once() -> None:
    defined: set[Any] = {
        value
        for value in vars(commands).values()
        if isinstance(value, type) and hasattr(value, "apply") and dataclasses.is_dataclass(value)
    }
    assert set(commands.COMMANDS) == defined
    assert len(commands.COMMANDS) == len(defined)
    assert set(commands.__all__) >= {cls.__name__ for cls in defined}


def test_every_command_is_a_frozen_value() -> None:
    for cls in commands.COMMANDS:
        parameters = cls.__dataclass_params__  # type: ignore[attr-defined]
        assert parameters.frozen, cls


def test_a_command_of_an_unknown_number_is_refused() -> None:
    with pytest.raises(IndexError):
        commands.decode(msgpack.packb([999, []]))


def test_a_put_takes_microseconds_each_way() -> None:
    attributes = Attributes(
        {"content-type": "binary/octet-stream"},
        {},
        Checksum("CRC64NVME", "AAAAAAAAAAA=", ChecksumType.FULL_OBJECT),
    )
    put = commands.PutVersion(
        1, "folder/key-0001", 4096, "e" * 32, "o" * 64, attributes, blob=BlobRef(b"i" * 16, 4096, b"l" * 40)
    )
    version = ObjectVersion(1, put.key, "null", 1, 1, put.owner_id, 4096, put.etag, attributes, blob=put.blob)
    began_s = time.perf_counter()
    for _ in range(1000):
        commands.decode(commands.encode(put))
        commands.decode_result(commands.encode_result(version))
    took_us = (time.perf_counter() - began_s) * 1e6 / 1000
    assert took_us < 300  # 16 on an idle machine, all four together
    assert len(commands.encode(put)) < 320
