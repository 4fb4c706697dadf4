"""PutBucketNotificationConfiguration, GetBucketNotificationConfiguration. What is sent: test_notifications"""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from objstore.s3.documents.notification import EVENTS
from tests.operations.refusals import refused

ARN = "arn:aws:sqs:us-east-1:000000000000:nowhere"


def queue(**given: Any) -> dict[str, Any]:
    made = {"Id": "mine", "QueueArn": ARN, "Events": ["s3:ObjectCreated:*"], **given}
    return {name: value for name, value in made.items() if value is not None}


def filtered(*rules: tuple[str, str], **given: Any) -> dict[str, Any]:
    listed = [{"Name": name, "Value": value} for name, value in rules]
    return queue(Filter={"Key": {"FilterRules": listed}}, **given)


def put(s3: Any, bucket: str, *queues: dict[str, Any], **given: Any) -> Any:
    """Put queue configurations whose targets need not be there."""
    return s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"QueueConfigurations": list(queues)},
        **{"SkipDestinationValidation": True, **given},
    )


def put_refused(s3: Any, bucket: str, *queues: dict[str, Any], **given: Any) -> tuple[int, str]:
    return (
        refused(put, s3=s3, bucket=bucket, **given)
        if not queues
        else refused(lambda: put(s3, bucket, *queues, **given))
    )


def got(s3: Any, bucket: str) -> dict[str, Any]:
    answer: dict[str, Any] = s3.get_bucket_notification_configuration(Bucket=bucket)
    del answer["ResponseMetadata"]
    return answer


def test_nothing_configured_is_an_empty_document(s3, bucket):
    assert got(s3, bucket) == {}


def test_rules_of_filters_come_back_as_s3_spells_them(s3, bucket):
    put(s3, bucket, filtered(("suffix", ".txt"), ("PREFIX", "in/")))
    rules = got(s3, bucket)["QueueConfigurations"][0]["Filter"]["Key"]["FilterRules"]
    assert rules == [{"Name": "Suffix", "Value": ".txt"}, {"Name": "Prefix", "Value": "in/"}]


def test_put_get_and_put_nothing(s3, bucket):
    document = {
        "QueueConfigurations": [filtered(("Prefix", "in/"), ("Suffix", ".jpg"))],
        "TopicConfigurations": [
            {"Id": "t", "TopicArn": ARN.replace("sqs", "sns"), "Events": ["s3:ObjectRemoved:*"]}
        ],
        "LambdaFunctionConfigurations": [
            {
                "Id": "l",
                "LambdaFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:nowhere",
                "Events": ["s3:ObjectTagging:Put", "s3:ObjectAcl:Put"],
            }
        ],
    }
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration=document, SkipDestinationValidation=True
    )
    assert got(s3, bucket) == document
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    assert got(s3, bucket) == {}


def test_configurations_without_an_id_get_one(s3, bucket):
    put(s3, bucket, queue(Id=None), queue(Id=None, Events=["s3:ObjectRemoved:*"]))
    ids = [one["Id"] for one in got(s3, bucket)["QueueConfigurations"]]
    assert len(set(ids)) == 2 and all(ids)


def test_targets_must_be_there(s3, bucket):
    topic = {"Id": "t", "TopicArn": ARN.replace("sqs", "sns"), "Events": ["s3:ObjectRemoved:*"]}
    with pytest.raises(ClientError) as caught:
        s3.put_bucket_notification_configuration(
            Bucket=bucket,
            NotificationConfiguration={"QueueConfigurations": [queue()], "TopicConfigurations": [topic]},
        )
    error = caught.value.response["Error"]
    assert (error["Code"], error["Message"]) == (
        "InvalidArgument",
        "Unable to validate the following destination configurations",
    )
    assert {
        error["ArgumentName1"]: error["ArgumentValue1"],
        error["ArgumentName2"]: error["ArgumentValue2"],
    } == {
        ARN: "The destination queue does not exist",
        topic["TopicArn"]: "The destination topic does not exist",
    }
    assert got(s3, bucket) == {}


