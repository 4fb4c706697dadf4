# ruff: noqa: E501  (one operation a line)
"""THE TABLE: every S3 operation, one row each, written out.

Router, authorisation, metric label, log name, documentation and the 501 of what is not offered all read
the same row. `grep GetBucketCors` finds everything that can be stated about GetBucketCors; a handler
holds only what must be computed.
"""

from typing import Final

from objstore.api.call import Operation
from objstore.api.handlers import (
    account,
    acl,
    annotations,
    attributes,
    bucket_subresources,
    bucket_tagging,
    buckets,
    control,
    copy,
    cors,
    deleting,
    encryption,
    lifecycle,
    listening,
    listing,
    locking,
    multipart,
    notification,
    object_tagging,
    objects,
    policy,
    post_object,
    renaming,
    replication,
    restoring,
    select,
    versioning,
)
from objstore.s3.documents.acceleration import AccelerateConfiguration
from objstore.s3.documents.access import AbacStatus, OwnershipControls, PublicAccessBlockConfiguration
from objstore.s3.documents.acl import AccessControlPolicy
from objstore.s3.documents.analytics import AnalyticsConfiguration
from objstore.s3.documents.buckets import CreateBucketConfiguration
from objstore.s3.documents.control import TagResourceRequest
from objstore.s3.documents.cors import CORSConfiguration
from objstore.s3.documents.deleting import Delete
from objstore.s3.documents.encryption import ObjectEncryption, ServerSideEncryptionConfiguration
from objstore.s3.documents.inventory import InventoryConfiguration
from objstore.s3.documents.lifecycle import LifecycleConfiguration
from objstore.s3.documents.locking import LegalHold, ObjectLockConfiguration, Retention
from objstore.s3.documents.logging import BucketLoggingStatus
from objstore.s3.documents.metrics import MetricsConfiguration
from objstore.s3.documents.multipart import CompleteMultipartUpload
from objstore.s3.documents.notification import NotificationConfiguration
from objstore.s3.documents.payment import RequestPaymentConfiguration
from objstore.s3.documents.replication import ReplicationConfiguration
from objstore.s3.documents.restoring import RestoreRequest
from objstore.s3.documents.select import SelectObjectContentRequest
from objstore.s3.documents.tagging import Tagging
from objstore.s3.documents.tiering import IntelligentTieringConfiguration
from objstore.s3.documents.versioning import VersioningConfiguration
from objstore.s3.documents.website import WebsiteConfiguration

LISTENING: Final = frozenset({"ping", "suffix"})
NO_UPLOADS: Final = "Anonymous users cannot initiate multipart uploads.  Please authenticate."
NO_COPIES: Final = "Anonymous users cannot copy objects.  Please authenticate."
NO_CALLS: Final = "Anonymous users cannot invoke this API. Please authenticate."
NO_CONTROLS: Final = "s3:{}BucketOwnershipControls does not support Anonymous requests!"
DIRECTORY: Final = "Belongs to directory buckets, which this server has none of."
TABLES: Final = "Belongs to S3 Metadata's tables, which need a table service beside the object store."
LAMBDA: Final = "Belongs to Object Lambda, which runs code on its way through AWS."

