"""Multipart uploads in a line or two."""

from typing import Any

MIB = 1024 * 1024
FIVE_MIB = 5 * MIB


def begin(s3: Any, bucket: str, key: str = "k", **arguments: Any) -> str:
    """The id of a new upload."""
    upload_id: str = s3.create_multipart_upload(Bucket=bucket, Key=key, **arguments)["UploadId"]
    return upload_id


def put_parts(
    s3: Any, bucket: str, upload_id: str, *bodies: bytes, key: str = "k", **arguments: Any
) -> list[dict[str, Any]]:
    """Upload parts 1, 2, …; what Complete is to say of them."""
    done = []
    for number, body in enumerate(bodies, 1):
        put = s3.upload_part(
            Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body, **arguments
        )
        done.append({"PartNumber": number, "ETag": put["ETag"]})
    return done


def complete(
    s3: Any, bucket: str, upload_id: str, parts: list[dict[str, Any]], key: str = "k", **arguments: Any
) -> Any:
    """Complete an upload; boto3's answer."""
    return s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **arguments
    )


def upload(s3: Any, bucket: str, *bodies: bytes, key: str = "k", **arguments: Any) -> Any:
    """A whole multipart upload; what Complete answered."""
    upload_id = begin(s3, bucket, key, **arguments)
    return complete(s3, bucket, upload_id, put_parts(s3, bucket, upload_id, *bodies, key=key), key)
