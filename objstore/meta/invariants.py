"""What must always hold between the tables, each as a query that finds the rows where it does not.

For `objstore check` and for tests. Every query reads whole tables: seconds per million rows.
"""

from typing import Final

from objstore.meta.commands.replication import NOT_YET_MS
from objstore.meta.interface import Database

_REFERENCES: Final = (
    "SELECT blob_id FROM objects WHERE blob_id IS NOT NULL "
    "UNION ALL SELECT blob_id FROM history WHERE blob_id IS NOT NULL "
    "UNION ALL SELECT blob_id FROM parts WHERE blob_id IS NOT NULL "
    "UNION ALL SELECT blob_id FROM restores WHERE blob_id IS NOT NULL "
    "UNION ALL SELECT blob_id FROM annotations"
)
_ANNOTATION_SETS: Final = (
    "SELECT annotation_set FROM objects WHERE annotation_set IS NOT NULL "
    "UNION ALL SELECT annotation_set FROM history WHERE annotation_set IS NOT NULL "
    "UNION ALL SELECT annotation_set FROM dropped_annotations"
)
_UPLOAD_REFERENCES: Final = (
    "SELECT upload_id FROM objects WHERE upload_id IS NOT NULL "
    "UNION ALL SELECT upload_id FROM history WHERE upload_id IS NOT NULL "
    "UNION ALL SELECT upload_id FROM restores WHERE upload_id IS NOT NULL AND expires_ms > 0"
)
_UPLOAD_OWNERS: Final = (
    "SELECT upload_id FROM uploads UNION ALL SELECT upload_id FROM manifests "
    "UNION ALL SELECT upload_id FROM dropped_uploads UNION ALL SELECT upload_id FROM transitions "
    "UNION ALL SELECT upload_id FROM restores WHERE upload_id IS NOT NULL AND expires_ms = 0"
)

