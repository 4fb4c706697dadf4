"""The policy of upload forms: what it must look like, and what keeps to it."""

import base64
import json

import pytest

from objstore.s3.errors import AccessDenied, EntityTooLarge, EntityTooSmall, InvalidPolicyDocument
from objstore.s3.post_policy import parse_post_policy

EXPIRATION = "2013-08-07T12:00:00.000Z"
EXPIRES_MS = 1_375_876_800_000
NOW_MS = EXPIRES_MS - 1000
FORM = {"key": "user/eric/photo.jpg", "bucket": "photos"}
ALLOWED = [{"bucket": "photos"}, ["starts-with", "$key", "user/eric/"]]


def encoded(document):
    text = document if isinstance(document, (str, bytes)) else json.dumps(document)
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def policy(*conditions, expiration=EXPIRATION):
    return parse_post_policy(encoded({"expiration": expiration, "conditions": list(conditions)}))


@pytest.mark.parametrize(
    ("conditions", "fields"),
    [
        (ALLOWED, FORM),
        ([["eq", "$bucket", "photos"], ["eq", "$key", "user/eric/photo.jpg"]], FORM),
        ([{"Bucket": "photos"}, {"KEY": "user/eric/photo.jpg"}], FORM),
        ([["STARTS-WITH", "$Key", ""], {"bucket": "photos"}], FORM),
        ([*ALLOWED, ["starts-with", "$x-amz-meta-tag", ""]], FORM),
        ([*ALLOWED, ["starts-with", "$x-amz-meta-tag", ""]], {**FORM, "x-amz-meta-tag": "any"}),
        (
            [*ALLOWED, ["starts-with", "$Content-Type", "image/"]],
            {**FORM, "content-type": "image/png, image/gif"},
        ),
        ([*ALLOWED, {"redirect": "http://a/"}], {**FORM, "redirect": "http://a/"}),
        (ALLOWED, {**FORM, "policy": "p", "x-amz-signature": "s", "x-ignore-this": "i"}),
    ],
)
def test_forms_that_keep_to_their_policy(conditions, fields):
    policy(*conditions).check(fields, NOW_MS)


@pytest.mark.parametrize(
    ("conditions", "fields", "why"),
    [
        (ALLOWED, {**FORM, "key": "user/else/photo.jpg"}, "Policy Condition failed"),
        (ALLOWED, {**FORM, "bucket": "other"}, "Policy Condition failed"),
        (ALLOWED[1:], FORM, "Extra input fields: bucket"),
        (ALLOWED[:1], FORM, "Extra input fields: key"),
        (ALLOWED, {**FORM, "x-amz-meta-a": "1"}, "Extra input fields: x-amz-meta-a"),
        (ALLOWED, {**FORM, "acl": "public-read"}, "Extra input fields: acl"),
        (ALLOWED, {**FORM, "x-amz-server-side-encryption": "a", "tagging": "b"}, "Extra input fields"),
        ([*ALLOWED, {"acl": "private"}], FORM, "Policy Condition failed"),
        ([*ALLOWED, {"acl": "private"}], {**FORM, "acl": "Private"}, "Policy Condition failed"),
        ([*ALLOWED, ["starts-with", "$Content-Type", "image/"]], FORM, "Policy Condition failed"),
        (
            [*ALLOWED, ["starts-with", "$Content-Type", "image/"]],
            {**FORM, "content-type": "image/png,text/html"},
            "Policy Condition failed",
        ),
        ([], FORM, "Extra input fields: bucket, key"),
        ([*ALLOWED, ["eq", "key", "a"]], FORM, r'failed: \["eq", "key", "a"\]'),
        ([*ALLOWED, ["starts-with", "acl", ""]], FORM, "Policy Condition failed"),
        ([*ALLOWED, ["content-length-range", "test", 10]], FORM, r'\["content-length-range", "test", "10"\]'),
    ],
)
def test_forms_that_do_not(conditions, fields, why):
    with pytest.raises(AccessDenied, match=why):
        policy(*conditions).check(fields, NOW_MS)


def test_a_policy_ends_when_it_says():
    policy(*ALLOWED).check(FORM, EXPIRES_MS - 1)
    with pytest.raises(AccessDenied, match="Policy expired"):
        policy(*ALLOWED).check(FORM, EXPIRES_MS)


@pytest.mark.parametrize(
    ("size", "error"),
    [(9, EntityTooSmall), (10, None), (20, None), (21, EntityTooLarge), (0, EntityTooSmall)],
)
def test_a_length_range_includes_both_ends(size, error):
    allowed = policy(*ALLOWED, ["content-length-range", 10, "20"])
    if error is None:
        allowed.check_size(size)
    else:
        with pytest.raises(error):
            allowed.check_size(size)


def test_several_length_ranges_must_all_hold():
    allowed = policy(["content-length-range", 0, 20], ["content-length-range", 5, 100])
    assert (allowed.size_min, allowed.size_max) == (5, 20)


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "[]",
        '"text"',
        b"\xff\xfe",
        "[" * 100_000,
        {},
        {"conditions": []},
        {"expiration": EXPIRATION},
        {"expiration": EXPIRATION, "conditions": {}},
        {"expiration": EXPIRATION, "conditions": [], "more": 1},
        {"expiration": "tomorrow", "conditions": []},
        {"expiration": 1375876800, "conditions": []},
        {"expiration": "2013-13-07T12:00:00Z", "conditions": []},
        {"expiration": "2013-08-07T12:00:00", "conditions": []},
        {"expiration": EXPIRATION, "conditions": [{}]},
        {"expiration": EXPIRATION, "conditions": [{"bucket": "photos", "key": "a"}]},
        {"expiration": EXPIRATION, "conditions": ["key"]},
        {"expiration": EXPIRATION, "conditions": [["eq", "$key"]]},
        {"expiration": EXPIRATION, "conditions": [["ends-with", "$key", "a"]]},
        {"expiration": EXPIRATION, "conditions": [["eq", "$key", 1]]},
        {"expiration": EXPIRATION, "conditions": [[1, "$key", "a"]]},
        {"expiration": EXPIRATION, "conditions": [{"key": None}]},
        {"expiration": EXPIRATION, "conditions": [["content-length-range", -1, 10]]},
        {"expiration": EXPIRATION, "conditions": [["content-length-range", 1, "9" * 5000]]},
        {"expiration": EXPIRATION, "conditions": [["content-length-range", True, 10]]},
        {"expiration": EXPIRATION, "conditions": [["content-length-range", 1.5, 10]]},
        {"expiration": EXPIRATION, "conditions": [{"a": "b"}] * 1000},
    ],
)
def test_what_is_no_policy(document):
    with pytest.raises(InvalidPolicyDocument):
        parse_post_policy(encoded(document))


@pytest.mark.parametrize("text", ["not base64!", "e30", "ü"])
def test_what_is_no_base64(text):
    with pytest.raises(InvalidPolicyDocument):
        parse_post_policy(text)
