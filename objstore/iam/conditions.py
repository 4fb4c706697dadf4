"""Condition operators, as one table, and how a condition is judged. Pure.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Conditions with multiple
context keys or values".
"""

import ipaddress
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

from objstore.iam.patterns import Lookup, Text

Compare = Callable[[Text, str, Lookup], bool]
"""Whether a policy's value (first) fits a request's."""


class Operator(NamedTuple):
    """`read` makes sense of a policy's value, or ValueError. A negated one holds where nothing fits."""

    compare: Compare
    read: Callable[[str], Any]
    is_negated: bool


class Quantifier(Enum):
    """How many of a request's values must fit."""

    NONE = ""
    ALL = "ForAllValues:"
    ANY = "ForAnyValue:"


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one key. `operator` None: the Null operator, whose values are "true" and "false"."""

    operator: Operator | None
    operator_name: str
    key: str
    values: tuple[Text, ...]
    quantifier: Quantifier = Quantifier.NONE
    if_exists: bool = False

    def holds(self, lookup: Lookup) -> bool:
        """Whether a request, known through `lookup`, meets it."""
        given = lookup(self.key)
        if self.operator is None:
            wanted = "false" if given else "true"
            return any(value.plain(lookup) == wanted for value in self.values)
        if not given:
            return self._holds_without_value(self.operator)
        fits = self._fits(self.operator, lookup)
        match self.quantifier:
            case Quantifier.ALL:
                return all(fits(value) for value in given)
            case Quantifier.ANY:
                return any(fits(value) for value in given)
        return all(map(fits, given)) if self.operator.is_negated else any(map(fits, given))

    def _holds_without_value(self, operator: Operator) -> bool:
        if self.if_exists or self.quantifier is Quantifier.ALL:
            return True
        return operator.is_negated and self.quantifier is not Quantifier.ANY

    def _fits(self, operator: Operator, lookup: Lookup) -> Callable[[str], bool]:
        def fits(given: str) -> bool:
            is_equal = any(operator.compare(value, given, lookup) for value in self.values)
            return is_equal is not operator.is_negated

        return fits


# --- kinds of values ---------------------------------------------------------------------------------


def _text(value: str) -> str:
    return value


def _number(value: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(value) from None
    if not number.is_finite():
        raise ValueError(value)
    return number


def read_date(value: str) -> Decimal:
    """Seconds since the epoch, from those or from ISO 8601. ValueError."""
    try:
        return _number(value)
    except ValueError:
        pass
    at = datetime.fromisoformat(value)
    return Decimal((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


def _truth(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise ValueError(value)
    return value.lower() == "true"


def _binary(value: str) -> bytes:
    return b64decode(value, validate=True)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def read_network(value: str) -> Network:
    """An address or a range of them in CIDR notation; IPv6 ones that stand for IPv4 as those. ValueError."""
    network = ipaddress.ip_network(value, strict=False)
    if isinstance(network, ipaddress.IPv6Network):
        mapped = network.network_address.ipv4_mapped
        if mapped is not None and network.prefixlen >= 96:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96), strict=False)
    return network


def _arn(value: str) -> str:
    if value.count(":") < 5 or not value.startswith(("arn:", "*")):
        raise ValueError(value)
    return value


# --- comparisons -------------------------------------------------------------------------------------


def _equal(value: Text, given: str, lookup: Lookup) -> bool:
    return value.plain(lookup) == given


def _equal_ignoring_case(value: Text, given: str, lookup: Lookup) -> bool:
    wanted = value.plain(lookup)
    return wanted is not None and wanted.casefold() == given.casefold()


def _like(value: Text, given: str, lookup: Lookup) -> bool:
    return value.matches(given, lookup)


def _arn_like(value: Text, given: str, lookup: Lookup) -> bool:
    return value.matches_arn(given, lookup)


def _by(
    read: Callable[[str], Any], fits: Callable[[Any, Any], bool], value: Text, given: str, lookup: Lookup
) -> bool:
    """Both sides read; what cannot be read fits nothing. `fits` takes the request's value first."""
    wanted = value.plain(lookup)
    if wanted is None:
        return False
    try:
        return fits(read(given), read(wanted))
    except ValueError:
        return False


