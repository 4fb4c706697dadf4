"""PostObject: the upload of a browser's form."""

import re
from typing import Final
from urllib.parse import quote, urlsplit

from objstore import clock
from objstore.api.call import Call, Reply
from objstore.api.forms import FIELDS_BYTES_MAX, Form, read_form
from objstore.api.handlers.acl import new_object_access
from objstore.api.handlers.objects import (
    bucket_of,
    lifecycle_of,
    new_lock,
    new_version_header,
    require_tagging,
    told_encryption,
    wanted_encryption,
)
from objstore.model import ObjectVersion
from objstore.s3 import xml
from objstore.s3.documents.posting import PostResponse
from objstore.s3.documents.tagging import Tagging
from objstore.s3.errors import AccessDenied, InvalidArgument, InvalidTag, NoSuchBucket
from objstore.s3.expiry import expiration_header
from objstore.s3.integrity import parse_integrity
from objstore.s3.names import check_key
from objstore.s3.object_headers import check_tags, checksum_headers, parse_attributes
from objstore.s3.post_policy import PostPolicy, parse_post_policy
from objstore.service.objects import NewObject, with_default

FILENAME: Final = "${filename}"
_PATH_END: Final = re.compile(r"[/\\]")


async def upload(call: Call) -> Reply:
    """PostObject. Order of judgement: form, signature, policy, bucket, permission; then the file is read."""
    form = await read_form(call.headers.get("content-type", ""), call.body)
    fields = _expanded(form)
    if "key" not in fields:
        raise InvalidArgument(
            "Bucket POST must contain a field named 'key'.  "
            "If it is specified, please check the order of the fields.",
            ArgumentName="key",
            ArgumentValue="",
        )
    policy = _judged_policy(call, fields)
    key = check_key(fields["key"])
    tags = _tags(fields)
    call.key, call.headers = key, _as_headers(fields)
    call.about = call.about._replace(headers={**call.about.headers, **call.headers}, tags=tags)
    bucket = await call.require("s3:PutObject", call.bucket_name, key)
    if call.bucket is None:  # it is made this moment
        raise NoSuchBucket(BucketName=call.bucket_name)
    if tags:
        await require_tagging(call)
    access = await new_object_access(call)
    new = NewObject(
        access.added_to(parse_attributes(call.headers)),
        tags=tags,
        lock=with_default(await new_lock(call), call.services.locks.default(bucket)),
        integrity=parse_integrity(fields),
        owner_id=access.owner_id,
        origin=call.origin,
        encryption=wanted_encryption(call),
    )
    if policy is not None:
        form.file.check_so_far, form.file.check_all = policy.check_size_so_far, policy.check_size
    rules = lifecycle_of(call)
    version = await call.services.objects.put(bucket, key, form.file, new)
    about = {
        **told_encryption(new.encryption, version.attributes.encryption),
        **expiration_header(rules, version),
    }
    return _reply(call, fields, version, about)


def _expanded(form: Form) -> dict[str, str]:
    """The fields with `${filename}` replaced by the file's name, without any directories before it; a file
    without a name replaces nothing."""
    if form.filename is None:
        return dict(form.fields)
    filename = _PATH_END.split(form.filename)[-1]
    expanded = {name: value.replace(FILENAME, filename) for name, value in form.fields.items()}
    if sum(map(len, expanded.values())) > 2 * FIELDS_BYTES_MAX:
        raise InvalidArgument("The fields of the form are too long once ${filename} is replaced.")
    for name in ("policy", "x-amz-signature"):  # what is signed stands as it was sent
        if name in form.fields:
            expanded[name] = form.fields[name]
    return expanded


def _judged_policy(call: Call, fields: dict[str, str]) -> PostPolicy | None:
    """The policy that the form was found to keep to; None for a form that nobody signed.

    The bucket is judged like a field of the form, for a policy made for one bucket says nothing of others.
    """
    if fields.get("bucket", call.bucket_name) != call.bucket_name:
        raise AccessDenied("Invalid according to Policy: the form names another bucket.")
    call.authenticate_form(fields)
    if "policy" not in fields:
        return None
    policy = parse_post_policy(fields["policy"])
    policy.check({**fields, "bucket": call.bucket_name}, clock.now_ms())
    return policy


def _as_headers(fields: dict[str, str]) -> dict[str, str]:
    """The fields as the headers of a PUT would be called."""
    headers = {name: value for name, value in fields.items() if name != "acl"}
    if "acl" in fields:
        headers["x-amz-acl"] = fields["acl"]
    return headers


def _tags(fields: dict[str, str]) -> dict[str, str]:
    """The tags of the `tagging` field, an XML document."""
    text = fields.get("tagging")
    if not text:
        return {}
    pairs = [(tag.key, tag.value) for tag in xml.parse(Tagging, text.encode()).tags]
    check_tags(pairs)
    tags = dict(pairs)
    if len(tags) < len(pairs):
        raise InvalidTag("Cannot provide multiple Tags with the same key")
    return tags


def _reply(call: Call, fields: dict[str, str], version: ObjectVersion, about: dict[str, str]) -> Reply:
    call.notes.version = version
    path = f"/{quote(version.key)}" if not call.path_style else f"/{call.bucket_name}/{quote(version.key)}"
    location = f"{'https' if call.is_secure else 'http'}://{call.host}{path}"
    headers = {
        "etag": f'"{version.etag}"',
        "location": location,
        **checksum_headers(version.attributes.checksum),
        **new_version_header(bucket_of(call), version.version_id),
        **about,
    }
    redirect = fields.get("success_action_redirect", fields.get("redirect", ""))
    if (target := _redirect_target(redirect, call.bucket_name, version)) is not None:
        return Reply(303, {**headers, "location": target})
    match fields.get("success_action_status"):
        case "200":
            return Reply(200, headers)
        case "201":
            document = PostResponse(
                location=location, bucket=call.bucket_name, key=version.key, etag=version.etag
            )
            return Reply(201, headers, document=document)
        case _:
            return Reply(204, headers)


def _redirect_target(redirect: str, bucket_name: str, version: ObjectVersion) -> str | None:
    """Where to send the browser; None for what is no URL, which S3 treats as not given."""
    if not redirect or not redirect.isascii() or not redirect.isprintable() or " " in redirect:
        return None
    try:
        parts = urlsplit(redirect)
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return None
    told = f"bucket={quote(bucket_name)}&key={quote(version.key, safe='')}&etag=%22{version.etag}%22"
    return parts._replace(query=f"{parts.query}&{told}" if parts.query else told).geturl()
