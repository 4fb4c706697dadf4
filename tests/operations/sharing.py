"""Buckets that are shared, as tests of access need them."""

import json
from typing import Any

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED_USERS = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"


def statement(bucket: str, actions: str | list[str], principal: Any = "*", **more: Any) -> dict[str, Any]:
    """An Allow upon the bucket and everything in it; `more` are further elements, or other ones."""
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    return {"Effect": "Allow", "Principal": principal, "Action": actions, "Resource": resources, **more}


def policy(*statements: dict[str, Any]) -> str:
    """A policy of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def open_up(s3: Any, bucket: str) -> None:
    """Let the bucket be shared with the public: nothing is blocked any more."""
    s3.delete_public_access_block(Bucket=bucket)


def with_acls(s3: Any, bucket: str, ownership: str = "ObjectWriter") -> str:
    """The bucket with ACLs turned on and nothing blocked."""
    open_up(s3, bucket)
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": ownership}]}
    )
    return bucket


def grants_of(answer: dict[str, Any]) -> set[tuple[str, str]]:
    """(grantee, permission) of an answer to a GET of an ACL."""
    return {
        (grant["Grantee"].get("ID") or grant["Grantee"]["URI"], grant["Permission"])
        for grant in answer["Grants"]
    }
