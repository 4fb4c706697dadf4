"""Transfer acceleration of a bucket."""

from typing import Literal

from objstore.model import Bucket
from objstore.s3.errors import InvalidRequest, MalformedXML
from objstore.s3.xml import document


@document
class AccelerateConfiguration:
    """Absent status: never configured."""

    status: Literal["Enabled", "Suspended"] | None = None


def check(wanted: AccelerateConfiguration, bucket: Bucket) -> None:
    """Raise MalformedXML, InvalidRequest unless `bucket` may have this configuration."""
    if wanted.status is None:
        raise MalformedXML
    if "." in bucket.name:
        raise InvalidRequest(
            "S3 Transfer Acceleration is not supported for buckets with periods (.) in their names"
        )
