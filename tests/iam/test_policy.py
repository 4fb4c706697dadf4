"""Policies: what is refused when one is put, what it decides, and when it is public."""

import json
from typing import Any, Final

import pytest

from objstore.iam import vocabulary
from objstore.iam.patterns import Text, matches
from objstore.iam.policy import Decision, Policy, Request, parse_policy
from objstore.iam.principals import account_id, is_account, parse_principal
from objstore.model import ANONYMOUS, Identity
from objstore.s3.errors import MalformedPolicy

BUCKET = "photos"
ANN = Identity("a" * 64, "ann", "Ann", access_key="AKANN")
ROOT = Identity("f" * 64, "root", "root", access_key="AKROOT", is_root=True)
EVERYTHING = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]


def nothing(key: str) -> None:
    """Looks nothing up."""


LIST: Final[dict[str, Any]] = {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"}
PREFIX: Final = {"StringEquals": {"s3:prefix": "a"}}


def statement(**change: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": EVERYTHING,
        **change,
    }
    return {name: value for name, value in made.items() if value is not None}


def document(*statements: Any, **change: Any) -> bytes:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **change}).encode()


def parsed(*statements: Any, **change: Any) -> Policy:
    return parse_policy(document(*statements, **change), BUCKET)


def judged(
    policy: Policy,
    identity: Identity = ANN,
    action: str = "s3:GetObject",
    key: str | None = "key",
    **context: tuple[str, ...],
) -> Decision:
    resource = f"arn:aws:s3:::{BUCKET}" + ("" if key is None else f"/{key}")
    known = {name.replace("__", ":"): values for name, values in context.items()}
    return policy.judge(Request(identity, action, resource, known.get))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Effect": None}, "Missing required field Effect"),
        ({"Principal": None}, "Missing required field Principal"),
        ({"Action": None}, "Missing required field Action"),
        ({"Resource": None}, "Missing required field Resource"),
        ({"Effect": "allow"}, "Invalid effect: allow"),
        ({"Effect": 1}, "Invalid effect"),
        ({"Principal": {}}, "Invalid principal in policy"),
        ({"Principal": []}, "Invalid principal in policy"),
        ({"Principal": "ann"}, "Invalid principal in policy"),
        ({"Principal": {"AWS": []}}, "Invalid principal in policy"),
        ({"Principal": {"AWS": "12345"}}, "Invalid principal in policy"),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:user/*"}}, "Invalid principal in policy"),
        ({"Principal": {"AWS": "arn:aws:iam:::root"}}, "Invalid principal in policy"),
        ({"Principal": {"CanonicalUser": "*"}}, "Invalid principal in policy"),
        ({"Principal": {"Service": "*"}}, "Invalid principal in policy"),
        ({"Principal": {"Everybody": "*"}}, "Invalid principal in policy"),
        ({"NotPrincipal": "*"}, "not both"),
        ({"Principal": None, "NotPrincipal": "*"}, "NotPrincipal must be used with Effect Deny"),
        ({"Action": "GetObject"}, "Policy has invalid action"),
        ({"Action": "s3:Frobnicate*"}, "Policy has invalid action"),
        ({"Action": ["s3:GetObject", "s3:GetObjet"]}, "Policy has invalid action"),
        ({"Action": []}, "Policy has invalid action"),
        ({"Action": [1]}, "Policy has invalid action"),
        ({"Resource": "arn:aws:s3:::photo"}, "Policy has invalid resource"),
        ({"Resource": "arn:aws:s3:::photos-2/*"}, "Policy has invalid resource"),
        ({"Resource": "photos/*"}, "Policy has invalid resource"),
        ({"Resource": "arn:aws:sns:::photos"}, "Policy has invalid resource"),
        ({"Resource": f"arn:aws:s3:::{BUCKET}/${{aws:nothing}}"}, "Policy has invalid resource"),
        ({"Resource": f"arn:aws:s3:::{BUCKET}/${{aws:username"}, "Policy has invalid resource"),
        ({"Resource": f"arn:aws:s3:::{BUCKET}"}, "Action does not apply to any resource(s) in statement"),
        (
            {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}/*"},
            "Action does not apply to any resource(s) in statement",
        ),
        ({"Condition": []}, "Condition is not an object"),
        ({"Condition": {"StringEquals": "a"}}, "condition is not an object"),
        ({"Condition": {"StringEquals": {}}}, "condition is empty"),
        ({"Condition": {"StringEquals": {"s3:prefix": []}}}, "has no values"),
        ({"Condition": {"StringEquals": {"s3:prefix": None}}}, "has no values"),
        ({"Condition": {"StringEquals": {"s3:prefixx": "a"}}}, "Policy has an invalid condition key"),
        (
            {"Condition": {"StringEquals": {"s3:ExistingObjectTag/": "a"}}},
            "Policy has an invalid condition key",
        ),
        ({"Condition": {"StringIs": {"s3:prefix": "a"}}}, "Invalid Condition type : StringIs"),
        ({"Condition": {"NullIfExists": {"s3:prefix": "true"}}}, "Invalid Condition type : NullIfExists"),
        ({"Condition": {"ForSomeValues:StringEquals": {"s3:prefix": "a"}}}, "Invalid Condition type"),
        ({"Condition": {"Null": {"s3:prefix": "perhaps"}}}, "Invalid value"),
        ({"Condition": PREFIX}, "Conditions do not apply"),
        ({"Condition": PREFIX, **LIST, "Action": ["s3:ListBucket", "s3:GetBucketAcl"]}, "Conditions do not"),
        ({"Condition": PREFIX, **LIST, "Action": "s3:ListBucketMultipartUploads"}, "Conditions do not apply"),
        ({"Condition": {"Bool": {"s3:VersionId": "true"}}}, "Conditions do not apply"),
        ({"Condition": {"StringEquals": {"s3:x-amz-acl": "private"}}}, "Conditions do not apply"),
        ({"Condition": {"Bool": {"aws:SecureTransport": "yes"}}}, "Invalid value"),
        ({"Condition": {"NumericLessThan": {"s3:max-keys": "NaN"}}}, "Invalid value"),
        ({"Condition": {"DateEquals": {"aws:CurrentTime": "tomorrow"}}}, "Invalid value"),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}}, "Invalid value"),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3"}}}, "Invalid value"),
        ({"Sid": 7}, "Invalid Sid"),
        ({"Comment": "hello"}, "Unknown field Comment"),
    ],
)
def test_a_statement_that_is_not_understood_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedPolicy) as refused:
        parsed(statement(**change))
    assert message in refused.value.message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "first byte must be '{'"),
        (b" {}", "first byte must be '{'"),
        (b"[]", "first byte must be '{'"),
        (b"{", "must be valid JSON"),
        (b'{"a": NaN}', "must be valid JSON"),
        (b'{"a": "\xff"}', "must be valid JSON"),
        (b'{"Id": "\\ud800", "Statement": []}', "must be valid JSON"),
        (b'{"Version": "2012-10-17", "Version": "2012-10-17"}', "must be valid JSON"),
        (b'{"a":' * 100_000, "must be valid JSON"),
        (b"{}", "Missing required field Statement"),
        (b'{"Statement": []}', "Statement is empty"),
        (b'{"Statement": ["a"]}', "a statement is not an object"),
        (document(statement(), Version="2026-01-01"), "valid version string"),
        (document(statement(), Version=None), "valid version string"),
        (document(statement(), Id=1), "Invalid Id"),
        (document(statement(), More=1), "Unknown field More"),
        (document(statement(Sid="a"), statement(Sid="a")), "must be unique"),
        (document(statement(Sid="a" * 20_480)), "maximum allowed document size"),
    ],
)
def test_what_is_no_policy_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(MalformedPolicy) as refused:
        parse_policy(data, BUCKET)
    assert message in refused.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"Principal": {"AWS": "*"}},
        {"Principal": {"AWS": ["123456789012", "arn:aws:iam::123456789012:user/division/ann"]}},
        {"Principal": {"AWS": "arn:aws:sts::123456789012:assumed-role/role/session"}},
        {"Principal": {"AWS": "arn:aws:iam::123456789012:role/reader"}},
        {"Principal": {"Service": ["logging.s3.amazonaws.com", "cloudfront.amazonaws.com"]}},
        {"Principal": {"Federated": "accounts.google.com"}},
        {"Resource": f"arn:aws:s3:::{BUCKET}*"},
        {"Resource": f"arn:aws:s3::*:{BUCKET}/*"},
        {"Resource": "*"},
        {"Action": "*"},
        {"Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/*"},
        {
            "Condition": {"NumericLessThan": {"s3:max-keys": 10}, "Bool": {"aws:SecureTransport": True}},
            **LIST,
        },
        {"Condition": {"stringequalsifexists": {"S3:PREFIX": ["a", "b"]}}, **LIST},
        {"Condition": PREFIX, "Action": "s3:*", "Resource": "*"},
        {"Condition": PREFIX, "Action": None, "NotAction": "s3:GetObject"},
        {"Condition": {"StringEquals": {"s3:VersionId": "a"}}, "Action": "s3:GetObject*"},
        {"Condition": {"IpAddress": {"aws:SourceIp": "${aws:username, '10.0.0.0/8'}"}}},
    ],
)
def test_what_may_be_written_is_accepted(change: dict[str, Any]) -> None:
    parsed(statement(**change))


def test_a_single_statement_needs_no_list() -> None:
    assert len(parse_policy(json.dumps({"Statement": statement()}).encode(), BUCKET).statements) == 1


def test_an_explicit_deny_wins_wherever_it_stands() -> None:
    for statements in ([statement(), statement(Effect="Deny")], [statement(Effect="Deny"), statement()]):
        assert judged(parsed(*statements)) is Decision.DENY
    assert judged(parsed(statement())) is Decision.ALLOW
    assert judged(parsed(statement()), action="s3:PutObject") is Decision.NEUTRAL


def test_not_principal_denies_everybody_but_those_named() -> None:
    account = account_id(ANN.user_id)
    policy = parsed(statement(Effect="Deny", Principal=None, NotPrincipal={"AWS": account}))
    assert judged(policy) is Decision.NEUTRAL
    for other in (ROOT, ANONYMOUS):
        assert judged(policy, other) is Decision.DENY


def test_a_name_in_another_account_is_another_user() -> None:
    named = statement(Principal={"AWS": "arn:aws:iam::123456789012:user/ann"})
    assert judged(parsed(named)) is Decision.NEUTRAL
    named = statement(Principal={"AWS": f"arn:aws:iam::{account_id(ANN.user_id)}:user/ann"})
    assert judged(parsed(named)) is Decision.ALLOW


def test_a_service_is_let_in_as_itself_and_as_nobody_else() -> None:
    policy = parsed(statement(Action="s3:PutObject", Principal={"Service": "logging.s3.amazonaws.com"}))
    resource = f"arn:aws:s3:::{BUCKET}/log"
    for service, expected in (
        ("logging.s3.amazonaws.com", Decision.ALLOW),
        ("other.amazonaws.com", Decision.NEUTRAL),
        ("", Decision.NEUTRAL),
    ):
        request = Request(ANN, "s3:PutObject", resource, nothing, service)
        assert policy.judge(request) is expected


def test_what_a_variable_stands_for_is_taken_literally() -> None:
    policy = parsed(statement(Resource=f"arn:aws:s3:::{BUCKET}/${{aws:username}}/*"))
    assert judged(policy, key="ann/x", aws__username=("ann",)) is Decision.ALLOW
    assert judged(policy, key="bob/x", aws__username=("ann",)) is Decision.NEUTRAL
    assert judged(policy, key="bob/x", aws__username=("*",)) is Decision.NEUTRAL
    assert judged(policy, key="*/x", aws__username=("*",)) is Decision.ALLOW
    assert judged(policy, key="/x") is Decision.NEUTRAL
    old = parsed(statement(Resource=f"arn:aws:s3:::{BUCKET}/${{aws:username}}/*"), Version="2008-10-17")
    assert judged(old, key="ann/x", aws__username=("ann",)) is Decision.NEUTRAL
    assert judged(old, key="${aws:username}/x") is Decision.ALLOW


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("*", "", True),
        ("a*", "a", True),
        ("a*c", "abcbc", True),
        ("a*b*c", "aXbYc", True),
        ("a*b*c", "acb", False),
        ("?", "", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("**a**", "xax", True),
        ("a.c", "abc", False),
        ("*\n*", "a\nb", True),
        ("*ab", "aab", True),
        ("*a?b*", "xaab", True),
    ],
)
def test_wildcards(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text) is fits


