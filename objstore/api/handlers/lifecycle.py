"""The lifecycle configuration of a bucket."""

from dataclasses import replace
from typing import Final

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of
from objstore.s3.documents.lifecycle import MINIMUM_SIZES, LifecycleConfiguration, checked
from objstore.s3.errors import InvalidRequest

KIND: Final = "lifecycle"
MINIMUM_SIZE_HEADER: Final = "x-amz-transition-default-minimum-object-size"


async def put(call: Call) -> Reply:
    """PutBucketLifecycleConfiguration."""
    minimum_size = call.headers.get(MINIMUM_SIZE_HEADER) or MINIMUM_SIZES[0]
    if minimum_size not in MINIMUM_SIZES:
        raise InvalidRequest(f"Invalid TransitionDefaultMinimumObjectSize found: {ascii(minimum_size)[1:-1]}")
    document = replace(checked(call.document), transition_default_minimum_object_size=minimum_size)
    await call.services.subresources.put(bucket_of(call), KIND, document)
    return Reply(headers={MINIMUM_SIZE_HEADER: minimum_size})


async def get(call: Call) -> Reply:
    """GetBucketLifecycleConfiguration."""
    document: LifecycleConfiguration = call.services.subresources.get(bucket_of(call), KIND)
    minimum_size = document.transition_default_minimum_object_size or MINIMUM_SIZES[0]
    return Reply(
        headers={MINIMUM_SIZE_HEADER: minimum_size},
        document=replace(document, transition_default_minimum_object_size=None),
    )