@pytest.mark.parametrize(
    ("given", "name", "value"),
    [
        (queue(QueueArn="nowhere"), "Queue", "nowhere"),
        (queue(QueueArn=ARN.replace("sqs", "sns")), "Queue", ARN.replace("sqs", "sns")),
        (queue(Events=["s3:Junk"]), "Event", "s3:Junk"),
        (filtered(("middle", "x")), "FilterRule.Name", "middle"),
    ],
)
def test_what_is_wrong_is_named(s3, bucket, given, name, value):
    with pytest.raises(ClientError) as caught:
        put(s3, bucket, given)
    error = caught.value.response["Error"]
    assert (error["ArgumentName"], error["ArgumentValue"]) == (name, value)


@pytest.mark.parametrize(
    "queues",
    [
        [queue(Events=["s3:ObjectCreated:Junk"])],
        [queue(Events=["ObjectCreated:*"])],
        [queue(QueueArn="nowhere")],
        [queue(QueueArn="arn:aws:s3:::bucket")],
        [filtered(("Middle", "x"))],
        [filtered(("Prefix", "x"), ("prefix", "y"))],
        [filtered(("Prefix", "x" * 1025))],
        [queue(), queue(Events=["s3:ObjectRemoved:*"])],
        [queue(Id="1"), queue(Id="2")],
        [queue(Id="1"), queue(Id="2", Events=["s3:ObjectCreated:Put"])],
        [filtered(("Prefix", "a"), Id="1"), filtered(("Prefix", "ab"), Id="2")],
        [filtered(("Prefix", "a"), Id="1"), filtered(("Suffix", "b"), Id="2")],
        [queue(Id=str(number), Events=["s3:ObjectAcl:Put"]) for number in range(101)],
    ],
)
def test_configurations_that_cannot_be(s3, bucket, queues):
    assert put_refused(s3, bucket, *queues) == (400, "InvalidArgument")
    assert got(s3, bucket) == {}


@pytest.mark.parametrize("rule", [{}, {"Name": "prefix"}, {"Value": "a"}])
def test_a_filter_rule_needs_name_and_value(s3, bucket, rule):
    given = queue(Filter={"Key": {"FilterRules": [rule]}})
    assert put_refused(s3, bucket, given) == (400, "MalformedXML")


def test_configurations_that_do_not_overlap(s3, bucket):
    put(
        s3,
        bucket,
        filtered(("Prefix", "a"), Id="1"),
        filtered(("Prefix", "b"), Id="2"),
        filtered(("Prefix", "a"), Id="3", Events=["s3:ObjectRemoved:*"]),
    )
    assert len(got(s3, bucket)["QueueConfigurations"]) == 3


def test_an_event_bus_is_kept_and_given_back(s3, bucket):
    document: dict[str, Any] = {"EventBridgeConfiguration": {}}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=document)
    assert got(s3, bucket) == document
    s3.put_object(Bucket=bucket, Key="a", Body=b"")
    put(s3, bucket, queue())
    assert "EventBridgeConfiguration" not in got(s3, bucket)


EVERY_EVENT = [
    "s3:ReducedRedundancyLostObject",
    "s3:ObjectCreated:*",
    "s3:ObjectRemoved:*",
    "s3:ObjectRestore:*",
    "s3:Replication:*",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:ObjectTagging:*",
    "s3:ObjectAcl:Put",
    "s3:ObjectAnnotation:*",
]


def test_every_event_of_botocores_model_is_accepted(s3, bucket):
    listed = s3.meta.service_model.shape_for("Event").enum
    assert set(listed) <= EVENTS
    for event in listed:
        put(s3, bucket, queue(Events=[event]))
        assert got(s3, bucket)["QueueConfigurations"][0]["Events"] == [event]
    put(s3, bucket, queue(Events=EVERY_EVENT))


def test_other_people_may_not(other, anonymous, bucket):
    for client in (other, anonymous):
        assert refused(client.get_bucket_notification_configuration, Bucket=bucket) == (403, "AccessDenied")
        assert put_refused(client, bucket, queue()) == (403, "AccessDenied")
