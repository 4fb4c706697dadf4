"""The words policies may use: S3's actions and the condition keys S3 knows.

A policy with any other word is refused when it is put: a misspelt action in a Deny, or a condition on
something that is never there, would protect nothing and look as if it did.
Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3"; the actions
that begin with Listen are MinIO's.
"""

from collections.abc import Mapping
from typing import Final

_OBJECT: Final = """
    AbortMultipartUpload BypassGovernanceRetention DeleteObject DeleteObjectAnnotation DeleteObjectTagging
    DeleteObjectVersion DeleteObjectVersionAnnotation DeleteObjectVersionTagging GetObject GetObjectAcl
    GetObjectAnnotation GetObjectAttributes GetObjectLegalHold GetObjectRetention GetObjectTagging
    GetObjectTorrent GetObjectVersion GetObjectVersionAcl GetObjectVersionAnnotation
    GetObjectVersionAttributes GetObjectVersionForReplication GetObjectVersionTagging
    GetObjectVersionTorrent InitiateReplication ListMultipartUploadParts ListObjectAnnotations
    ListObjectVersionAnnotations ObjectOwnerOverrideToBucketOwner PutObject PutObjectAcl
    PutObjectAnnotation PutObjectLegalHold PutObjectRetention PutObjectTagging PutObjectVersionAcl
    PutObjectVersionAnnotation PutObjectVersionTagging ReplicateDelete ReplicateObject ReplicateTags
    RestoreObject UpdateObjectEncryption UpdateObjectVersionEncryption
"""
_BUCKET: Final = """
    CreateBucket CreateBucketMetadataTableConfiguration CreateSession DeleteBucket
    DeleteBucketMetadataTableConfiguration DeleteBucketPolicy DeleteBucketWebsite
    GetAccelerateConfiguration GetAnalyticsConfiguration GetBucketABAC GetBucketAcl GetBucketCORS
    GetBucketLocation GetBucketLogging GetBucketMetadataTableConfiguration GetBucketNotification
    GetBucketObjectLockConfiguration GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus
    GetBucketPublicAccessBlock GetBucketRequestPayment GetBucketTagging GetBucketVersioning
    GetBucketWebsite GetEncryptionConfiguration GetIntelligentTieringConfiguration
    GetInventoryConfiguration GetLifecycleConfiguration GetMetricsConfiguration
    GetReplicationConfiguration ListBucket ListBucketMultipartUploads ListBucketVersions
    PutAccelerateConfiguration PutAnalyticsConfiguration PutBucketABAC PutBucketAcl PutBucketCORS
    PutBucketLogging PutBucketNotification PutBucketObjectLockConfiguration PutBucketOwnershipControls
    PutBucketPolicy PutBucketPublicAccessBlock PutBucketRequestPayment PutBucketTagging
    PutBucketVersioning PutBucketWebsite PutEncryptionConfiguration PutIntelligentTieringConfiguration
    PutInventoryConfiguration PutLifecycleConfiguration PutMetricsConfiguration
    PutReplicationConfiguration UpdateBucketMetadataAnnotationTableConfiguration
    UpdateBucketMetadataInventoryTableConfiguration UpdateBucketMetadataJournalTableConfiguration
    ListTagsForResource TagResource UntagResource ListenBucketNotification
"""
_ACCOUNT: Final = """
    GetAccountPublicAccessBlock ListAllMyBuckets ListenNotification PutAccountPublicAccessBlock
"""


def _names(words: str) -> frozenset[str]:
    return frozenset(f"s3:{word}".lower() for word in words.split())


OBJECT_ACTIONS: Final = _names(_OBJECT)
"""Actions upon an object (arn:aws:s3:::bucket/key), lower case."""
BUCKET_ACTIONS: Final = _names(_BUCKET)
"""Actions upon a bucket (arn:aws:s3:::bucket), lower case."""
ACCOUNT_ACTIONS: Final = _names(_ACCOUNT)
"""Actions upon neither."""
ACTIONS: Final = OBJECT_ACTIONS | BUCKET_ACTIONS | ACCOUNT_ACTIONS

CONDITION_KEYS: Final = frozenset(
    f"{prefix}:{name}".lower()
    for prefix, names in {
        "aws": """
            CalledVia CalledViaFirst CalledViaLast CurrentTime Ec2InstanceSourcePrivateIPv4
            Ec2InstanceSourceVpc EpochTime FederatedProvider MultiFactorAuthAge MultiFactorAuthPresent
            PrincipalAccount PrincipalArn PrincipalIsAWSService PrincipalOrgID PrincipalOrgPaths
            PrincipalServiceName PrincipalServiceNamesList PrincipalType Referer RequestedRegion
            ResourceAccount ResourceOrgID ResourceOrgPaths SecureTransport SourceAccount SourceArn
            SourceIdentity SourceIp SourceOrgID SourceOrgPaths SourceOwner SourceVpc SourceVpcArn
            SourceVpce TagKeys TokenIssueTime UserAgent UserId Username ViaAWSService
            VpceAccount VpceOrgID VpceOrgPaths VpcSourceIp
        """,
        "s3": """
            AccessGrantsInstanceArn AccessPointNetworkOrigin AnnotationName authType
            DataAccessPointAccount DataAccessPointArn delimiter if-match if-none-match
            InventoryAccessibleOptionalFields JobSuspendedCause locationconstraint max-keys
            object-lock-legal-hold object-lock-mode object-lock-remaining-retention-days
            object-lock-retain-until-date ObjectCreationOperation prefix RequestObjectTagKeys
            ResourceAccount signatureAge signatureversion TlsVersion VersionId x-amz-acl
            x-amz-content-sha256 x-amz-copy-source x-amz-grant-full-control x-amz-grant-read
            x-amz-grant-read-acp x-amz-grant-write x-amz-grant-write-acp x-amz-metadata-directive
            x-amz-object-ownership x-amz-server-side-encryption
            x-amz-server-side-encryption-aws-kms-key-id
            x-amz-server-side-encryption-customer-algorithm x-amz-storage-class
            x-amz-website-redirect-location
        """,
    }.items()
    for name in names.split()
)
"""Condition keys by their whole name, lower case."""

_LISTINGS: Final = _names("ListBucket ListBucketVersions")

ACTIONS_OF_KEY: Final[Mapping[str, frozenset[str]]] = {
    "s3:prefix": _LISTINGS,
    "s3:delimiter": _LISTINGS,
    "s3:max-keys": _LISTINGS,
    "s3:versionid": frozenset(action for action in OBJECT_ACTIONS if "version" in action),
    "s3:x-amz-acl": _names("CreateBucket PutBucketAcl PutObject PutObjectAcl PutObjectVersionAcl"),
}
"""Condition keys that only requests for some actions have (lower case, both): of others, a condition on them
would say nothing, or everything."""

CONDITION_KEY_PREFIXES: Final = (
    "aws:principaltag/",
    "aws:requesttag/",
    "aws:resourcetag/",
    "s3:buckettag/",
    "s3:existingobjecttag/",
    "s3:requestobjecttag/",
)
"""Condition keys that end in a tag's name, lower case up to it."""


def condition_key(text: str) -> str:
    """The key as `Lookup` knows it: lower case, but for the name of a tag. ValueError for an unknown one."""
    name = text.lower()
    if name in CONDITION_KEYS:
        return name
    for prefix in CONDITION_KEY_PREFIXES:
        if name.startswith(prefix) and len(name) > len(prefix):
            return prefix + text[len(prefix) :]
    raise ValueError(text)
