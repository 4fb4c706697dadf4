"""Bucket policies: parse, judge, and tell whether one lets the public in. Pure.

A policy is parsed whole when it is put; whatever this server does not understand in it is refused then,
because a statement that is skipped is a Deny that does not deny.
Sources: IAM User Guide, "IAM JSON policy element reference" and "Policy evaluation logic"; Amazon S3 User
Guide, "Policies and permissions in Amazon S3" and "The meaning of public".
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NoReturn

from objstore.iam import patterns
from objstore.iam.conditions import (
    Condition,
    Quantifier,
    UnknownOperator,
    parse_condition,
    read_network,
)
from objstore.iam.patterns import Lookup, Text
from objstore.iam.principals import EVERYONE, Principal, parse_principal
from objstore.iam.vocabulary import ACTIONS, ACTIONS_OF_KEY, BUCKET_ACTIONS, OBJECT_ACTIONS, condition_key
from objstore.model import Identity
from objstore.s3.errors import MalformedPolicy

POLICY_BYTES_MAX: Final = 20 * 1024
"""Without white space between tokens."""
VERSIONS: Final = ("2012-10-17", "2008-10-17")
ARN_PREFIX: Final = "arn:aws:s3:::"

_FIELDS: Final = frozenset({"Version", "Id", "Statement"})
_STATEMENT_FIELDS: Final = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)
_NOT_JSON: Final = "Policies must be valid JSON and the first byte must be '{'"
_FIXING_KEYS: Final = frozenset(
    {
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceorgid",
        "aws:sourceorgpaths",
        "aws:sourceowner",
        "aws:sourcevpc",
        "aws:sourcevpcarn",
        "aws:sourcevpce",
        "aws:userid",
        "aws:username",
        "s3:dataaccesspointaccount",
        "s3:dataaccesspointarn",
    }
)
"""Condition keys that, held to fixed values, let in nobody who is not known."""
_FIXING_OPERATORS: Final = frozenset(
    {"StringEquals", "StringEqualsIgnoreCase", "StringLike", "ArnEquals", "ArnLike"}
)
_PREFIX_LENGTH_MIN: Final = {4: 8, 6: 32}
"""A larger range of addresses than this counts as everywhere."""


class Decision(Enum):
    """What a policy says of a request. NEUTRAL: nothing."""

    ALLOW = "Allow"
    DENY = "Deny"
    NEUTRAL = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What is judged: who asks to do what with which resource (an ARN), under which circumstances."""

    identity: Identity
    action: str
    resource: str
    lookup: Lookup
    service: str = ""
    """The service that acts by itself, instead of `identity`."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement. `actions` are those meant, lower case, NotAction and wildcards worked out."""

    sid: str
    effect: Decision
    principals: tuple[Principal, ...]
    is_not_principal: bool
    actions: frozenset[str]
    resources: tuple[Text, ...]
    is_not_resource: bool
    conditions: tuple[Condition, ...]

    def applies(self, request: Request) -> bool:
        """Whether it speaks of this request."""
        if request.action.lower() not in self.actions:
            return False
        identity, service = request.identity, request.service
        if any(each.is_of(identity, service) for each in self.principals) is self.is_not_principal:
            return False
        is_named = any(each.matches(request.resource, request.lookup) for each in self.resources)
        if is_named is self.is_not_resource:
            return False
        return all(condition.holds(request.lookup) for condition in self.conditions)

    @property
    def is_public(self) -> bool:
        """Whether it lets in somebody who is not known."""
        if self.effect is not Decision.ALLOW or EVERYONE not in self.principals:
            return False
        return not any(_fixes(condition) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Policy:
    """A bucket's policy."""

    id: str
    statements: tuple[Statement, ...]

    def judge(self, request: Request) -> Decision:
        """An explicit Deny wins over every Allow; without either there is no decision."""
        assert request.action.lower() in ACTIONS, f"{request.action}: no Deny could name it"
        decision = Decision.NEUTRAL
        for statement in self.statements:
            if decision is statement.effect or not statement.applies(request):
                continue
            if statement.effect is Decision.DENY:
                return Decision.DENY
            decision = Decision.ALLOW
        return decision

    @property
    def is_public(self) -> bool:
        """Whether any statement lets in somebody who is not known."""
        return any(statement.is_public for statement in self.statements)


def _fixes(condition: Condition) -> bool:
    """Whether it holds only for callers known beforehand: fixed accounts, or a small range of addresses."""
    if condition.if_exists or condition.quantifier is Quantifier.ALL or condition.operator is None:
        return False
    values = condition.values
    if condition.key == "aws:sourceip":
        return condition.operator_name == "IpAddress" and all(_is_narrow(value) for value in values)
    if condition.key not in _FIXING_KEYS or condition.operator_name not in _FIXING_OPERATORS:
        return False
    is_pattern = condition.operator_name in ("StringLike", "ArnEquals", "ArnLike")
    return all(value.is_fixed and not (is_pattern and value.has_wildcard) for value in values)


def _is_narrow(value: Text) -> bool:
    if not value.is_fixed:
        return False
    network = read_network(value.written)
    return network.is_private or network.prefixlen >= _PREFIX_LENGTH_MIN[network.version]


# --- reading -----------------------------------------------------------------------------------------


def parse_policy(data: bytes, bucket_name: str) -> Policy:
    """The policy of a bucket of this name. Raises MalformedPolicy, saying what is wrong with it."""
    document = _json(data)
    if len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()) > POLICY_BYTES_MAX:
        _refuse("Policy exceeds the maximum allowed document size.")
    _check_fields(document, _FIELDS)
    version = document.get("Version", VERSIONS[1])
    if version not in VERSIONS:
        _refuse("The policy must contain a valid version string")
    id_ = document.get("Id", "")
    if not isinstance(id_, str):
        _refuse("Invalid Id in policy")
    if "Statement" not in document:
        _refuse("Missing required field Statement")
    written = document["Statement"]
    statements = written if isinstance(written, list) else [written]
    if not statements:
        _refuse("Could not parse the policy: Statement is empty!")
    reader = _Reader(bucket_name, with_variables=version == VERSIONS[0])
    parsed = tuple(reader.statement(statement) for statement in statements)
    sids = [statement.sid for statement in parsed if statement.sid]
    if len(set(sids)) < len(sids):
        _refuse("Statement IDs (SID) in a single policy must be unique.")
    return Policy(id_, parsed)


