"""Who is told of what happens in a bucket."""

import base64
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Final, NamedTuple

from objstore.s3.errors import InvalidArgument, MalformedXML
from objstore.s3.xml import document, element

CONFIGURATIONS_MAX: Final = 100
FILTER_BYTES_MAX: Final = 1024
EVENTS: Final = frozenset(
    {
        "s3:ObjectCreated:*",
        "s3:ObjectCreated:Put",
        "s3:ObjectCreated:Post",
        "s3:ObjectCreated:Copy",
        "s3:ObjectCreated:CompleteMultipartUpload",
        "s3:ObjectRemoved:*",
        "s3:ObjectRemoved:Delete",
        "s3:ObjectRemoved:DeleteMarkerCreated",
        "s3:ObjectTagging:*",
        "s3:ObjectTagging:Put",
        "s3:ObjectTagging:Delete",
        "s3:ObjectAcl:Put",
        "s3:ObjectRetention:Put",
        "s3:ObjectRestore:*",
        "s3:ObjectRestore:Post",
        "s3:ObjectRestore:Completed",
        "s3:ObjectRestore:Delete",
        "s3:LifecycleExpiration:*",
        "s3:LifecycleExpiration:Delete",
        "s3:LifecycleExpiration:DeleteMarkerCreated",
        "s3:LifecycleTransition",
        "s3:IntelligentTiering",
        "s3:ObjectAnnotation:*",
        "s3:ObjectAnnotation:Put",
        "s3:ObjectAnnotation:Delete",
        "s3:Replication:*",
        "s3:Replication:OperationFailedReplication",
        "s3:Replication:OperationNotTracked",
        "s3:Replication:OperationMissedThreshold",
        "s3:Replication:OperationReplicatedAfterThreshold",
        "s3:ReducedRedundancyLostObject",
    }
)
_OVERLAP: Final = (
    "Configurations overlap. Configurations on the same bucket cannot share a common event type."
)
_OVERLAP_OF_FILTERS: Final = (
    "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes are "
    "overlapping for the same event type."
)
_ARN: Final = re.compile(r"arn:[a-z0-9-]+:(sqs|sns|lambda):[a-z0-9-]*:[A-Za-z0-9_-]*:[A-Za-z0-9_:.-]+")


@document
class FilterRule:
    name: str | None = None
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


class Subscription(NamedTuple):
    """One configuration of any kind: who is told of which events on which keys."""

    id: str
    arn: str
    events: tuple[str, ...]
    prefix: str
    suffix: str
    kind: str = "Queue"
    """The element its ARN stood in."""


def subscriptions(document: NotificationConfiguration) -> Iterator[Subscription]:
    """All configurations of a document, of whichever kind."""
    for topic in document.topic_configurations:
        yield _subscription(topic.id, topic.topic, topic.events, topic.filter, "Topic")
    for queue in document.queue_configurations:
        yield _subscription(queue.id, queue.queue, queue.events, queue.filter)
    for function in document.lambda_function_configurations:
        yield _subscription(
            function.id, function.cloud_function, function.events, function.filter, "CloudFunction"
        )


def _subscription(
    id_: str | None, arn: str, events: tuple[str, ...], chosen: Filter | None, kind: str = "Queue"
) -> Subscription:
    rules = (
        {} if chosen is None else {(rule.name or "").lower(): rule.value or "" for rule in chosen.rules or ()}
    )
    return Subscription(id_ or "", arn, events, rules.get("prefix", ""), rules.get("suffix", ""), kind)


def is_told(subscription: Subscription, event: str, key: str) -> bool:
    """Whether a subscription wants this event of this key."""
    if not key.startswith(subscription.prefix) or not key.endswith(subscription.suffix):
        return False
    return any(_covers(wanted, event) for wanted in subscription.events)


def _covers(wanted: str, event: str) -> bool:
    return event.startswith(wanted[:-1]) if wanted.endswith("*") else event == wanted


