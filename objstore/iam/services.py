"""What services that act by themselves may do: put access logs and inventories into a bucket.

As with S3, the bucket they go to must allow it, even where it belongs to the same owner: whoever may
configure one bucket could otherwise have something written to another that he may not write to.
"""

from typing import Final

from objstore.iam.acl import LOG_DELIVERY
from objstore.iam.authorise import Authoriser
from objstore.iam.circumstances import Asked, Circumstances
from objstore.iam.policy import Decision
from objstore.model import ANONYMOUS, Bucket

LOGGING_SERVICE: Final = "logging.s3.amazonaws.com"
STORAGE_SERVICE: Final = "s3.amazonaws.com"
"""Who writes inventories."""
OWNER_FULL_CONTROL: Final = {"x-amz-acl": "bucket-owner-full-control"}
"""What inventories are put with; policies may ask for it."""


def may_deliver_logs(authoriser: Authoriser, source: Bucket, target: Bucket, key: str) -> bool:
    """Whether lines about `source` may be put into `target` under `key`: by its policy, or by its ACL's
    grants to the log delivery group. Raises Unavailable."""
    asked = Asked(ANONYMOUS, "s3:PutObject", target, key)
    decision = authoriser.decide_for_service(LOGGING_SERVICE, source, asked)
    if decision is not Decision.NEUTRAL:
        return decision is Decision.ALLOW
    access = authoriser.access_of(target)
    granted = {
        grant.permission
        for grant in access.acl.grants
        if grant.kind == "group" and grant.grantee == LOG_DELIVERY
    }
    return access.has_acls and ("FULL_CONTROL" in granted or granted >= {"WRITE", "READ_ACP"})


def may_deliver_inventory(authoriser: Authoriser, source: Bucket, destination: Bucket, key: str) -> bool:
    """Whether an inventory of `source` may be put into `destination` under `key`. Raises Unavailable."""
    about = Circumstances(headers=OWNER_FULL_CONTROL)
    asked = Asked(ANONYMOUS, "s3:PutObject", destination, key, about=about)
    return authoriser.decide_for_service(STORAGE_SERVICE, source, asked) is Decision.ALLOW
