"""Configurations as boto3 takes them: one that is right for each operation that puts one of many."""

from typing import Any

FAMILIES: dict[str, dict[str, Any]] = {
    "analytics": {
        "Id": "report",
        "Filter": {"And": {"Prefix": "logs/", "Tags": [{"Key": "team", "Value": "a"}]}},
        "StorageClassAnalysis": {
            "DataExport": {
                "OutputSchemaVersion": "V_1",
                "Destination": {
                    "S3BucketDestination": {"Format": "CSV", "Bucket": "arn:aws:s3:::reports", "Prefix": "p/"}
                },
            }
        },
    },
    "intelligent_tiering": {
        "Id": "report",
        "Filter": {"Prefix": "logs/"},
        "Status": "Enabled",
        "Tierings": [{"Days": 90, "AccessTier": "ARCHIVE_ACCESS"}],
    },
    "inventory": {
        "Id": "report",
        "IsEnabled": True,
        "IncludedObjectVersions": "All",
        "Schedule": {"Frequency": "Daily"},
        "OptionalFields": ["Size", "ETag"],
        "Destination": {"S3BucketDestination": {"Bucket": "arn:aws:s3:::reports", "Format": "CSV"}},
    },
    "metrics": {"Id": "report", "Filter": {"Tag": {"Key": "team", "Value": "a"}}},
}

ARGUMENTS = {
    "analytics": "AnalyticsConfiguration",
    "intelligent_tiering": "IntelligentTieringConfiguration",
    "inventory": "InventoryConfiguration",
    "metrics": "MetricsConfiguration",
}


def put(s3: Any, family: str, bucket: str, **changes: Any) -> Any:
    """Put the family's right configuration with some fields changed, under the id it says."""
    document = {**FAMILIES[family], **changes}
    document = {name: value for name, value in document.items() if value is not None}
    call = getattr(s3, f"put_bucket_{family}_configuration")
    return call(Bucket=bucket, Id=document["Id"], **{ARGUMENTS[family]: document})


def get(s3: Any, family: str, bucket: str, configuration_id: str) -> Any:
    """The configuration that the server answers with."""
    answer = getattr(s3, f"get_bucket_{family}_configuration")(Bucket=bucket, Id=configuration_id)
    return answer[ARGUMENTS[family]]