INVARIANTS: Final = {
    "a blob's refs is the number of rows that refer to it, at least one": (
        f"SELECT b.id, b.refs, r.count FROM blobs b LEFT JOIN (SELECT blob_id, COUNT(*) AS count "
        f"FROM ({_REFERENCES}) AS every GROUP BY blob_id) r ON r.blob_id = b.id "
        "WHERE b.refs <> COALESCE(r.count, 0) OR b.refs < 1"
    ),
    "a set of annotations belongs to one version, or is dropped": (
        f"SELECT annotation_set FROM ({_ANNOTATION_SETS}) AS every "
        "GROUP BY annotation_set HAVING COUNT(*) > 1 UNION ALL SELECT annotation_set FROM annotations "
        f"WHERE annotation_set NOT IN ({_ANNOTATION_SETS})"
    ),
    "every blob referred to is known": (
        f"SELECT blob_id FROM ({_REFERENCES}) AS every WHERE blob_id NOT IN (SELECT id FROM blobs)"
    ),
    "no blob is both referred to and garbage": (
        "SELECT blob_id FROM garbage WHERE blob_id IN (SELECT id FROM blobs)"
    ),
    "no blob is both referred to, or garbage, and meant for a tier": (
        "SELECT blob_id FROM tier_intents WHERE blob_id IN (SELECT id FROM blobs) "
        "OR blob_id IN (SELECT blob_id FROM garbage)"
    ),
    "a manifest's refs is the number of versions and restores with its parts as bytes, at least one": (
        f"SELECT m.upload_id, m.refs, r.count FROM manifests m LEFT JOIN (SELECT upload_id, "
        f"COUNT(*) AS count FROM ({_UPLOAD_REFERENCES}) AS every GROUP BY upload_id) r "
        "ON r.upload_id = m.upload_id WHERE m.refs <> COALESCE(r.count, 0) OR m.refs < 1"
    ),
    "every version completed from an upload has its manifest": (
        f"SELECT upload_id FROM ({_UPLOAD_REFERENCES}) AS every "
        "WHERE upload_id NOT IN (SELECT upload_id FROM manifests)"
    ),
    "an upload is under way, completed, dropped or a copy that is being made, one of them only": (
        f"SELECT upload_id FROM ({_UPLOAD_OWNERS}) AS every GROUP BY upload_id HAVING COUNT(*) > 1"
    ),
    "every part belongs to an upload under way, completed, dropped or a copy that is being made": (
        f"SELECT upload_id FROM parts WHERE upload_id NOT IN ({_UPLOAD_OWNERS})"
    ),
    "no version has both a blob and an upload, and no delete marker has either": (
        "SELECT key FROM objects WHERE blob_id IS NOT NULL AND upload_id IS NOT NULL "
        "UNION ALL SELECT key FROM history WHERE blob_id IS NOT NULL AND upload_id IS NOT NULL "
        "UNION ALL SELECT key FROM history "
        "WHERE is_delete_marker = 1 AND (blob_id IS NOT NULL OR upload_id IS NOT NULL)"
    ),
    "the current version is newer than all in history, by sequence and by time": (
        "SELECT o.bucket_id, o.key FROM objects o JOIN history h ON h.bucket_id = o.bucket_id "
        "AND h.key = o.key WHERE -h.reverse_sequence >= o.sequence OR h.modified_ms > o.modified_ms"
    ),
    "without a current version the newest in history is a delete marker": (
        "SELECT h.bucket_id, h.key FROM history h JOIN (SELECT bucket_id, key, "
        "MIN(reverse_sequence) AS newest FROM history GROUP BY bucket_id, key) n "
        "ON n.bucket_id = h.bucket_id AND n.key = h.key AND n.newest = h.reverse_sequence "
        "LEFT JOIN objects o ON o.bucket_id = h.bucket_id AND o.key = h.key "
        "WHERE h.is_delete_marker = 0 AND o.key IS NULL"
    ),
    "a version id occurs once per key": (
        "SELECT o.bucket_id, o.key FROM objects o JOIN history h ON h.bucket_id = o.bucket_id "
        "AND h.key = o.key AND h.version_id = o.version_id"
    ),
    "a bucket that was never versioned has no history and only null versions": (
        "SELECT b.id FROM buckets b WHERE b.versioning = 0 AND (EXISTS (SELECT 1 FROM history h "
        "WHERE h.bucket_id = b.id) OR EXISTS (SELECT 1 FROM objects o WHERE o.bucket_id = b.id "
        "AND o.version_id <> 'null'))"
    ),
    "versions, uploads and configuration belong to a bucket there is": (
        "SELECT bucket_id FROM objects WHERE bucket_id NOT IN (SELECT id FROM buckets) "
        "UNION ALL SELECT bucket_id FROM history WHERE bucket_id NOT IN (SELECT id FROM buckets) "
        "UNION ALL SELECT bucket_id FROM uploads WHERE bucket_id NOT IN (SELECT id FROM buckets) "
        "UNION ALL SELECT bucket_id FROM bucket_subresources "
        "WHERE bucket_id NOT IN (SELECT id FROM buckets)"
    ),
    "of what waits for one target and key only the oldest is due": (
        "SELECT r.sequence FROM replications r JOIN (SELECT target, bucket_id, key, MIN(sequence) AS first "
        "FROM replications GROUP BY target, bucket_id, key) f ON f.target = r.target "
        "AND f.bucket_id = r.bucket_id AND f.key = r.key "
        f"WHERE (r.sequence = f.first) <> (r.due_ms < {NOT_YET_MS})"
    ),
    "every access key and device belongs to a user there is": (
        "SELECT access_key FROM access_keys WHERE user_id NOT IN (SELECT id FROM users) "
        "UNION ALL SELECT serial FROM mfa_devices WHERE user_id NOT IN (SELECT id FROM users)"
    ),
    "what only a device lets go is not left to lifecycle rules": (
        "SELECT s.bucket_id FROM bucket_subresources s JOIN buckets b ON b.id = s.bucket_id "
        "WHERE s.kind = 'lifecycle' AND b.mfa_delete = 1"
    ),
}


def violations(db: Database, limit: int = 10) -> list[str]:
    """Which invariants do not hold, each with up to `limit` rows that show it; empty when all is well."""
    found = []
    for sentence, query in INVARIANTS.items():
        rows = db.rows(f"{query} LIMIT ?", (limit,))
        if rows:
            found.append(f"not true: {sentence}: {rows!r}")
    return found
