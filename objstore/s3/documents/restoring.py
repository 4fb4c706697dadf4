"""RestoreObject: what is asked of an archived object."""

from typing import Final, Literal

from objstore.s3.documents.acl import Grant
from objstore.s3.documents.select import InputSerialization, OutputSerialization
from objstore.s3.documents.tagging import Tag
from objstore.s3.errors import InvalidArgument, MalformedXML, MethodNotAllowed
from objstore.s3.xml import document, element

RetrievalTier = Literal["Standard", "Bulk", "Expedited"]
DAYS_MAX: Final = 2**31 - 1


@document
class GlacierJobParameters:
    tier: RetrievalTier


@document
class SelectParameters:
    """A query over the archived object, of which S3 makes no more."""

    input_serialization: InputSerialization
    expression_type: str
    expression: str
    output_serialization: OutputSerialization


@document
class Encryption:
    encryption_type: str
    kms_key_id: str | None = element("KMSKeyId", default=None)
    kms_context: str | None = element("KMSContext", default=None)


@document
class Tagging:
    tags: tuple[Tag, ...] = element("Tag", wrap="TagSet")


@document
class MetadataEntry:
    name: str | None = None
    value: str | None = None


@document
class S3Location:
    bucket_name: str
    prefix: str
    encryption: Encryption | None = None
    canned_acl: str | None = element("CannedACL", default=None)
    access_control_list: tuple[Grant, ...] | None = element("Grant", wrap="AccessControlList", default=None)
    tagging: Tagging | None = None
    user_metadata: tuple[MetadataEntry, ...] | None = element(
        "MetadataEntry", wrap="UserMetadata", default=None
    )
    storage_class: str | None = None


@document
class OutputLocation:
    s3: S3Location | None = element("S3", default=None)


@document
class RestoreRequest:
    """`days` that the restored copy is to stay; how fast it is fetched is up to the tier."""

    days: int | None = None
    glacier_job_parameters: GlacierJobParameters | None = None
    type: Literal["SELECT"] | None = None
    tier: RetrievalTier | None = None
    description: str | None = None
    select_parameters: SelectParameters | None = None
    output_location: OutputLocation | None = None

    @property
    def retrieval(self) -> RetrievalTier:
        """How fast it is wanted."""
        if self.glacier_job_parameters is not None:
            return self.glacier_job_parameters.tier
        return self.tier or "Standard"


def checked(wanted: RestoreRequest) -> RestoreRequest:
    """`wanted`, if it asks for what S3 does: the days that a copy is to stay.

    Raises MalformedXML, InvalidArgument, and MethodNotAllowed where a query is to be made (S3 Select).
    """
    if wanted.type is not None:
        raise MethodNotAllowed
    if wanted.days is None or wanted.select_parameters is not None or wanted.output_location is not None:
        raise MalformedXML
    if not 1 <= wanted.days <= DAYS_MAX:
        raise InvalidArgument(
            "Restoration days should be at least 1", ArgumentName="Days", ArgumentValue=wanted.days
        )
    return wanted