def _refuse(message: str, detail: str = "") -> NoReturn:
    if detail:
        raise MalformedPolicy(message, Detail=detail.encode("ascii", "backslashreplace").decode())
    raise MalformedPolicy(message)


def _json(data: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a field twice")
        return found

    def not_a_number(text: str) -> NoReturn:
        raise ValueError(text)

    if not data.startswith(b"{"):
        _refuse(_NOT_JSON)
    try:
        document = json.loads(data.decode(), object_pairs_hook=unique, parse_constant=not_a_number)
        json.dumps(document, ensure_ascii=False).encode()  # no lone surrogates
    except (ValueError, RecursionError):
        _refuse(_NOT_JSON)
    assert isinstance(document, dict)
    return document


def _check_fields(written: Mapping[str, Any], known: frozenset[str]) -> None:
    for name in written:
        if name not in known:
            _refuse(f"Unknown field {ascii(name)[1:-1]}")


def _strings(written: Any, complaint: str) -> list[str]:
    """One string or a list of at least one."""
    values = written if isinstance(written, list) else [written]
    if not values or not all(isinstance(value, str) for value in values):
        _refuse(complaint)
    return values


class _Reader:
    """Reads the statements of one bucket's policy."""

    def __init__(self, bucket_name: str, *, with_variables: bool) -> None:
        self._bucket_name = bucket_name
        self._with_variables = with_variables

    def statement(self, written: Any) -> Statement:
        if not isinstance(written, dict):
            _refuse("Could not parse the policy: a statement is not an object")
        _check_fields(written, _STATEMENT_FIELDS)
        sid = written.get("Sid", "")
        if not isinstance(sid, str):
            _refuse("Invalid Sid in policy")
        effect = written.get("Effect")
        if effect is None:
            _refuse("Missing required field Effect")
        if effect not in ("Allow", "Deny"):
            _refuse(f"Invalid effect: {ascii(effect)[1:-1] if isinstance(effect, str) else 'not a string'}")
        principals, is_not_principal = _either(written, "Principal")
        if is_not_principal and effect == "Allow":  # it would let in everybody but those named
            _refuse("NotPrincipal must be used with Effect Deny")
        actions, is_not_action = _either(written, "Action")
        resources, is_not_resource = _either(written, "Resource")
        by_entry = _actions(_strings(actions, "Policy has invalid action"))
        meant = frozenset[str]().union(*by_entry)
        texts = self._resources(_strings(resources, "Policy has invalid resource"))
        if not is_not_action and not is_not_resource:
            _check_fit(by_entry, texts)
        conditions = tuple(self._conditions(written.get("Condition", {})))
        if not is_not_action:
            _check_conditions_fit(by_entry, conditions)
        return Statement(
            sid=sid,
            effect=Decision(effect),
            principals=_principals(principals),
            is_not_principal=is_not_principal,
            actions=ACTIONS - meant if is_not_action else meant,
            resources=texts,
            is_not_resource=is_not_resource,
            conditions=conditions,
        )

    def _text(self, written: str, complaint: str) -> Text:
        try:
            return Text.parse(written, with_variables=self._with_variables)
        except ValueError:
            _refuse(complaint)

    def _resources(self, written: Sequence[str]) -> tuple[Text, ...]:
        for arn in written:
            parts = arn.split(":", 5)
            is_ours = arn == "*" or (
                len(parts) == 6
                and parts[0] == "arn"
                and patterns.matches(parts[1], "aws")
                and patterns.matches(parts[2], "s3")
                and patterns.matches(parts[3], "")
                and patterns.matches(parts[4], "")
                and patterns.matches(parts[5].partition("/")[0], self._bucket_name)
            )
            if not is_ours:
                _refuse("Policy has invalid resource", arn)
        return tuple(self._text(arn, "Policy has invalid resource") for arn in written)

    def _conditions(self, written: Any) -> Iterable[Condition]:
        if not isinstance(written, dict):
            _refuse("Could not parse the policy: Condition is not an object")
        for operator, keys in written.items():
            if not isinstance(keys, dict):
                _refuse("Could not parse the policy: a condition is not an object")
            if not keys:
                _refuse("Could not parse the policy: a condition is empty")
            for key, values in keys.items():
                yield self._condition(operator, key, values)

    def _condition(self, operator: str, key: str, values: Any) -> Condition:
        try:
            known_key = condition_key(key)
        except ValueError:
            _refuse("Policy has an invalid condition key", key)
        scalars = values if isinstance(values, list) else [values]
        if not scalars or not all(isinstance(value, str | int | float) for value in scalars):
            _refuse("Could not parse the policy: a condition has no values")
        complaint = f"Invalid value in condition {ascii(operator)[1:-1]} of {ascii(key)[1:-1]}"
        texts = tuple(self._text(_scalar(value), complaint) for value in scalars)
        try:
            return parse_condition(operator, known_key, texts)
        except UnknownOperator:
            _refuse(f"Invalid Condition type : {ascii(operator)[1:-1]}")
        except ValueError:
            _refuse(complaint)


def _scalar(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else repr(value)


def _either(written: Mapping[str, Any], name: str) -> tuple[Any, bool]:
    """The value of `name` or of its negation, and whether it is the negation; exactly one is there."""
    negated = f"Not{name}"
    if name in written and negated in written:
        _refuse(f"Policy statement must contain either {name} or {negated}, not both")
    if name not in written and negated not in written:
        _refuse(f"Missing required field {name}")
    return (written[name], False) if name in written else (written[negated], True)


def _principals(written: Any) -> tuple[Principal, ...]:
    if written == "*":
        return (EVERYONE,)
    if not isinstance(written, dict) or not written:
        _refuse("Invalid principal in policy")
    found: list[Principal] = []
    for kind, names in written.items():
        for name in _strings(names, "Invalid principal in policy"):
            try:
                found.append(parse_principal(kind, name))
            except ValueError:
                _refuse("Invalid principal in policy", f'"{kind}" : "{name}"')
    return tuple(found)


_ACTION: Final = re.compile(r"\*|s3:[A-Za-z*?]+", re.IGNORECASE)


def _actions(written: Sequence[str]) -> list[frozenset[str]]:
    """What each of some names and wildcards means, which is at least one action."""
    by_entry = []
    for name in written:
        meant = frozenset(action for action in ACTIONS if patterns.matches(name.lower(), action))
        if not _ACTION.fullmatch(name) or not meant:
            _refuse("Policy has invalid action", name)
        by_entry.append(meant)
    return by_entry


def _check_conditions_fit(by_entry: Sequence[frozenset[str]], conditions: Sequence[Condition]) -> None:
    """Every entry names an action whose requests may have what each condition asks about."""
    for condition in conditions:
        having = ACTIONS_OF_KEY.get(condition.key, ACTIONS)
        if any(having.isdisjoint(actions) for actions in by_entry):
            _refuse("Conditions do not apply to combination of actions and resources in statement")


def _check_fit(by_entry: Sequence[frozenset[str]], resources: Sequence[Text]) -> None:
    """An action upon objects needs one named, one upon buckets the bucket: else it would mean nothing."""
    names_bucket = any("/" not in text.written for text in resources)
    names_object = any("/" in text.written or "*" in text.written.split(":")[-1] for text in resources)
    for actions in by_entry:
        if not ((names_bucket and actions & BUCKET_ACTIONS) or (names_object and actions & OBJECT_ACTIONS)):
            _refuse("Action does not apply to any resource(s) in statement")