def test_a_pattern_of_many_stars_takes_no_more_than_a_moment() -> None:
    assert not matches("*a" * 200 + "b", "a" * 1024)


def test_no_wildcard_of_an_arn_reaches_over_a_colon() -> None:
    pattern = Text.parse("arn:aws:iam::*:user/ann", with_variables=True)
    assert pattern.matches_arn("arn:aws:iam::1:user/ann", nothing)
    assert not pattern.matches_arn("arn:aws:iam::1:role/x:user/ann", nothing)
    assert not pattern.matches_arn("user/ann", nothing)


@pytest.mark.parametrize(
    ("change", "is_public"),
    [
        ({}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Effect": "Deny"}, False),
        ({"Principal": {"AWS": "123456789012"}}, False),
        ({"Principal": {"CanonicalUser": "a" * 64}}, False),
        ({"Effect": "Deny", "Principal": None, "NotPrincipal": {"AWS": "123456789012"}}, False),
        ({"Condition": {"StringEquals": {"aws:PrincipalAccount": "123456789012"}}}, False),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": ["vpc-1", "vpc-2"]}}}, False),
        ({"Condition": {"StringLike": {"aws:SourceVpc": "vpc-*"}}}, True),
        ({"Condition": {"StringLike": {"aws:SourceVpc": "vpc-1"}}}, False),
        ({"Condition": {"StringEquals": {"aws:SourceVpc": "${aws:username}"}}}, True),
        ({"Condition": {"StringEqualsIfExists": {"aws:SourceVpc": "vpc-1"}}}, True),
        ({"Condition": {"ForAllValues:StringEquals": {"aws:SourceVpc": "vpc-1"}}}, True),
        ({"Condition": {"StringNotEquals": {"aws:SourceVpc": "vpc-1"}}}, True),
        ({"Condition": {"Null": {"aws:SourceVpc": "false"}}}, True),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::source"}}}, False),
        ({"Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}}}, True),
        ({"Condition": {"StringEquals": {"aws:Referer": "http://example.org"}}}, True),
        ({"Condition": PREFIX, **LIST}, True),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}, False),
        ({"Condition": {"IpAddress": {"aws:SourceIp": ["203.0.113.0/24", "0.0.0.0/1"]}}}, True),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "2001:db8::/31"}}}, True),
        ({"Condition": {"NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"}}}, True),
    ],
)
def test_a_policy_is_public_unless_only_known_callers_are_let_in(
    change: dict[str, Any], is_public: bool
) -> None:
    assert parsed(statement(**change)).is_public is is_public


def test_one_public_statement_makes_a_policy_public() -> None:
    assert parsed(statement(Principal={"AWS": "123456789012"}), statement()).is_public


def test_every_action_of_the_table_is_one_that_policies_may_name() -> None:
    from objstore.api.operations import OPERATIONS

    used = {action for row in OPERATIONS for action in (row.action, row.version_action) if action}
    used = {action.lower() for action in used if action.startswith("s3:")}
    assert used <= vocabulary.ACTIONS


def test_accounts_have_twelve_digits() -> None:
    assert account_id("123456789012") == "123456789012"
    derived = account_id(ANN.user_id)
    assert len(derived) == 12
    assert derived.isdigit()
    assert is_account(derived, ANN.user_id)
    assert is_account(ANN.user_id, ANN.user_id)
    assert not is_account("123456789012", ANN.user_id)


@pytest.mark.parametrize("text", ["arn:aws:iam::123456789012:user/ann", "arn:aws-cn:iam::123456789012:root"])
def test_arns_of_every_partition_are_read(text: str) -> None:
    assert parse_principal("AWS", text).account == "123456789012"