# fmt: off
OPERATIONS: Final = (
    # Buckets.
    Operation("ListBuckets",        "GET",    "service", (),                       "s3:ListAllMyBuckets",  buckets.list_all),
    Operation("CreateBucket",       "PUT",    "bucket",  (),                       "s3:CreateBucket",      buckets.create, document=CreateBucketConfiguration, is_document_optional=True, anonymous_refusal=NO_CALLS),
    Operation("HeadBucket",         "HEAD",   "bucket",  (),                       "s3:ListBucket",        buckets.head),
    Operation("DeleteBucket",       "DELETE", "bucket",  (),                       "s3:DeleteBucket",      buckets.delete),
    Operation("GetBucketLocation",  "GET",    "bucket",  ("location",),            "s3:GetBucketLocation", buckets.location),
    Operation("CreateSession",      "GET",    "bucket",  ("session",),             "s3:CreateSession",     None, reason=DIRECTORY),

    # Listings.
    Operation("ListObjects",        "GET",    "bucket",  (),                       "s3:ListBucket",         listing.list_v1),
    Operation("ListObjectsV2",      "GET",    "bucket",  ("list-type=2",),         "s3:ListBucket",         listing.list_v2),
    Operation("ListObjectVersions", "GET",    "bucket",  ("versions",),            "s3:ListBucketVersions", listing.list_versions),
    Operation("ListMultipartUploads", "GET",  "bucket",  ("uploads",),             "s3:ListBucketMultipartUploads", multipart.list_uploads),

    # Objects.
    Operation("GetObject",          "GET",    "object",  (),                       "s3:GetObject",    objects.get, version_action="s3:GetObjectVersion"),
    Operation("HeadObject",         "HEAD",   "object",  (),                       "s3:GetObject",    objects.head, version_action="s3:GetObjectVersion"),
    Operation("PutObject",          "PUT",    "object",  (),                       "s3:PutObject",    objects.put, stores_body=True, event="s3:ObjectCreated:Put"),
    Operation("CopyObject",         "PUT",    "object",  (),                       "s3:PutObject",    copy.copy_object, header="x-amz-copy-source", anonymous_refusal=NO_COPIES, event="s3:ObjectCreated:Copy"),
    Operation("DeleteObject",       "DELETE", "object",  (),                       "s3:DeleteObject", deleting.delete, version_action="s3:DeleteObjectVersion", event="s3:ObjectRemoved:Delete"),
    Operation("DeleteObjects",      "POST",   "bucket",  ("delete",),              None,              deleting.delete_many, document=Delete, event="s3:ObjectRemoved:Delete"),  # each key is authorised by itself
    Operation("GetObjectAttributes", "GET",   "object",  ("attributes",),          "s3:GetObjectAttributes", attributes.get, version_action="s3:GetObjectVersionAttributes"),
    Operation("PostObject",         "POST",   "bucket",  (),                       None,              post_object.upload, event="s3:ObjectCreated:Post"),  # the form in the body says who asks
    Operation("RenameObject",       "PUT",    "object",  ("renameObject",),        "s3:PutObject",    renaming.rename, event="s3:ObjectCreated:Copy"),
    Operation("RestoreObject",      "POST",   "object",  ("restore",),             "s3:RestoreObject", restoring.restore, document=RestoreRequest, event="s3:ObjectRestore:Post"),
    Operation("SelectObjectContent", "POST",  "object",  ("select", "select-type=2"), "s3:GetObject", select.select, document=SelectObjectContentRequest, anonymous_refusal=NO_CALLS),
    Operation("GetObjectTorrent",   "GET",    "object",  ("torrent",),             "s3:GetObjectTorrent", objects.torrent, version_action="s3:GetObjectVersionTorrent"),
    Operation("WriteGetObjectResponse", "POST", "bucket", (),                      "s3-object-lambda:WriteGetObjectResponse", None, header="x-amz-request-route", reason=LAMBDA),

    # Multipart uploads.
    Operation("CreateMultipartUpload",   "POST",   "object", ("uploads",),               "s3:PutObject", multipart.create, anonymous_refusal=NO_UPLOADS),
    Operation("UploadPart",              "PUT",    "object", ("partNumber", "uploadId"), "s3:PutObject", multipart.upload_part, stores_body=True),
    Operation("UploadPartCopy",          "PUT",    "object", ("partNumber", "uploadId"), "s3:PutObject", copy.upload_part_copy, header="x-amz-copy-source", anonymous_refusal=NO_COPIES),
    Operation("ListParts",               "GET",    "object", ("uploadId",),              "s3:ListMultipartUploadParts", multipart.list_parts),
    Operation("CompleteMultipartUpload", "POST",   "object", ("uploadId",),              "s3:PutObject", multipart.complete, document=CompleteMultipartUpload, checksums_are_of_object=True, event="s3:ObjectCreated:CompleteMultipartUpload"),
    Operation("AbortMultipartUpload",    "DELETE", "object", ("uploadId",),              "s3:AbortMultipartUpload", multipart.abort),

    # Subresources of objects.
    Operation("GetObjectAcl",         "GET",    "object", ("acl",),        "s3:GetObjectAcl",        acl.get_of_object, version_action="s3:GetObjectVersionAcl"),
    Operation("PutObjectAcl",         "PUT",    "object", ("acl",),        "s3:PutObjectAcl",        acl.put_of_object, document=AccessControlPolicy, is_document_optional=True, version_action="s3:PutObjectVersionAcl", event="s3:ObjectAcl:Put", anonymous_refusal=NO_CALLS),
    Operation("GetObjectTagging",     "GET",    "object", ("tagging",),    "s3:GetObjectTagging",    object_tagging.get, version_action="s3:GetObjectVersionTagging"),
    Operation("PutObjectTagging",     "PUT",    "object", ("tagging",),    "s3:PutObjectTagging",    object_tagging.put, document=Tagging, is_judged_by_document=True, version_action="s3:PutObjectVersionTagging", event="s3:ObjectTagging:Put"),
    Operation("DeleteObjectTagging",  "DELETE", "object", ("tagging",),    "s3:DeleteObjectTagging", object_tagging.delete, version_action="s3:DeleteObjectVersionTagging", event="s3:ObjectTagging:Delete"),
    Operation("GetObjectRetention",   "GET",    "object", ("retention",),  "s3:GetObjectRetention",  locking.get_retention),
    Operation("PutObjectRetention",   "PUT",    "object", ("retention",),  "s3:PutObjectRetention",  locking.put_retention, document=Retention, is_judged_by_document=True, event="s3:ObjectRetention:Put"),
    Operation("GetObjectLegalHold",   "GET",    "object", ("legal-hold",), "s3:GetObjectLegalHold",  locking.get_legal_hold),
    Operation("PutObjectLegalHold",   "PUT",    "object", ("legal-hold",), "s3:PutObjectLegalHold",  locking.put_legal_hold, document=LegalHold, is_judged_by_document=True),
    Operation("UpdateObjectEncryption", "PUT",  "object", ("encryption",), "s3:UpdateObjectEncryption", encryption.update_object, document=ObjectEncryption, version_action="s3:UpdateObjectVersionEncryption"),
    Operation("GetObjectAnnotation",    "GET",    "object", ("annotation", "annotationName"), "s3:GetObjectAnnotation", annotations.get, version_action="s3:GetObjectVersionAnnotation"),
    Operation("PutObjectAnnotation",    "PUT",    "object", ("annotation", "annotationName"), "s3:PutObjectAnnotation", annotations.put, version_action="s3:PutObjectVersionAnnotation", stores_body=True, event="s3:ObjectAnnotation:Put"),
    Operation("DeleteObjectAnnotation", "DELETE", "object", ("annotation", "annotationName"), "s3:DeleteObjectAnnotation", annotations.delete, version_action="s3:DeleteObjectVersionAnnotation", event="s3:ObjectAnnotation:Delete"),
    Operation("ListObjectAnnotations",  "GET",    "object", ("annotation",),                  "s3:ListObjectAnnotations", annotations.list_all, version_action="s3:ListObjectVersionAnnotations"),

    # Subresources of buckets.
    Operation("GetBucketAbac",         "GET",    "bucket", ("abac",),       "s3:GetBucketABAC",        bucket_subresources.get),
    Operation("PutBucketAbac",         "PUT",    "bucket", ("abac",),       "s3:PutBucketABAC",        bucket_subresources.put, document=AbacStatus),
    Operation("GetBucketAccelerateConfiguration", "GET", "bucket", ("accelerate",), "s3:GetAccelerateConfiguration", bucket_subresources.get),
    Operation("PutBucketAccelerateConfiguration", "PUT", "bucket", ("accelerate",), "s3:PutAccelerateConfiguration", bucket_subresources.put, document=AccelerateConfiguration),
    Operation("GetBucketAcl",          "GET",    "bucket", ("acl",),        "s3:GetBucketAcl",         acl.get_of_bucket),
    Operation("PutBucketAcl",          "PUT",    "bucket", ("acl",),        "s3:PutBucketAcl",         acl.put_of_bucket, document=AccessControlPolicy, is_document_optional=True, anonymous_refusal=NO_CALLS),
    Operation("GetBucketAnalyticsConfiguration",    "GET",    "bucket", ("analytics", "id"), "s3:GetAnalyticsConfiguration", bucket_subresources.get_one),
    Operation("PutBucketAnalyticsConfiguration",    "PUT",    "bucket", ("analytics", "id"), "s3:PutAnalyticsConfiguration", bucket_subresources.put_one, document=AnalyticsConfiguration),
    Operation("DeleteBucketAnalyticsConfiguration", "DELETE", "bucket", ("analytics", "id"), "s3:PutAnalyticsConfiguration", bucket_subresources.delete_one),
    Operation("ListBucketAnalyticsConfigurations",  "GET",    "bucket", ("analytics",),      "s3:GetAnalyticsConfiguration", bucket_subresources.list_family),
    Operation("GetBucketCors",         "GET",    "bucket", ("cors",),       "s3:GetBucketCORS",        bucket_subresources.get),
    Operation("PutBucketCors",         "PUT",    "bucket", ("cors",),       "s3:PutBucketCORS",        bucket_subresources.put, document=CORSConfiguration),
    Operation("DeleteBucketCors",      "DELETE", "bucket", ("cors",),       "s3:PutBucketCORS",        bucket_subresources.delete),
    Operation("GetBucketEncryption",   "GET",    "bucket", ("encryption",), "s3:GetEncryptionConfiguration", encryption.get),
    Operation("PutBucketEncryption",   "PUT",    "bucket", ("encryption",), "s3:PutEncryptionConfiguration", encryption.put, document=ServerSideEncryptionConfiguration),
    Operation("DeleteBucketEncryption", "DELETE", "bucket", ("encryption",), "s3:PutEncryptionConfiguration", bucket_subresources.delete),
    Operation("GetBucketIntelligentTieringConfiguration",    "GET",    "bucket", ("intelligent-tiering", "id"), "s3:GetIntelligentTieringConfiguration", bucket_subresources.get_one),
    Operation("PutBucketIntelligentTieringConfiguration",    "PUT",    "bucket", ("intelligent-tiering", "id"), "s3:PutIntelligentTieringConfiguration", bucket_subresources.put_one, document=IntelligentTieringConfiguration),
    Operation("DeleteBucketIntelligentTieringConfiguration", "DELETE", "bucket", ("intelligent-tiering", "id"), "s3:PutIntelligentTieringConfiguration", bucket_subresources.delete_one),
    Operation("ListBucketIntelligentTieringConfigurations",  "GET",    "bucket", ("intelligent-tiering",),      "s3:GetIntelligentTieringConfiguration", bucket_subresources.list_family),
    Operation("GetBucketInventoryConfiguration",    "GET",    "bucket", ("inventory", "id"), "s3:GetInventoryConfiguration", bucket_subresources.get_one),
    Operation("PutBucketInventoryConfiguration",    "PUT",    "bucket", ("inventory", "id"), "s3:PutInventoryConfiguration", bucket_subresources.put_one, document=InventoryConfiguration, is_judged_by_document=True),
    Operation("DeleteBucketInventoryConfiguration", "DELETE", "bucket", ("inventory", "id"), "s3:PutInventoryConfiguration", bucket_subresources.delete_one),
    Operation("ListBucketInventoryConfigurations",  "GET",    "bucket", ("inventory",),      "s3:GetInventoryConfiguration", bucket_subresources.list_family),
    Operation("GetBucketLifecycleConfiguration", "GET",    "bucket", ("lifecycle",), "s3:GetLifecycleConfiguration", lifecycle.get),
    Operation("PutBucketLifecycleConfiguration", "PUT",    "bucket", ("lifecycle",), "s3:PutLifecycleConfiguration", lifecycle.put, document=LifecycleConfiguration),
    Operation("DeleteBucketLifecycle",           "DELETE", "bucket", ("lifecycle",), "s3:PutLifecycleConfiguration", bucket_subresources.delete),
    Operation("GetBucketLogging",      "GET",    "bucket", ("logging",),    "s3:GetBucketLogging",     bucket_subresources.get),
    Operation("PutBucketLogging",      "PUT",    "bucket", ("logging",),    "s3:PutBucketLogging",     bucket_subresources.put_logging, document=BucketLoggingStatus),
    Operation("GetBucketMetricsConfiguration",    "GET",    "bucket", ("metrics", "id"), "s3:GetMetricsConfiguration", bucket_subresources.get_one),
    Operation("PutBucketMetricsConfiguration",    "PUT",    "bucket", ("metrics", "id"), "s3:PutMetricsConfiguration", bucket_subresources.put_one, document=MetricsConfiguration),
    Operation("DeleteBucketMetricsConfiguration", "DELETE", "bucket", ("metrics", "id"), "s3:PutMetricsConfiguration", bucket_subresources.delete_one),
    Operation("ListBucketMetricsConfigurations",  "GET",    "bucket", ("metrics",),      "s3:GetMetricsConfiguration", bucket_subresources.list_family),
    Operation("GetBucketNotificationConfiguration", "GET", "bucket", ("notification",), "s3:GetBucketNotification", bucket_subresources.get),
    Operation("PutBucketNotificationConfiguration", "PUT", "bucket", ("notification",), "s3:PutBucketNotification", notification.put, document=NotificationConfiguration),
    Operation("GetBucketOwnershipControls",    "GET",    "bucket", ("ownershipControls",), "s3:GetBucketOwnershipControls", bucket_subresources.get, anonymous_refusal=NO_CONTROLS.format("Get")),
    Operation("PutBucketOwnershipControls",    "PUT",    "bucket", ("ownershipControls",), "s3:PutBucketOwnershipControls", policy.put_ownership, document=OwnershipControls, is_judged_by_document=True, anonymous_refusal=NO_CONTROLS.format("Put")),
    Operation("DeleteBucketOwnershipControls", "DELETE", "bucket", ("ownershipControls",), "s3:PutBucketOwnershipControls", bucket_subresources.delete, anonymous_refusal=NO_CONTROLS.format("Put")),
    Operation("GetBucketPolicy",       "GET",    "bucket", ("policy",),       "s3:GetBucketPolicy",       policy.get),
    Operation("PutBucketPolicy",       "PUT",    "bucket", ("policy",),       "s3:PutBucketPolicy",       policy.put, document=bytes),
    Operation("DeleteBucketPolicy",    "DELETE", "bucket", ("policy",),       "s3:DeleteBucketPolicy",    policy.delete),
    Operation("GetBucketPolicyStatus", "GET",    "bucket", ("policyStatus",), "s3:GetBucketPolicyStatus", policy.status),
    Operation("GetPublicAccessBlock",    "GET",    "bucket", ("publicAccessBlock",), "s3:GetBucketPublicAccessBlock", policy.get_public_access_block),
    Operation("PutPublicAccessBlock",    "PUT",    "bucket", ("publicAccessBlock",), "s3:PutBucketPublicAccessBlock", bucket_subresources.put, document=PublicAccessBlockConfiguration),
    Operation("DeletePublicAccessBlock", "DELETE", "bucket", ("publicAccessBlock",), "s3:PutBucketPublicAccessBlock", bucket_subresources.delete),
    Operation("GetBucketReplication",    "GET",    "bucket", ("replication",), "s3:GetReplicationConfiguration", bucket_subresources.get),
    Operation("PutBucketReplication",    "PUT",    "bucket", ("replication",), "s3:PutReplicationConfiguration", replication.put, document=ReplicationConfiguration),
    Operation("DeleteBucketReplication", "DELETE", "bucket", ("replication",), "s3:PutReplicationConfiguration", bucket_subresources.delete),
    Operation("GetBucketRequestPayment", "GET",  "bucket", ("requestPayment",), "s3:GetBucketRequestPayment", bucket_subresources.get),
    Operation("PutBucketRequestPayment", "PUT",  "bucket", ("requestPayment",), "s3:PutBucketRequestPayment", bucket_subresources.put, document=RequestPaymentConfiguration),
    Operation("GetBucketTagging",      "GET",    "bucket", ("tagging",),     "s3:GetBucketTagging",     bucket_subresources.get),
    Operation("PutBucketTagging",      "PUT",    "bucket", ("tagging",),     "s3:PutBucketTagging",     bucket_tagging.put, document=Tagging, is_judged_by_document=True),
    Operation("DeleteBucketTagging",   "DELETE", "bucket", ("tagging",),     "s3:PutBucketTagging",     bucket_tagging.delete),
    Operation("GetBucketVersioning",   "GET",    "bucket", ("versioning",),  "s3:GetBucketVersioning",  versioning.get),
    Operation("PutBucketVersioning",   "PUT",    "bucket", ("versioning",),  "s3:PutBucketVersioning",  versioning.put, document=VersioningConfiguration),
    Operation("GetBucketWebsite",      "GET",    "bucket", ("website",),     "s3:GetBucketWebsite",     bucket_subresources.get),
    Operation("PutBucketWebsite",      "PUT",    "bucket", ("website",),     "s3:PutBucketWebsite",     bucket_subresources.put, document=WebsiteConfiguration),
    Operation("DeleteBucketWebsite",   "DELETE", "bucket", ("website",),     "s3:DeleteBucketWebsite",  bucket_subresources.delete),
    Operation("GetObjectLockConfiguration", "GET", "bucket", ("object-lock",), "s3:GetBucketObjectLockConfiguration", locking.get_configuration),
    Operation("PutObjectLockConfiguration", "PUT", "bucket", ("object-lock",), "s3:PutBucketObjectLockConfiguration", locking.put_configuration, document=ObjectLockConfiguration),
    # S3 Metadata.
    Operation("CreateBucketMetadataConfiguration", "POST",   "bucket", ("metadataConfiguration",), "s3:CreateBucketMetadataTableConfiguration", None, reason=TABLES),
    Operation("GetBucketMetadataConfiguration",    "GET",    "bucket", ("metadataConfiguration",), "s3:GetBucketMetadataTableConfiguration",    bucket_subresources.get),
    Operation("DeleteBucketMetadataConfiguration", "DELETE", "bucket", ("metadataConfiguration",), "s3:DeleteBucketMetadataTableConfiguration", bucket_subresources.delete),
    Operation("CreateBucketMetadataTableConfiguration", "POST",   "bucket", ("metadataTable",), "s3:CreateBucketMetadataTableConfiguration", None, reason=TABLES),
    Operation("GetBucketMetadataTableConfiguration",    "GET",    "bucket", ("metadataTable",), "s3:GetBucketMetadataTableConfiguration",    bucket_subresources.get),
    Operation("DeleteBucketMetadataTableConfiguration", "DELETE", "bucket", ("metadataTable",), "s3:DeleteBucketMetadataTableConfiguration", bucket_subresources.delete),
    Operation("UpdateBucketMetadataInventoryTableConfiguration",  "PUT", "bucket", ("metadataInventoryTable",),  "s3:UpdateBucketMetadataInventoryTableConfiguration",  None, reason=TABLES),
    Operation("UpdateBucketMetadataJournalTableConfiguration",    "PUT", "bucket", ("metadataJournalTable",),    "s3:UpdateBucketMetadataJournalTableConfiguration",    None, reason=TABLES),
    Operation("UpdateBucketMetadataAnnotationTableConfiguration", "PUT", "bucket", ("metadataAnnotationTable",), "s3:UpdateBucketMetadataAnnotationTableConfiguration", None, reason=TABLES),

    # What browsers ask before a request to another origin. Nobody signs it and no action names it: the
    # bucket's CORS rules alone decide.
    Operation("ListenNotification",       "GET", "service", ("events",), "s3:ListenNotification",       listening.listen, qualifiers=LISTENING),
    Operation("ListenBucketNotification", "GET", "bucket",  ("events",), "s3:ListenBucketNotification", listening.listen, qualifiers=LISTENING),
    Operation("PreflightBucket", "OPTIONS", "bucket", (), None, cors.preflight),
    Operation("PreflightObject", "OPTIONS", "object", (), None, cors.preflight),

    # S3 Control, as far as Terraform asks it about buckets: /v20180820/tags/{ARN}, told by x-amz-account-id.
    Operation("ListTagsForResource", "GET",    "control", (),           None, control.list_tags),  # the ARN names what is authorised
    Operation("TagResource",         "POST",   "control", (),           None, control.tag, document=TagResourceRequest),  # likewise
    Operation("UntagResource",       "DELETE", "control", ("tagKeys",), None, control.untag),  # likewise
    # S3 Control calls these Get-, Put- and DeletePublicAccessBlock.
    Operation("GetAccountPublicAccessBlock",    "GET",    "account", (), "s3:GetAccountPublicAccessBlock", account.get_public_access_block),
    Operation("PutAccountPublicAccessBlock",    "PUT",    "account", (), "s3:PutAccountPublicAccessBlock", account.put_public_access_block, document=PublicAccessBlockConfiguration),
    Operation("DeleteAccountPublicAccessBlock", "DELETE", "account", (), "s3:PutAccountPublicAccessBlock", account.delete_public_access_block),
)
# fmt: on

