"""Every Prometheus metric, declared once, and how the processes of one server are merged into one page.

Each process writes its numbers to mapped files in $PROMETHEUS_MULTIPROC_DIR (prometheus_client's
multiprocess mode), named after the process's role ("worker-0", "ledger"): a restarted worker goes on
counting where its predecessor stopped, so counters never jump back and files do not pile up. Without
that variable (tests, the command line) the numbers stay in this process.

Labels never hold anything a client chose (bucket, key, access key): their number is bounded. The one
exception are the metrics of a bucket's own metrics configurations, which name bucket and configuration:
at most FILTERS_MAX in each process, and none is shown any more once its configuration is gone.
"""

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

from objstore.log import ROLE_VARIABLE

DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_role: Final = os.environ.get(ROLE_VARIABLE, f"pid-{os.getpid()}")
if DIRECTORY_VARIABLE in os.environ:
    values.ValueClass = values.MultiProcessValue(lambda: _role)  # type: ignore[no-untyped-call]

FILTERS_MAX: Final = 2000
"""Metrics configurations that one process counts for; requests for further ones are not counted."""
_FILTER_LABELS: Final = ("bucket", "filter")
_FILTER_PREFIX: Final = "objstore_bucket_"

_FILTERED_LATENCY_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_LATENCY_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_COMMIT_S: Final = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 2, 5)
_BATCH: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

# The S3 door. `operation` is AWS's name or "Unknown"; `status` the HTTP status as three digits.
REQUEST_SECONDS: Final = Histogram(
    "objstore_request_seconds",
    "Time from the request's head to the last byte of its answer; its _count is the number of requests.",
    ("operation", "status"),
    buckets=_LATENCY_S,
)
REQUEST_ERRORS: Final = Counter(
    "objstore_request_errors", "Requests answered with an S3 error, by its code.", ("operation", "code")
)
RECEIVED_BYTES: Final = Counter("objstore_received_bytes", "Body bytes received from clients.")
SENT_BYTES: Final = Counter("objstore_sent_bytes", "Body bytes sent to clients.")
CONNECTIONS: Final = Gauge("objstore_connections", "Open client connections.", multiprocess_mode="livesum")
REQUESTS_UNDER_WAY: Final = Gauge(
    "objstore_requests_under_way", "Requests being answered now.", multiprocess_mode="livesum"
)
BUFFERED_BYTES: Final = Gauge(
    "objstore_buffered_bytes",
    "Body bytes held in memory now, of the memory budget.",
    multiprocess_mode="livesum",
)

# What buckets' metrics configurations (`filter`: their ids) count: CloudWatch's request metrics of S3.
FILTERED_REQUESTS: Final = Counter(
    "objstore_bucket_requests",
    "Requests that a metrics configuration counts, by kind: get, put, delete, head, post, list, select, "
    "other.",
    (*_FILTER_LABELS, "kind"),
)
FILTERED_ERRORS: Final = Counter(
    "objstore_bucket_errors",
    "Of these, those answered with an error, by class: 4xx, 5xx.",
    (*_FILTER_LABELS, "class"),
)
FILTERED_DOWNLOADED_BYTES: Final = Counter(
    "objstore_bucket_downloaded_bytes", "Body bytes sent in answer to them.", _FILTER_LABELS
)
FILTERED_UPLOADED_BYTES: Final = Counter(
    "objstore_bucket_uploaded_bytes", "Body bytes received with them.", _FILTER_LABELS
)
FILTERED_FIRST_BYTE_SECONDS: Final = Histogram(
    "objstore_bucket_first_byte_seconds",
    "Time from the last byte of such a request to the first byte of its answer.",
    _FILTER_LABELS,
    buckets=_FILTERED_LATENCY_S,
)
FILTERED_REQUEST_SECONDS: Final = Histogram(
    "objstore_bucket_request_seconds",
    "Time from the first byte of such a request to the last byte of its answer.",
    _FILTER_LABELS,
    buckets=_FILTERED_LATENCY_S,
)