def checked(
    document: NotificationConfiguration, is_reachable: Callable[[str], bool]
) -> NotificationConfiguration:
    """`document` with an id for every configuration, if S3 would take it.

    `is_reachable` tells whether an ARN is one of this server's targets. An event bus is taken as it is.
    Raises InvalidArgument.
    """
    for chosen in (
        *(topic.filter for topic in document.topic_configurations),
        *(queue.filter for queue in document.queue_configurations),
        *(function.filter for function in document.lambda_function_configurations),
    ):
        _check_filter(chosen)
    document = _completed(document)
    given = list(subscriptions(document))
    if len(given) > CONFIGURATIONS_MAX:
        raise InvalidArgument(f"A bucket may have up to {CONFIGURATIONS_MAX} notification configurations.")
    if len({one.id for one in given}) < len(given):
        raise InvalidArgument("Same ID used for multiple configurations. IDs must be unique")
    for one in given:
        _check(one)
    missing = [one for one in given if not is_reachable(one.arn)]
    if missing:
        raise _unreachable(missing)
    for one, other in combinations(given, 2):
        if _overlap(one, other):
            has_filters = one.prefix or one.suffix or other.prefix or other.suffix
            raise InvalidArgument(_OVERLAP_OF_FILTERS if has_filters else _OVERLAP)
    return document


def _completed(document: NotificationConfiguration) -> NotificationConfiguration:
    return replace(
        document,
        topic_configurations=tuple(
            replace(one, id=one.id or _new_id(), filter=_spelled(one.filter))
            for one in document.topic_configurations
        ),
        queue_configurations=tuple(
            replace(one, id=one.id or _new_id(), filter=_spelled(one.filter))
            for one in document.queue_configurations
        ),
        lambda_function_configurations=tuple(
            replace(one, id=one.id or _new_id(), filter=_spelled(one.filter))
            for one in document.lambda_function_configurations
        ),
    )


def _spelled(chosen: Filter | None) -> Filter | None:
    """A checked filter with its rules called `Prefix` and `Suffix`, as S3 gives them back."""
    if chosen is None or chosen.rules is None:
        return chosen
    return replace(
        chosen, rules=tuple(replace(rule, name=(rule.name or "").capitalize()) for rule in chosen.rules)
    )


def _new_id() -> str:
    return base64.urlsafe_b64encode(os.urandom(36)).decode()


def _check_filter(chosen: Filter | None) -> None:
    rules = () if chosen is None else chosen.rules or ()
    names = [(rule.name or "").lower() for rule in rules]
    for rule, name in zip(rules, names, strict=True):
        if rule.name is None or rule.value is None:
            raise MalformedXML
        if name not in ("prefix", "suffix"):
            raise InvalidArgument(
                "filter rule name must be either prefix or suffix",
                ArgumentName="FilterRule.Name",
                ArgumentValue=ascii(rule.name or "")[1:-1],
            )
        if names.count(name) > 1:
            raise InvalidArgument(f"Cannot specify more than one {name} rule in a filter.")
    if any(len((rule.value or "").encode()) > FILTER_BYTES_MAX for rule in rules):
        raise InvalidArgument(
            f"Size of filter rule value cannot exceed {FILTER_BYTES_MAX} bytes in UTF-8 representation"
        )


def _check(one: Subscription) -> None:
    for event in one.events:
        if event not in EVENTS:
            raise InvalidArgument(
                "The event is not supported for notifications",
                ArgumentName="Event",
                ArgumentValue=ascii(event)[1:-1],
            )
    match = _ARN.fullmatch(one.arn)
    if match is None or match[1] != _SERVICES[one.kind]:
        raise InvalidArgument(
            "The ARN could not be parsed", ArgumentName=one.kind, ArgumentValue=ascii(one.arn)[1:-1]
        )


_SERVICES: Final = {"Queue": "sqs", "Topic": "sns", "CloudFunction": "lambda"}
_CALLED: Final = {"Queue": "queue", "Topic": "topic", "CloudFunction": "Lambda"}


def _unreachable(missing: Sequence[Subscription]) -> InvalidArgument:
    """S3 numbers what it could not find."""
    error = InvalidArgument("Unable to validate the following destination configurations")
    for number, one in enumerate(missing, 1):
        error.elements[f"ArgumentName{number}"] = one.arn
        error.elements[f"ArgumentValue{number}"] = f"The destination {_CALLED[one.kind]} does not exist"
    return error


def _overlap(one: Subscription, other: Subscription) -> bool:
    """Whether some event of some key would be told to both."""
    shares_event = any(
        _covers(first, second) or _covers(second, first) for first in one.events for second in other.events
    )
    shares_prefix = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    shares_suffix = one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix)
    return shares_event and shares_prefix and shares_suffix
