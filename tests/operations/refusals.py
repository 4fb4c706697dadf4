"""How tests of operations say that a request must be refused."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError


def refused(call: Callable[..., Any], **arguments: Any) -> tuple[int, str]:
    """Status and code of the error that `call(**arguments)` must be answered with."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]
