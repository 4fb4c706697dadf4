"""A bucket's versioning state."""

from typing import Literal

from objstore.s3.xml import document, element

Status = Literal["Enabled", "Suspended"]
Setting = Literal["Enabled", "Disabled"]


@document
class VersioningConfiguration:
    """Both absent: never versioned."""

    status: Status | None = None
    mfa_delete: Setting | None = element("MfaDelete", default=None)
