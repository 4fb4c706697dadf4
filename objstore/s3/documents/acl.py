"""Access control lists of buckets and objects."""

from typing import Literal

from objstore.s3.documents.owner import Owner
from objstore.s3.xml import document, element

Permission = Literal["FULL_CONTROL", "WRITE", "WRITE_ACP", "READ", "READ_ACP"]


@document
class Grantee:
    """Whom a grant is for: `id` of a CanonicalUser, `uri` of a Group, or an e-mail address."""

    type: Literal["CanonicalUser", "AmazonCustomerByEmail", "Group"] = element("xsi:type", attribute=True)
    id: str | None = element("ID", default=None)
    display_name: str | None = None
    email_address: str | None = None
    uri: str | None = element("URI", default=None)


@document
class Grant:
    grantee: Grantee
    permission: Permission


@document
class AccessControlPolicy:
    owner: Owner | None = None
    grants: tuple[Grant, ...] | None = element("Grant", wrap="AccessControlList", default=None)
