-- The facts, schema version 1. What the tables mean together: docs/metadata_schema.md.
--
-- Read by SQLite as it stands. PostgreSQL runs it with `WITHOUT ROWID` left out, BLOB a domain over
-- bytea and the default collation "C". Every table has a declared primary key without NULL in it, as
-- SQLite's session extension asks. Keys are the UTF-8 bytes of the key: compared byte by byte.
-- A statement ends with a semicolon at the end of a line.

CREATE TABLE IF NOT EXISTS state (
    name TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE buckets (
    id BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    region TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    versioning SMALLINT NOT NULL,
    object_lock SMALLINT NOT NULL,
    mfa_delete SMALLINT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX buckets_by_name ON buckets (name);
CREATE INDEX buckets_by_owner ON buckets (owner_id, name);

CREATE TABLE bucket_subresources (
    bucket_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    document BLOB NOT NULL,
    PRIMARY KEY (bucket_id, kind)
) WITHOUT ROWID;

-- Current live versions only: what a plain listing walks.
CREATE TABLE objects (
    bucket_id BIGINT NOT NULL,
    key BLOB NOT NULL,
    version_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    modified_ms BIGINT NOT NULL,
    owner_id TEXT NOT NULL,
    size BIGINT NOT NULL,
    etag TEXT NOT NULL,
    attributes BLOB NOT NULL,
    tags BLOB,
    lock BLOB,
    blob_id BLOB,
    upload_id TEXT,
    parts_count INTEGER,
    annotation_set BIGINT,
    PRIMARY KEY (bucket_id, key)
) WITHOUT ROWID;

-- Noncurrent versions, and all delete markers, a current one too. reverse_sequence is minus the
-- version's sequence, so that the newest of a key comes first and one row comparison resumes a walk.
CREATE TABLE history (
    bucket_id BIGINT NOT NULL,
    key BLOB NOT NULL,
    reverse_sequence BIGINT NOT NULL,
    version_id TEXT NOT NULL,
    is_delete_marker SMALLINT NOT NULL,
    modified_ms BIGINT NOT NULL,
    owner_id TEXT NOT NULL,
    size BIGINT NOT NULL,
    etag TEXT NOT NULL,
    attributes BLOB NOT NULL,
    tags BLOB,
    lock BLOB,
    blob_id BLOB,
    upload_id TEXT,
    parts_count INTEGER,
    annotation_set BIGINT,
    PRIMARY KEY (bucket_id, key, reverse_sequence)
) WITHOUT ROWID;
CREATE UNIQUE INDEX history_by_version ON history (bucket_id, key, version_id);

-- Every blob that something refers to; refs is how many rows of objects, history, parts, restores and annotations do.
CREATE TABLE blobs (
    id BLOB NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL,
    locator BLOB NOT NULL,
    refs INTEGER NOT NULL
) WITHOUT ROWID;

-- Blobs that nothing refers to any more and whose bytes still lie on the drives.
CREATE TABLE garbage (
    blob_id BLOB NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL,
    locator BLOB NOT NULL,
    since_ms BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX garbage_by_age ON garbage (since_ms, blob_id);

-- Multipart uploads under way. Upload ids sort by the time they were made. sequence: what has a larger one was
-- made later. is_overtaken: the key's object was deleted since.
CREATE TABLE uploads (
    bucket_id BIGINT NOT NULL,
    key BLOB NOT NULL,
    upload_id TEXT NOT NULL,
    initiated_ms BIGINT NOT NULL,
    owner_id TEXT NOT NULL,
    attributes BLOB NOT NULL,
    tags BLOB,
    lock BLOB,
    sequence BIGINT NOT NULL,
    is_overtaken SMALLINT NOT NULL,
    PRIMARY KEY (bucket_id, key, upload_id)
) WITHOUT ROWID;

-- Parts of uploads under way, completed (they are the object's bytes) or dropped.
CREATE TABLE parts (
    upload_id TEXT NOT NULL,
    part_number INTEGER NOT NULL,
    size BIGINT NOT NULL,
    etag TEXT NOT NULL,
    modified_ms BIGINT NOT NULL,
    checksum BLOB,
    blob_id BLOB,
    salt BLOB,
    PRIMARY KEY (upload_id, part_number)
) WITHOUT ROWID;

-- Completed uploads; refs is how many rows of objects and history have their parts as bytes.
CREATE TABLE manifests (
    upload_id TEXT NOT NULL PRIMARY KEY,
    bucket_id BIGINT NOT NULL,
    key BLOB NOT NULL,
    version_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    layout BLOB NOT NULL,
    refs INTEGER NOT NULL
) WITHOUT ROWID;

-- Uploads aborted, or completed and no longer referred to, whose parts are still to be released. layout: of a
-- completed one, for those who were about to read it.
CREATE TABLE dropped_uploads (
    upload_id TEXT NOT NULL PRIMARY KEY,
    since_ms BIGINT NOT NULL,
    layout BLOB
) WITHOUT ROWID;

-- Blobs that may lie at a tier though nothing refers to them: written before their bytes are sent there, gone
-- with the command that refers to them, or with the one that makes garbage of them.
CREATE TABLE tier_intents (
    blob_id BLOB NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL,
    locator BLOB NOT NULL,
    since_ms BIGINT NOT NULL
) WITHOUT ROWID;

-- Multipart versions on their way to a tier: upload_id is that of the copy, whose parts come one by one.
CREATE TABLE transitions (
    bucket_id BIGINT NOT NULL,
    key BLOB NOT NULL,
    version_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    upload_id TEXT NOT NULL,
    since_ms BIGINT NOT NULL,
    PRIMARY KEY (bucket_id, key, version_id)
) WITHOUT ROWID;

-- Archived versions that RestoreObject was asked for. expires_ms is 0 until the restored copy (blob_id, or the
-- parts of upload_id) is whole.
CREATE TABLE restores (
    bucket_id BIGINT NOT NULL,
    key BLOB NOT NULL,
    version_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    days INTEGER NOT NULL,
    requested_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    blob_id BLOB,
    upload_id TEXT,
    PRIMARY KEY (bucket_id, key, version_id)
) WITHOUT ROWID;
CREATE INDEX restores_by_expiry ON restores (expires_ms, bucket_id, key, version_id);

CREATE TABLE repairs (
    blob_id BLOB NOT NULL PRIMARY KEY,
    reason TEXT NOT NULL,
    queued_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    attempts INTEGER NOT NULL,
    report BIGINT NOT NULL -- sequence of the last time the blob was reported
) WITHOUT ROWID;
CREATE INDEX repairs_by_due ON repairs (due_ms, blob_id);

-- Events to be told to targets, written with the change that they tell of; gone when they are delivered.
-- about: what the request knew (JSON), version_id to time_ms: what came of it.
CREATE TABLE outbox (
    sequence BIGINT NOT NULL PRIMARY KEY,
    target TEXT NOT NULL,
    bucket_id BIGINT NOT NULL,
    key BLOB NOT NULL,
    event TEXT NOT NULL,
    about BLOB NOT NULL,
    version_id TEXT,
    size BIGINT,
    etag TEXT,
    time_ms BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX outbox_by_target ON outbox (target, sequence);

-- Versions, delete markers and changes of versions that are still to be replicated, written with the change.
-- Of the rows for one target and key only the oldest has a due time that ever comes: it goes first.
CREATE TABLE replications (
    sequence BIGINT NOT NULL PRIMARY KEY,
    target TEXT NOT NULL,
    bucket_id BIGINT NOT NULL,
    key BLOB NOT NULL,
    version_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    size BIGINT NOT NULL,
    queued_ms BIGINT NOT NULL,
    due_ms BIGINT NOT NULL,
    attempts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX replications_by_key ON replications (target, bucket_id, key, sequence);
CREATE INDEX replications_by_due ON replications (target, due_ms, sequence);

-- Named texts on versions. A version with annotations has a set of its own, which goes where the version goes.
CREATE TABLE annotations (
    annotation_set BIGINT NOT NULL,
    name BLOB NOT NULL,
    size BIGINT NOT NULL,
    etag TEXT NOT NULL,
    modified_ms BIGINT NOT NULL,
    attributes BLOB NOT NULL,
    blob_id BLOB NOT NULL,
    PRIMARY KEY (annotation_set, name)
) WITHOUT ROWID;

-- Sets whose versions are gone, and whose annotations are still to be released.
CREATE TABLE dropped_annotations (
    annotation_set BIGINT NOT NULL PRIMARY KEY,
    since_ms BIGINT NOT NULL
) WITHOUT ROWID;

-- Renames that were done, by what their clients called them; forgotten after a day.
CREATE TABLE rename_tokens (
    bucket_id BIGINT NOT NULL,
    token TEXT NOT NULL,
    digest BLOB NOT NULL,
    renamed_ms BIGINT NOT NULL,
    PRIMARY KEY (bucket_id, token)
) WITHOUT ROWID;
CREATE INDEX rename_tokens_by_age ON rename_tokens (renamed_ms, bucket_id, token);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    email TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    is_root SMALLINT NOT NULL,
    is_enabled SMALLINT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX users_by_name ON users (name);

CREATE TABLE access_keys (
    access_key TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    secret_sealed BLOB NOT NULL,
    created_ms BIGINT NOT NULL,
    is_enabled SMALLINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX access_keys_by_user ON access_keys (user_id, access_key);

-- Devices that show codes. last_step: the time step of the newest code that was taken; failures: how many wrong
-- ones came since, the last at failed_ms.
CREATE TABLE mfa_devices (
    serial TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL,
    secret_sealed BLOB NOT NULL,
    created_ms BIGINT NOT NULL,
    last_step BIGINT NOT NULL,
    failures INTEGER NOT NULL,
    failed_ms BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX mfa_devices_by_user ON mfa_devices (user_id, serial);

-- The keys that seal data keys, each version of them: SSE-S3's own, and those of the local keyring.
-- is_enabled is the same in all versions of a key.
CREATE TABLE master_keys (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    secret_sealed BLOB NOT NULL,
    created_ms BIGINT NOT NULL,
    is_enabled SMALLINT NOT NULL,
    PRIMARY KEY (name, version)
) WITHOUT ROWID;
