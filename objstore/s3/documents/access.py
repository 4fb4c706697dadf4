"""What limits access to a bucket beside its policy and ACL: public access block, ownership, attributes."""

from typing import Literal

from objstore.model import Bucket
from objstore.s3.errors import MalformedXML
from objstore.s3.xml import document, element


@document
class PublicAccessBlockConfiguration:
    """What is not said is not blocked."""

    block_public_acls: bool | None = None
    ignore_public_acls: bool | None = None
    block_public_policy: bool | None = None
    restrict_public_buckets: bool | None = None

    def told(self) -> "PublicAccessBlockConfiguration":
        """The same with every switch said, as S3 answers it."""
        return PublicAccessBlockConfiguration(
            block_public_acls=bool(self.block_public_acls),
            ignore_public_acls=bool(self.ignore_public_acls),
            block_public_policy=bool(self.block_public_policy),
            restrict_public_buckets=bool(self.restrict_public_buckets),
        )


@document("Rule")
class OwnershipControlsRule:
    object_ownership: Literal["BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced"]


@document
class OwnershipControls:
    rules: tuple[OwnershipControlsRule, ...] = element("Rule")


@document
class PolicyStatus:
    """Whether the bucket's policy lets everyone in."""

    is_public: bool


@document
class AbacStatus:
    """Whether the bucket's tags take part in access decisions."""

    status: Literal["Enabled", "Disabled"] | None = None


def check_abac(wanted: AbacStatus, bucket: Bucket) -> None:
    """Raise MalformedXML unless it says whether."""
    if wanted.status is None:
        raise MalformedXML
