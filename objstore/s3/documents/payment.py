"""Who pays for requests."""

from typing import Literal

from objstore.s3.xml import document


@document
class RequestPaymentConfiguration:
    payer: Literal["Requester", "BucketOwner"]
