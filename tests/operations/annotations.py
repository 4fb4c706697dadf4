"""How tests put, read and list annotations."""

from typing import Any


def put(
    s3: Any, bucket: str, name: str, payload: bytes | str = b"text", key: str = "key", **more: Any
) -> Any:
    return s3.put_object_annotation(
        Bucket=bucket, Key=key, AnnotationName=name, AnnotationPayload=payload, **more
    )


def text(s3: Any, bucket: str, name: str, key: str = "key", **more: Any) -> bytes:
    got = s3.get_object_annotation(Bucket=bucket, Key=key, AnnotationName=name, **more)
    data: bytes = got["AnnotationPayload"].read()
    assert got["ContentLength"] == len(data)
    return data


def names(s3: Any, bucket: str, key: str = "key", **more: Any) -> list[str]:
    found = s3.list_object_annotations(Bucket=bucket, Key=key, **more)
    return [entry["AnnotationName"] for entry in found.get("Annotations", [])]


def annotated(s3: Any, bucket: str) -> str:
    """The bucket, with an object that has no annotation yet."""
    s3.put_object(Bucket=bucket, Key="key", Body=b"body")
    return bucket
