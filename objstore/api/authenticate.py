"""Who sends a request: its claim, and the proof of it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from objstore import clock
from objstore.model import ANONYMOUS, Identity
from objstore.s3 import sigv2, sigv4
from objstore.s3.errors import AccessDenied, InvalidAccessKeyId, InvalidToken, SignatureDoesNotMatch
from objstore.s3.sigv4 import Claim, SignedRequest


class Credentials(Protocol):
    """The part of `iam.credentials.Credentials` used here."""

    def find(self, access_key: str) -> tuple[Identity, str] | None:
        """Identity and secret of an access key that may be used; None for every other one."""
        ...


@dataclass(frozen=True, slots=True)
class Proof:
    """Who sends a request. `claim` and `key` (what it was proved under) are None when nobody signed, and
    when the signature is of version 2, which says nothing about the payload."""

    identity: Identity
    claim: Claim | None = None
    key: bytes | None = None


NOBODY = Proof(ANONYMOUS)


def authenticate(
    request: SignedRequest,
    credentials: Credentials,
    regions: Sequence[str],
    *,
    bucket: str = "",
    is_path_style: bool = True,
) -> Proof:
    """The proved sender of a request; NOBODY when it claims none. `bucket` is what its address names.

    Raises the S3 error that fits a claim that is malformed, expired, unknown or not proved. An unknown
    access key costs as much time as a wrong signature.
    """
    if "AWSAccessKeyId=" in request.raw_query:
        older = sigv2.parse(request, bucket, is_path_style=is_path_style)
        if older is not None:
            sigv2.check(older, clock.now_s())
            if any(name.lower().startswith("x-objstore-") for name, _ in request.headers):
                raise AccessDenied  # these it does not sign
            return Proof(_prove_v2(older.access_key, credentials, lambda secret: sigv2.verify(older, secret)))
    claim = sigv4.parse_claim(request)
    if claim is None:
        return NOBODY
    sigv4.check_claim(claim, request, clock.now_s(), regions)
    identity, key = _prove(claim, credentials, lambda key: sigv4.verify(claim, request, key))
    return Proof(identity, claim, key)


def authenticate_form(
    fields: Mapping[str, str], credentials: Credentials, regions: Sequence[str]
) -> Identity:
    """The proved signer of a browser form's policy (lower-case field names); ANONYMOUS without a policy.

    Raises the S3 error that fits a claim that is malformed, unknown or not proved.
    """
    if sigv2.is_form(fields):
        access_key = fields["awsaccesskeyid"]
        return _prove_v2(access_key, credentials, lambda secret: sigv2.verify_form(fields, secret))
    claim = sigv4.parse_post_claim(fields)
    if claim is None:
        return ANONYMOUS
    sigv4.check_post_claim(claim, regions)
    policy = fields["policy"]
    identity, _ = _prove(claim, credentials, lambda key: sigv4.verify_post_policy(claim, policy, key))
    return identity


def _prove_v2(access_key: str, credentials: Credentials, verify: Callable[[str], None]) -> Identity:
    """Who has the access key of a version 2 signature that `verify` accepts."""
    found = credentials.find(access_key)
    if found is None:
        with suppress(SignatureDoesNotMatch):
            verify("")
        raise InvalidAccessKeyId(AWSAccessKeyId=access_key.encode("utf-8", "replace").decode())
    identity, secret = found
    verify(secret)
    return identity


def _prove(claim: Claim, credentials: Credentials, verify: Callable[[bytes], None]) -> tuple[Identity, bytes]:
    """Who has the claim's access key, and the signing key that proved it."""
    if claim.session_token is not None:
        raise InvalidToken  # temporary credentials are not issued here, so nobody has a token
    found = credentials.find(claim.access_key)
    if found is None:
        with suppress(SignatureDoesNotMatch):
            verify(sigv4.DUMMY_KEY)
        raise InvalidAccessKeyId(AWSAccessKeyId=claim.access_key.encode("utf-8", "replace").decode())
    identity, secret = found
    scope = claim.scope
    key = sigv4.signing_key(secret, scope.date, scope.region, scope.service)
    verify(key)
    return identity, key
