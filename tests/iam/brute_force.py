"""A policy evaluator written a second time, as plainly as possible, straight from the JSON.

It shares no line with objstore.iam and takes no short cut: strings, recursion, one rule after the other.
"""

import ipaddress
import re
from datetime import datetime
from fractions import Fraction


def glob(pattern, text):
    """`pattern` is a list of characters; "ANY" and "ONE" in it are the wildcards."""
    reached = {0}
    for piece in pattern:
        if piece == "ANY":
            reached = set(range(min(reached), len(text) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(text) and piece in ("ONE", text[at])}
    return len(text) in reached


def expand(text, context, version):
    """The characters of a policy's text, wildcards and variables told apart; None when one is not known."""
    out, rest = [], text
    while rest:
        if version == "2012-10-17" and rest.startswith("${"):
            inside, rest = rest[2:].split("}", 1)
            if inside in ("*", "?", "$"):
                out.append(inside)
                continue
            name, _, default = inside.partition(",")
            values = find(name.strip(), context)
            if values is not None and len(values) == 1:
                out.extend(values[0])
            elif default:
                out.extend(default.strip().strip("'"))
            else:
                return None
            continue
        out.append({"*": "ANY", "?": "ONE"}.get(rest[0], rest[0]))
        rest = rest[1:]
    return out


def find(name, context):
    """The values of a condition key, whose name is compared without case, but for a tag's."""
    head, _, tag = name.partition("/")
    for key, values in context.items():
        their_head, _, their_tag = key.partition("/")
        if their_head.lower() == head.lower() and their_tag == tag:
            return values
    return None


def plain(pieces):
    return None if pieces is None else "".join({"ANY": "*", "ONE": "?"}.get(piece, piece) for piece in pieces)


def number(text):
    return Fraction(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else None


def moment(text):
    if number(text) is not None:
        return number(text)
    return Fraction(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def arn_parts(pieces):
    parts = [[]]
    for piece in pieces:
        if piece == ":" and len(parts) < 6:
            parts.append([])
        else:
            parts[-1].append(piece)
    return parts


def value_fits(base, pieces, given):
    """Whether one value of a policy (expanded) fits one of a request, under an operator without its Not."""
    if pieces is None:
        return False
    text = plain(pieces)
    if base == "StringEquals":
        return given == text
    if base == "StringEqualsIgnoreCase":
        return given.casefold() == text.casefold()
    if base == "StringLike":
        return glob(pieces, given)
    if base in ("ArnEquals", "ArnLike"):
        ours, theirs = arn_parts(pieces), given.split(":", 5)
        return len(ours) == len(theirs) == 6 and all(map(glob, ours, theirs))
    if base == "Bool":
        return {given.lower(), text.lower()} in ({"true"}, {"false"})
    if base == "IpAddress":
        try:
            return ipaddress.ip_address(given) in ipaddress.ip_network(text, strict=False)
        except ValueError:
            return False
    kind, comparison = re.fullmatch("(Numeric|Date)(.*)", base).groups()
    try:
        one, other = (number(given), number(text)) if kind == "Numeric" else (moment(given), moment(text))
    except ValueError:
        return False
    if one is None or other is None:
        return False
    order = (one > other) - (one < other)
    wanted = {"Equals": (0,), "LessThan": (-1,), "LessThanEquals": (-1, 0), "GreaterThan": (1,)}
    return order in wanted.get(comparison, (0, 1))


def condition_holds(operator, key, wanted, context, version):
    values = find(key, context)
    wanted = [wanted] if isinstance(wanted, str) else wanted
    if operator == "Null":
        return any((each.lower() == "true") == (not values) for each in wanted)
    if_exists, operator = operator.endswith("IfExists"), operator.removesuffix("IfExists")
    mode, _, operator = operator.rpartition(":")
    negated = "Not" in operator
    base = operator.replace("Not", "")
    if not values:
        return if_exists or mode == "ForAllValues" or (negated and mode != "ForAnyValue")
    pieces = [expand(each, context, version) for each in wanted]
    results = [any(value_fits(base, each, value) for each in pieces) for value in values]
    if negated:
        results = [not result for result in results]
        return any(results) if mode == "ForAnyValue" else all(results)
    return all(results) if mode == "ForAllValues" else any(results)


def principal_fits(principal, user):
    """`user`: account, name and canonical id, or None for nobody in particular."""
    if principal == "*":
        return True
    for kind, names in principal.items():
        for name in [names] if isinstance(names, str) else names:
            if (kind, name) == ("AWS", "*"):
                return True
            if user is None:
                continue
            arns = [f"arn:aws:iam::{user['account']}:{end}" for end in ("root", f"user/{user['name']}")]
            if kind == "AWS" and name in (user["account"], *arns, f"arn:aws:iam:::user/{user['name']}"):
                return True
            if kind == "CanonicalUser" and name == user["id"]:
                return True
    return False


def listed(value):
    return [value] if isinstance(value, str) else value


def decide(policy, user, action, resource, context):
    """ "Deny", "Allow" or "" (neither)."""
    version = policy.get("Version", "2008-10-17")
    effects = set()
    for statement in policy["Statement"]:
        name = "Principal" if "Principal" in statement else "NotPrincipal"
        if principal_fits(statement[name], user) == (name == "NotPrincipal"):
            continue
        name = "Action" if "Action" in statement else "NotAction"
        patterns = [expand(each.lower(), {}, "") for each in listed(statement[name])]
        if any(glob(each, action.lower()) for each in patterns) == (name == "NotAction"):
            continue
        name = "Resource" if "Resource" in statement else "NotResource"
        patterns = [expand(each, context, version) for each in listed(statement[name])]
        if any(each is not None and glob(each, resource) for each in patterns) == (name == "NotResource"):
            continue
        if all(
            condition_holds(operator, key, wanted, context, version)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        ):
            effects.add(statement["Effect"])
    return "Deny" if "Deny" in effects else "Allow" if "Allow" in effects else ""