# Drives and blobs.
DRIVE_TOTAL_BYTES: Final = Gauge(
    "objstore_drive_total_bytes",
    "Size of the drive's file system.",
    ("drive",),
    multiprocess_mode="mostrecent",
)
DRIVE_FREE_BYTES: Final = Gauge(
    "objstore_drive_free_bytes", "Space left on the drive.", ("drive",), multiprocess_mode="mostrecent"
)
DRIVE_STATE: Final = Gauge(
    "objstore_drive_state",
    "1 for the state the drive is in.",
    ("drive", "state"),
    multiprocess_mode="mostrecent",
)
DRIVE_ERRORS: Final = Counter("objstore_drive_errors", "I/O errors met on the drive.", ("drive", "operation"))
DEGRADED_WRITES: Final = Counter(
    "objstore_degraded_writes", "Blobs stored on fewer than all their drives; each was queued for repair."
)
DEGRADED_READS: Final = Counter(
    "objstore_degraded_reads", "Reads that had to decode around a missing or damaged shard."
)
AT_RISK_BLOBS: Final = Gauge(
    "objstore_at_risk_blobs",
    "Blobs known to have fewer than all shards good.",
    multiprocess_mode="mostrecent",
)

# The ledger.
LEDGER_BATCH_COMMANDS: Final = Histogram(
    "objstore_ledger_batch_commands", "Commands committed together in one batch.", buckets=_BATCH
)
LEDGER_COMMIT_SECONDS: Final = Histogram(
    "objstore_ledger_commit_seconds",
    "Time from a batch's start to its answers, journals synced.",
    buckets=_COMMIT_S,
)
LEDGER_COMMANDS: Final = Counter(
    "objstore_ledger_commands", "Commands decided, by name and outcome.", ("command", "outcome")
)
LEDGER_WAITING: Final = Gauge(
    "objstore_ledger_waiting_commands", "Commands waiting for the next batch.", multiprocess_mode="livesum"
)
LEDGER_SEQUENCE: Final = Gauge(
    "objstore_ledger_sequence", "Sequence number of the last commit.", multiprocess_mode="livemax"
)
JOURNAL_BYTES: Final = Gauge(
    "objstore_journal_bytes", "Length of the journal since the last snapshot.", multiprocess_mode="livemax"
)
JOURNAL_DRIVES: Final = Gauge(
    "objstore_journal_drives", "Drives that take the journal now.", multiprocess_mode="livemax"
)
SNAPSHOTS: Final = Counter("objstore_snapshots", "Snapshots of the index taken, by outcome.", ("outcome",))