def _is_within(given: Network, wanted: Network) -> bool:
    return given.version == wanted.version and given.subnet_of(wanted)  # type: ignore[arg-type]


_number_cached: Final = lru_cache(maxsize=1024)(_number)
_date_cached: Final = lru_cache(maxsize=1024)(read_date)
_network_cached: Final = lru_cache(maxsize=1024)(read_network)
_ORDER: Final[Sequence[tuple[str, Callable[[Any, Any], bool], bool]]] = (
    ("Equals", lambda given, wanted: given == wanted, False),
    ("NotEquals", lambda given, wanted: given == wanted, True),
    ("LessThan", lambda given, wanted: given < wanted, False),
    ("LessThanEquals", lambda given, wanted: given <= wanted, False),
    ("GreaterThan", lambda given, wanted: given > wanted, False),
    ("GreaterThanEquals", lambda given, wanted: given >= wanted, False),
)

OPERATORS: Final[dict[str, Operator]] = {
    "StringEquals": Operator(_equal, _text, False),
    "StringNotEquals": Operator(_equal, _text, True),
    "StringEqualsIgnoreCase": Operator(_equal_ignoring_case, _text, False),
    "StringNotEqualsIgnoreCase": Operator(_equal_ignoring_case, _text, True),
    "StringLike": Operator(_like, _text, False),
    "StringNotLike": Operator(_like, _text, True),
    **{
        f"Numeric{name}": Operator(partial(_by, _number_cached, fits), _number, negated)
        for name, fits, negated in _ORDER
    },
    **{
        f"Date{name}": Operator(partial(_by, _date_cached, fits), read_date, negated)
        for name, fits, negated in _ORDER
    },
    "Bool": Operator(partial(_by, _truth, bool.__eq__), _truth, False),
    "BinaryEquals": Operator(partial(_by, _binary, bytes.__eq__), _binary, False),
    "IpAddress": Operator(partial(_by, _network_cached, _is_within), read_network, False),
    "NotIpAddress": Operator(partial(_by, _network_cached, _is_within), read_network, True),
    "ArnEquals": Operator(_arn_like, _arn, False),
    "ArnLike": Operator(_arn_like, _arn, False),
    "ArnNotEquals": Operator(_arn_like, _arn, True),
    "ArnNotLike": Operator(_arn_like, _arn, True),
}
NULL: Final = "Null"
_BY_LOWER_NAME: Final = {name.lower(): name for name in (*OPERATORS, NULL)}


def _nothing(key: str) -> None:
    """Looks nothing up."""


class UnknownOperator(ValueError):
    """The text names no operator."""


def parse_condition(name: str, key: str, values: tuple[Text, ...]) -> Condition:
    """The condition that `name` (with quantifier and IfExists) makes of a known key and its values.

    Raises UnknownOperator; ValueError for a value the operator cannot make sense of.
    """
    quantifier, rest = Quantifier.NONE, name
    for each in (Quantifier.ALL, Quantifier.ANY):
        if name.lower().startswith(each.value.lower()):
            quantifier, rest = each, name[len(each.value) :]
    if_exists = rest.lower().endswith("ifexists")
    known = _BY_LOWER_NAME.get((rest[: -len("IfExists")] if if_exists else rest).lower())
    if known is None or (known == NULL and (if_exists or quantifier is not Quantifier.NONE)):
        raise UnknownOperator(name)
    read = OPERATORS[known].read if known != NULL else _truth
    for value in values:
        if value.is_fixed:
            read(value.plain(_nothing) or "")
    if known == NULL:
        lowered = tuple(Text(value.written.lower(), (value.written.lower(),)) for value in values)
        return Condition(None, NULL, key, lowered)
    return Condition(OPERATORS[known], known, key, values, quantifier, if_exists)
