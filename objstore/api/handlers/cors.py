"""What browsers ask before a request to another origin: preflights, answered by the bucket's rules alone."""

from objstore.api.call import Call, Reply
from objstore.s3.documents import cors
from objstore.s3.documents.cors import CORSConfiguration
from objstore.s3.errors import BadRequest, CORSForbidden


async def preflight(call: Call) -> Reply:
    """PreflightBucket, PreflightObject. Nobody signs these: no header of the request itself is there yet."""
    headers = call.headers
    origin = headers.get("origin")
    if not origin:
        raise BadRequest("Insufficient information. Origin request header needed.")
    method = headers.get("access-control-request-method")
    rules: CORSConfiguration | None = None
    if call.bucket is not None:
        rules = call.services.subresources.find(call.bucket, "cors")
    if rules is None:
        what = "Bucket not found" if call.bucket is None else "CORS is not enabled for this bucket."
        named = ascii(method or "OPTIONS")[1:-1]
        raise CORSForbidden(f"CORSResponse: {what}", Method=named, ResourceType="BUCKET")
    if method not in cors.METHODS:
        named = "null" if method is None else ascii(method)[1:-1]
        raise BadRequest(f"Invalid Access-Control-Request-Method: {named}")
    requested = cors.requested_headers(headers.get("access-control-request-headers", ""))
    match = cors.find(rules, origin, method, requested)
    if match is None:
        raise CORSForbidden(Method=method, ResourceType=call.operation.scope.upper())
    return Reply(headers=match.preflight_headers(requested))
