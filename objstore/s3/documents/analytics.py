"""Storage class analysis of a bucket."""

from typing import Literal

from objstore.model import Bucket
from objstore.s3.documents.filtering import Filter, check_bucket_arn, check_filter, check_id
from objstore.s3.xml import document, element


@document
class S3BucketDestination:
    format: Literal["CSV"]
    bucket_account_id: str | None = None
    bucket: str
    prefix: str | None = None


@document
class Destination:
    s3_bucket_destination: S3BucketDestination


@document
class DataExport:
    output_schema_version: Literal["V_1"]
    destination: Destination


@document
class StorageClassAnalysis:
    data_export: DataExport | None = None


@document
class AnalyticsConfiguration:
    id: str
    filter: Filter | None = None
    storage_class_analysis: StorageClassAnalysis


@document("ListBucketAnalyticsConfigurationResult")
class ListAnalyticsConfigurationsResult:
    configurations: tuple[AnalyticsConfiguration, ...] = element("AnalyticsConfiguration", default=())
    is_truncated: bool = False
    continuation_token: str | None = None
    next_continuation_token: str | None = None


def check(wanted: AnalyticsConfiguration, bucket: Bucket) -> None:
    """Raise the S3 error of a configuration that cannot be."""
    check_id(wanted.id)
    check_filter(wanted.filter)
    export = wanted.storage_class_analysis.data_export
    if export is not None:
        check_bucket_arn(export.destination.s3_bucket_destination.bucket)