# The night shift.
REPAIR_QUEUE: Final = Gauge(
    "objstore_repair_queue_blobs", "Blobs waiting for repair.", multiprocess_mode="mostrecent"
)
GARBAGE_QUEUE: Final = Gauge(
    "objstore_garbage_queue_blobs",
    "Blobs no longer referenced, waiting for deletion.",
    multiprocess_mode="mostrecent",
)
GARBAGE_BYTES: Final = Gauge(
    "objstore_garbage_bytes",
    "Bytes of the blobs that are no longer referenced and wait for deletion.",
    multiprocess_mode="mostrecent",
)
REPAIRED_BLOBS: Final = Counter("objstore_repaired_blobs", "Blobs repaired, by outcome.", ("outcome",))
SCRUBBED_BLOBS: Final = Counter(
    "objstore_scrubbed_blobs", "Blobs read and verified, by finding.", ("health",)
)
SCRUBBED_BYTES: Final = Counter("objstore_scrubbed_bytes", "Bytes of the blobs read and verified.")
SCRUB_CYCLE_SECONDS: Final = Gauge(
    "objstore_scrub_cycle_seconds",
    "Time in which every stored byte is verified once; 0: never.",
    multiprocess_mode="mostrecent",
)
SCRUB_PROGRESS_RATIO: Final = Gauge(
    "objstore_scrub_progress_ratio",
    "How much of the pass under way, or of the last one, is done, 0 to 1.",
    multiprocess_mode="mostrecent",
)
SCRUB_PASSES: Final = Counter("objstore_scrub_passes", "Complete passes over all blobs.")
SCRUB_ENDED_SECONDS: Final = Gauge(
    "objstore_scrub_ended_timestamp_seconds",
    "When the last complete pass ended, in seconds since 1970.",
    multiprocess_mode="mostrecent",
)
DELETED_BLOBS: Final = Counter(
    "objstore_deleted_blobs", "Blobs deleted: as garbage, or as orphans of a crash.", ("reason",)
)
DELETED_BYTES: Final = Counter("objstore_deleted_bytes", "Bytes of the blobs deleted.", ("reason",))
ORPHAN_BLOBS: Final = Gauge(
    "objstore_orphan_blobs",
    "Blobs on the drives that the metadata did not know at the last scan.",
    multiprocess_mode="mostrecent",
)
ORPHANS_HELD: Final = Gauge(
    "objstore_orphans_held_blobs",
    "Orphans not deleted because there are more than may be deleted without an operator.",
    multiprocess_mode="mostrecent",
)
EVENTS_SENT: Final = Counter(
    "objstore_events",
    "Events sent, by target and outcome: delivered, failed (sent again later), dead (given up).",
    ("target", "outcome"),
)
EVENTS_WAITING: Final = Gauge(
    "objstore_events_waiting",
    "Events that a target is still to be told of.",
    ("target",),
    multiprocess_mode="mostrecent",
)
ACCESS_LOG_LINES: Final = Counter(
    "objstore_access_log_lines",
    "Lines of buckets' access logs, by outcome: delivered, refused (by the bucket they go to), dropped (no "
    "room to keep them).",
    ("outcome",),
)
INVENTORY_REPORTS: Final = Counter(
    "objstore_inventory_reports",
    "Inventories of buckets, by outcome: written, refused (by the bucket they go to; counted hourly).",
    ("outcome",),
)
REPLICATED: Final = Counter(
    "objstore_replications",
    "Versions, delete markers and changes that were to be replicated, by outcome: completed, failed, dropped "
    "(nobody wanted them any more), postponed (sent again later).",
    ("outcome",),
)
REPLICATED_BYTES: Final = Counter("objstore_replicated_bytes", "Bytes of the versions that were replicated.")
REPLICATIONS_WAITING: Final = Gauge(
    "objstore_replications_waiting",
    "Versions, delete markers and changes that wait to be replicated.",
    multiprocess_mode="mostrecent",
)
REPLICATION_WAITING_BYTES: Final = Gauge(
    "objstore_replication_waiting_bytes",
    "Bytes of the versions that wait to be replicated.",
    multiprocess_mode="mostrecent",
)
REPLICATION_LAG_SECONDS: Final = Gauge(
    "objstore_replication_lag_seconds",
    "How long ago the oldest change was made that waits to be replicated; 0: none waits.",
    multiprocess_mode="mostrecent",
)
LIVE_EVENTS_DROPPED: Final = Counter(
    "objstore_live_events_dropped", "Events that a listener missed because it was too slow."
)
LIFECYCLE_ACTIONS: Final = Counter(
    "objstore_lifecycle_actions",
    "What lifecycle rules had run out for, by action, and what came of it (done, locked, changed; of "
    "transitions: waits, for a tier; failed).",
    ("action", "outcome"),
)
TRANSITIONED_BYTES: Final = Counter(
    "objstore_transitioned_bytes",
    "Bytes of versions moved to a tier, by its storage class.",
    ("storage_class",),
)
RESTORES: Final = Counter(
    "objstore_restores",
    "Archived versions asked back, by what came of it (done, failed, gone; ended: the copy had its time).",
    ("outcome",),
)
RESTORED_BYTES: Final = Counter("objstore_restored_bytes", "Bytes of versions fetched back from a tier.")
RESTORES_WAITING: Final = Gauge(
    "objstore_restores_waiting",
    "Archived versions asked back and not fetched yet.",
    multiprocess_mode="livesum",
)
TIER_INTENTS: Final = Gauge(
    "objstore_tier_intents",
    "Blobs that may lie at a tier though nothing refers to them yet.",
    multiprocess_mode="livesum",
)
COMPACTED_PACKS: Final = Counter(
    "objstore_compacted_packs", "Packs removed after their live blobs had moved."
)
COMPACTED_BYTES: Final = Counter("objstore_compacted_bytes", "Bytes of the packs removed.")
JOB_RUNS: Final = Counter("objstore_job_runs", "Runs of background jobs, by outcome.", ("job", "outcome"))
JOB_SECONDS: Final = Histogram(
    "objstore_job_seconds",
    "How long a run of a background job took.",
    ("job",),
    buckets=(0.1, 1, 10, 60, 600, 3600),
)
PROCESS_RESTARTS: Final = Counter(
    "objstore_process_restarts", "Child processes that ended unasked and were started again.", ("role",)
)

