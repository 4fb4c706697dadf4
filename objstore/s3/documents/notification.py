"""Who is told of what happens in a bucket."""

from typing import Literal

from objstore.s3.xml import document, element


@document
class FilterRule:
    name: Literal["prefix", "suffix", "Prefix", "Suffix"] | None = None
    value: str | None = None


@document
class Filter:
    rules: tuple[FilterRule, ...] | None = element("FilterRule", wrap="S3Key", default=None)


@document
class TopicConfiguration:
    id: str | None = None
    topic: str
    events: tuple[str, ...] = element("Event")
    filter: Filter | None = None


@document
class QueueConfiguration:
    id: str | None = None
    queue: str
    events: tuple[str, ...] = element("Event")
    filter: Filter | None = None


@document("CloudFunctionConfiguration")
class LambdaFunctionConfiguration:
    id: str | None = None
    cloud_function: str
    events: tuple[str, ...] = element("Event")
    filter: Filter | None = None


@document
class EventBridgeConfiguration:
    """Present: all events go to the bus."""


@document
class NotificationConfiguration:
    """Empty: nobody is told."""

    topic_configurations: tuple[TopicConfiguration, ...] = element("TopicConfiguration", default=())
    queue_configurations: tuple[QueueConfiguration, ...] = element("QueueConfiguration", default=())
    lambda_function_configurations: tuple[LambdaFunctionConfiguration, ...] = element(
        "CloudFunctionConfiguration", default=()
    )
    event_bridge_configuration: EventBridgeConfiguration | None = None
