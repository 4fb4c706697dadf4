"""botocore's model of S3: every operation, and a request for each as botocore itself writes it."""

import datetime
import io
from typing import Any
from urllib.parse import urlsplit

import botocore.model
import botocore.parsers
import botocore.serialize
import botocore.session

_loader = botocore.session.Session()
MODEL: Any = _loader.get_service_model("s3")
OPERATION_NAMES: list[str] = list(MODEL.operation_names)

_VALUES = {
    "string": "text",
    "integer": 1,
    "long": 1,
    "boolean": True,
    "timestamp": datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    "blob": b"blob",
    "map": {},
    "float": 1.0,
}


def sample(shape: Any, *, full: bool = False, name: str = "", depth: int = 0) -> Any:
    """A valid value of a shape; with `full` optional members too."""
    if shape.type_name == "structure":
        wanted = (
            shape.members if full and depth < 12 else {m: shape.members[m] for m in shape.required_members}
        )
        return {
            member: sample(inner, full=full, name=member, depth=depth + 1) for member, inner in wanted.items()
        }
    if shape.type_name == "list":
        return [sample(shape.member, full=full, name=name, depth=depth + 1)]
    if shape.type_name == "string" and shape.enum:
        return shape.enum[0]
    if shape.type_name == "blob" and getattr(shape, "serialization", {}).get("streaming"):
        return io.BytesIO(b"blob")
    if name == "Bucket":
        return "bucket-1"
    if name == "Key" and depth == 1:
        return "some/key"
    return _VALUES[shape.type_name]


def request(operation_name: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """The request botocore makes of an operation: method, path, query, headers, body."""
    operation = MODEL.operation_model(operation_name)
    serializer = botocore.serialize.create_serializer("rest-xml", False)
    if parameters is None:
        parameters = sample(operation.input_shape) if operation.input_shape is not None else {}
    made = serializer.serialize_to_request(parameters, operation)
    parts = urlsplit(made["url_path"])
    query: dict[str, str] = {}
    for piece in filter(None, parts.query.split("&")):
        key, _, value = piece.partition("=")
        query[key] = value
    for key, value in made["query_string"].items():
        query[key] = str(value)
    headers = {key.lower(): str(value) for key, value in made["headers"].items()}
    return {
        "method": made["method"],
        "path": parts.path,
        "query": query,
        "headers": headers,
        "body": made["body"],
    }


def parse(operation_name: str, status: int, body: bytes) -> dict[str, Any]:
    """What botocore reads out of a response."""
    parser = botocore.parsers.create_parser("rest-xml")
    operation = MODEL.operation_model(operation_name)
    response = {"status_code": status, "headers": {}, "body": body}
    parsed: dict[str, Any] = parser.parse(response, operation.output_shape)
    parsed.pop("ResponseMetadata", None)
    return parsed