_request_seconds: dict[tuple[str, int], Histogram] = {}


def count_request(operation: str, status: int, seconds: float, received_bytes: int, sent_bytes: int) -> None:
    """Count one answered request. The one call of the hot path: about 3 µs."""
    histogram = _request_seconds.get((operation, status))
    if histogram is None:
        histogram = _request_seconds[operation, status] = REQUEST_SECONDS.labels(operation, str(status))
    histogram.observe(seconds)
    if received_bytes:
        RECEIVED_BYTES.inc(received_bytes)
    if sent_bytes:
        SENT_BYTES.inc(sent_bytes)


@dataclass(frozen=True, slots=True)
class Served:
    """One answered request, as metrics configurations count it."""

    kind: str
    status: int
    received_bytes: int
    sent_bytes: int
    first_byte_s: float
    total_s: float


_meters: dict[tuple[str, str], tuple[Counter, Counter, Histogram, Histogram]] = {}


def count_filtered(bucket: str, filter_id: str, served: Served) -> None:
    """Count one request for the configuration `filter_id` of a bucket."""
    slot = bucket, filter_id
    meters = _meters.get(slot)
    if meters is None:
        if len(_meters) >= FILTERS_MAX:
            return
        meters = _meters[slot] = (
            FILTERED_DOWNLOADED_BYTES.labels(*slot),
            FILTERED_UPLOADED_BYTES.labels(*slot),
            FILTERED_FIRST_BYTE_SECONDS.labels(*slot),
            FILTERED_REQUEST_SECONDS.labels(*slot),
        )
    downloaded, uploaded, first_byte, total = meters
    FILTERED_REQUESTS.labels(*slot, served.kind).inc()
    if served.status >= 400:
        FILTERED_ERRORS.labels(*slot, f"{served.status // 100}xx").inc()
    if served.sent_bytes:
        downloaded.inc(served.sent_bytes)
    if served.received_bytes:
        uploaded.inc(served.received_bytes)
    first_byte.observe(served.first_byte_s)
    total.observe(served.total_s)


class _Collector(Protocol):
    def collect(self) -> Iterable[Metric]: ...


class _Shown:
    """Everything that is collected, but for what metrics configurations counted that are gone."""

    def __init__(self, collector: _Collector, filters: Collection[tuple[str, str]]) -> None:
        self._collector = collector
        self._filters = filters

    def collect(self) -> Iterable[Metric]:
        for metric in self._collector.collect():
            if metric.name.startswith(_FILTER_PREFIX):
                metric.samples = [
                    sample
                    for sample in metric.samples
                    if (sample.labels.get("bucket", ""), sample.labels.get("filter", "")) in self._filters
                ]
            yield metric


def page(filters: Collection[tuple[str, str]] = frozenset()) -> tuple[str, bytes]:
    """Content type and body of /metrics: the sum of all processes of this server. A few ms: off the loop.

    `filters`: the metrics configurations there are, as names of buckets and ids.
    """
    registry = CollectorRegistry()
    collector: _Collector = REGISTRY
    if DIRECTORY_VARIABLE in os.environ:
        collector = MultiProcessCollector(CollectorRegistry())  # type: ignore[no-untyped-call]
    registry.register(_Shown(collector, filters))
    return CONTENT_TYPE_LATEST, generate_latest(registry)
