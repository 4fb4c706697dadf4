"""What browsers ask before a request to another origin: preflights, answered by the bucket's rules alone."""

from objstore.api.call import Call, Reply
from objstore.api.handlers.objects import bucket_of
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
    if method not in cors.METHODS:
        named = "null" if method is None else ascii(method)[1:-1]
        raise BadRequest(f"Invalid Access-Control-Request-Method: {named}")
    scope = call.operation.scope.upper()
    rules: CORSConfiguration | None = call.services.subresources.find(bucket_of(call), "cors")
    if rules is None:
        message = "CORSResponse: CORS is not enabled for this bucket."
        raise CORSForbidden(message, Method=method, ResourceType=scope)
    requested = cors.requested_headers(headers.get("access-control-request-headers", ""))
    match = cors.find(rules, origin, method, requested)
    if match is None:
        raise CORSForbidden(Method=method, ResourceType=scope)
    return Reply(headers=match.preflight_headers(requested))
