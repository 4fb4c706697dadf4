"""Commands and their results as bytes, for the ledger's socket: MessagePack arrays, fields by position.

The plan for a dataclass is made once, from its annotations: most fields are plain and go as they are;
the few that are nouns themselves are arrays in turn. Both ends run the same version of this program:
classes are told apart by their place in a table and nothing is kept in this form.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from operator import attrgetter
from typing import Any, Final, TypeVar, Union

import msgpack

T = TypeVar("T")
Convert = Callable[[Any], Any]
_PLAIN: Final = (int, str, bytes, bool, float, type(None))


class Plan:
    """How one dataclass becomes an array and comes back."""

    def __init__(self, cls: type[Any]) -> None:
        names = [field.name for field in dataclasses.fields(cls)]
        hints = typing.get_type_hints(cls)
        converters = [_converters(hints[name]) for name in names]
        fields = attrgetter(*names)
        self._cls = cls
        self._fields = fields if len(names) > 1 else lambda value: (fields(value),)
        self._out = [(i, out) for i, (out, _) in enumerate(converters) if out is not None]
        self._back = [(i, back) for i, (_, back) in enumerate(converters) if back is not None]

    def to_array(self, value: Any) -> Sequence[Any]:
        """The fields of `value` in order, nouns among them as arrays."""
        array: Sequence[Any] = self._fields(value)
        if self._out:
            array = list(array)
            for i, convert in self._out:
                if array[i] is not None:
                    array[i] = convert(array[i])
        return array

    def from_array(self, array: list[Any]) -> Any:
        """The inverse of `to_array`; may use up `array`."""
        for i, convert in self._back:
            if array[i] is not None:
                array[i] = convert(array[i])
        return self._cls(*array)


_plans: dict[type[Any], Plan] = {}


def _plan(cls: type[Any]) -> Plan:
    if cls not in _plans:
        _plans[cls] = Plan(cls)
    return _plans[cls]


def _converters(hint: Any) -> tuple[Convert | None, Convert | None]:
    """(out, back) for a field of this type; None where the value goes as it is. None passes unconverted."""
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        (only,) = [kind for kind in typing.get_args(hint) if kind is not type(None)]
        return _converters(only)
    if origin is Mapping:
        return None, None
    if origin is tuple:
        item, ellipsis = typing.get_args(hint)
        assert ellipsis is Ellipsis, hint
        out, back = _converters(item)
        return (
            None if out is None else lambda values: [out(value) for value in values],
            tuple if back is None else lambda values: tuple(back(value) for value in values),
        )
    if dataclasses.is_dataclass(hint):
        plan = _plan(typing.cast(type[Any], hint))
        return plan.to_array, plan.from_array
    if issubclass(hint, Enum):
        return None, hint
    if hint in _PLAIN:
        return None, None
    raise TypeError(f"no encoding for {hint}")


class Codec:
    """Values of a closed set of dataclasses, and plain values, as bytes."""

    def __init__(self, classes: Sequence[type[Any]]) -> None:
        self._numbers = {cls: number for number, cls in enumerate(classes)}
        self._plans = [_plan(cls) for cls in classes]

    def encode(self, value: Any) -> bytes:
        """`value` as [number of its class, its fields…]; a plain value as [-1, value]."""
        number = self._numbers.get(type(value))
        if number is None:
            array: Sequence[Any] = (-1, value)
        else:
            array = (number, self._plans[number].to_array(value))
        encoded: bytes = msgpack.packb(array)
        return encoded

    def decode(self, data: bytes) -> Any:
        """The inverse of `encode`."""
        number, value = msgpack.unpackb(data)
        return value if number < 0 else self._plans[number].from_array(value)
