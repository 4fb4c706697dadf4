"""The policy engine against the evaluator in brute_force.py, on 100,000 random cases."""

import json
import random
from collections import Counter
from typing import Any

from objstore.iam.patterns import Lookup
from objstore.iam.policy import Request, parse_policy
from objstore.iam.principals import account_id
from objstore.iam.vocabulary import condition_key
from objstore.model import ANONYMOUS, Identity
from tests.iam import brute_force

CASES = 100_000
REQUESTS_PER_POLICY = 20
BUCKET = "photos"
USERS = [
    Identity(letter * 64, name, name, access_key=f"AK{name}")
    for letter, name in zip("abc", ("ann", "bob", "cat"), strict=True)
]
CALLERS = [*USERS, ANONYMOUS]
ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "s3:GetObjectTagging"]
ACTION_PATTERNS = [*ACTIONS, "s3:*", "*", "s3:Get*", "s3:*Object", "S3:getobject", "s3:?utObject"]
RESOURCES = [
    f"arn:aws:s3:::{BUCKET}{rest}" for rest in ("", "/a", "/b/c", "/ann/x", "/a*", "/${aws:username}")
]
RESOURCE_PATTERNS = [
    f"arn:aws:s3:::{BUCKET}",
    f"arn:aws:s3:::{BUCKET}/*",
    f"arn:aws:s3:::{BUCKET}*",
    f"arn:aws:s3:::{BUCKET}/a",
    f"arn:aws:s3:::{BUCKET}/?",
    f"arn:aws:s3:::{BUCKET}/${{aws:username}}/*",
    f"arn:aws:s3:::{BUCKET}/${{aws:username, 'a'}}",
    f"arn:aws:s3:::{BUCKET}/a${{*}}",
    "arn:aws:s3:::*",
    "*",
]
TEXTS = ["", "ann", "bob", "a*", "Ann", "a", "${aws:username}", "${aws:username, 'bob'}", "*", "?nn", "${*}"]
NUMBERS = ["0", "1", "10", "-1", "2.5"]
DATES = ["2026-01-01T00:00:00Z", "1767225600", "2025-06-01T00:00:00Z", "2027-01-01T12:30:00+02:00"]
ADDRESSES = ["10.0.0.1", "192.168.1.7", "2001:db8::1", "not an address"]
NETWORKS = ["10.0.0.0/8", "192.168.1.7", "0.0.0.0/0", "2001:db8::/32", "::/0", "192.168.1.0/24"]
ARNS = ["arn:aws:iam::123456789012:user/ann", "arn:aws:sns:eu-west-1:1:topic", "arn:aws:iam::1:root"]
ARN_PATTERNS = [
    *ARNS,
    "arn:aws:iam::*:user/*",
    "arn:*:*:*:*:*",
    "arn:aws:iam::123456789012:user/${aws:username}",
]
TRUTHS = ["true", "false", "True"]
KINDS: list[tuple[list[str], list[str], list[str], list[str]]] = [
    # operators, keys, values of policies, values of requests
    (
        [
            f"String{c}"
            for c in ("Equals", "NotEquals", "Like", "NotLike", "EqualsIgnoreCase", "NotEqualsIgnoreCase")
        ],
        [
            "aws:UserAgent",
            "aws:Referer",
            "AWS:userAgent",
            "s3:ExistingObjectTag/Team",
            "s3:RequestObjectTagKeys",
        ],
        TEXTS,
        ["", "ann", "bob", "Ann", "a*", "abc", "*"],
    ),
    (
        [f"Numeric{c}" for c in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan")]
        + ["NumericGreaterThanEquals"],
        ["s3:signatureAge"],
        NUMBERS,
        [*NUMBERS, "junk", ""],
    ),
    (
        [f"Date{c}" for c in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan")]
        + ["DateGreaterThanEquals"],
        ["aws:CurrentTime", "aws:EpochTime"],
        DATES,
        DATES,
    ),
    (["Bool"], ["aws:SecureTransport"], TRUTHS, ["true", "false", "maybe"]),
    (["IpAddress", "NotIpAddress"], ["aws:SourceIp"], NETWORKS, ADDRESSES),
    (
        ["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
        ["aws:SourceArn", "aws:PrincipalArn"],
        ARN_PATTERNS,
        [*ARNS, "no arn"],
    ),
]
PREFIXES = ["", "", "", "ForAllValues:", "ForAnyValue:"]


def some(rng: random.Random, values: list[str]) -> str | list[str]:
    return (
        rng.choice(values) if rng.random() < 0.6 else rng.sample(values, min(len(values), rng.randint(1, 3)))
    )


def random_principal(rng: random.Random) -> Any:
    user = rng.choice(USERS)
    account = account_id(user.user_id)
    entries = [
        "*",
        {"AWS": "*"},
        {"AWS": account},
        {"AWS": [f"arn:aws:iam::{account}:root", f"arn:aws:iam:::user/{rng.choice(USERS).name}"]},
        {"AWS": f"arn:aws:iam::{account}:user/{rng.choice(USERS).name}"},
        {"CanonicalUser": user.user_id},
        {"CanonicalUser": [user.user_id], "AWS": account_id(rng.choice(USERS).user_id)},
        {"Service": "logging.s3.amazonaws.com"},
    ]
    return rng.choice(entries)


def random_conditions(rng: random.Random) -> dict[str, dict[str, Any]]:
    conditions: dict[str, dict[str, Any]] = {}
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        operators, keys, values, _ = rng.choice(KINDS)
        if rng.random() < 0.1:
            conditions["Null"] = {rng.choice(keys): some(rng, ["true", "false"])}
            continue
        name = rng.choice(PREFIXES) + rng.choice(operators) + rng.choice(["", "", "IfExists"])
        conditions[name] = {
            key: some(rng, values) for key in rng.sample(keys, rng.randint(1, min(2, len(keys))))
        }
        if len({key.lower() for key in conditions[name]}) < len(conditions[name]):
            conditions[name].popitem()
    return conditions


def random_statement(rng: random.Random) -> dict[str, Any]:
    effect = rng.choice(["Allow", "Allow", "Deny"])
    statement: dict[str, Any] = {"Effect": effect}
    not_one = ["NotPrincipal"] * 2 if effect == "Deny" else []
    statement[rng.choice(["Principal"] * 5 + not_one)] = random_principal(rng)
    is_plain = rng.random() < 0.8
    actions, resources = some(rng, ACTION_PATTERNS), some(rng, RESOURCE_PATTERNS)
    statement["Action" if is_plain else "NotAction"] = actions
    if is_plain:  # else the engine may refuse actions that no resource of the statement can have
        resources = ["*", *([resources] if isinstance(resources, str) else resources)][rng.randint(0, 1) :]
        resources = resources or ["*"]
    statement[rng.choice(["Resource"] * 4 + ["NotResource"])] = resources
    if conditions := random_conditions(rng):
        statement["Condition"] = conditions
    return statement


def random_context(rng: random.Random, caller: Identity) -> dict[str, tuple[str, ...]]:
    context: dict[str, tuple[str, ...]] = {}
    if not caller.is_anonymous:
        context["aws:username"] = (caller.name,)
    for _, keys, _, values in KINDS:
        for key in keys:
            if rng.random() < 0.5 and brute_force.find(key, context) is None:
                count = 1 if not key.endswith("Keys") else rng.randint(0, 3)
                context[key] = tuple(rng.choice(values) for _ in range(count))
    return context


def lookup_of(context: dict[str, tuple[str, ...]]) -> Lookup:
    known = {condition_key(key): values for key, values in context.items()}
    return known.get


def test_the_engine_and_the_brute_force_evaluator_agree(seeded: random.Random) -> None:
    counted: Counter[str] = Counter()
    cases = refused = 0
    while cases < CASES:
        document = {"Version": seeded.choice(["2012-10-17", "2012-10-17", "2008-10-17"])}
        document["Statement"] = [random_statement(seeded) for _ in range(seeded.randint(1, 4))]  # type: ignore[assignment]
        try:
            policy = parse_policy(json.dumps(document).encode(), BUCKET)
        except Exception as exc:
            assert "Action does not apply" in str(exc), (str(exc), document)
            refused += 1
            continue
        for _ in range(REQUESTS_PER_POLICY):
            cases += 1
            caller, action = seeded.choice(CALLERS), seeded.choice(ACTIONS)
            resource, context = seeded.choice(RESOURCES), random_context(seeded, caller)
            user = None
            if not caller.is_anonymous:
                user = {"account": account_id(caller.user_id), "name": caller.name, "id": caller.user_id}
            expected = brute_force.decide(document, user, action, resource, context)
            got = policy.judge(Request(caller, action, resource, lookup_of(context))).value
            assert got == expected, (document, caller, action, resource, context)
            counted[got] += 1
    assert min(counted.values()) > CASES / 20, counted  # each answer is really tried
    assert refused < cases / REQUESTS_PER_POLICY