SUPERSEDED: Final = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
}
"""Older names of operations → the row that answers them; on the wire they are the same request."""

NOT_OFFERED: Final = {
    "ListDirectoryBuckets": f"{DIRECTORY} It is ListBuckets signed for the service s3express, and refused as such.",
}
"""Operations without a row, and why."""


def as_markdown() -> str:
    """The table as `docs/s3_compatibility.md` shows it."""
    lines = ["| operation | request | offered |", "| --- | --- | --- |"]
    for row in sorted(OPERATIONS, key=lambda row: row.name):
        offered = "yes" if row.handler is not None else f"no: {row.reason}"
        lines.append(f"| {row.name} | `{_request_line(row)}` | {offered} |")
    for name, newer in sorted(SUPERSEDED.items()):
        lines.append(f"| {name} | an older name of {newer} | |")
    for name, reason in sorted(NOT_OFFERED.items()):
        lines.append(f"| {name} | | no: {reason} |")
    return "\n".join(lines) + "\n"


def _request_line(row: Operation) -> str:
    path = {
        "service": "/",
        "bucket": "/{bucket}",
        "object": "/{bucket}/{key}",
        "control": "/v20180820/tags/{arn}",
        "account": "/v20180820/configuration/publicAccessBlock",
    }[row.scope]
    query = "&".join(row.query)
    header = f" + {row.header}" if row.header else ""
    return f"{row.method} {path}{'?' if query else ''}{query}{header}"
