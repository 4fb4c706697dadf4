"""How a bucket's new objects are encrypted, and with what an object's data key is sealed."""

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of, find
from objstore.s3.documents.encryption import ObjectEncryption
from objstore.s3.encryption import is_key_arn
from objstore.s3.errors import InvalidRequest


async def get(call: Call) -> Reply:
    """GetBucketEncryption."""
    return Reply(document=call.services.encryptions.configuration(bucket_of(call)))


async def put(call: Call) -> Reply:
    """PutBucketEncryption."""
    await call.services.encryptions.configure(bucket_of(call), call.document)
    return Reply()


async def update_object(call: Call) -> Reply:
    """UpdateObjectEncryption."""
    if call.headers.get("authorization", "").startswith("AWS ") or "Signature" in call.query:
        raise InvalidRequest(
            "Requests that modify an object encryption configuration require Amazon Web Services Signature"
            " Version 4. Modify the request to use Amazon Web Services Signature Version 4, and then try"
            " again."
        )
    document: ObjectEncryption = call.document
    if document.sse_kms is None:
        raise InvalidRequest(
            "Requests that modify an object encryption configuration require a valid new encryption type."
            " Valid values are SSEKMS. Modify the request to specify SSE-KMS for the updated encryption type,"
            " and then try again."
        )
    arn = document.sse_kms.kms_key_arn
    if not is_key_arn(arn):
        raise InvalidRequest(
            "Requests that modify an object's encryption type to SSE-KMS require a valid Amazon Web Services"
            " KMS key Amazon Resource Name (ARN). Confirm that you have a correctly formatted KMS key ARN in"
            " your request, and then try again."
        )
    bucket = bucket_of(call)
    version = await find(call, bucket)
    await call.services.objects.update_encryption(
        bucket, version, arn, uses_bucket_key=bool(document.sse_kms.bucket_key_enabled)
    )
    return Reply()
