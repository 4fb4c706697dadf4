"""Transfer acceleration of a bucket."""

from typing import Literal

from objstore.s3.xml import document


@document
class AccelerateConfiguration:
    """Absent status: never configured."""

    status: Literal["Enabled", "Suspended"] | None = None
