"""Replication rules: put with a bucket, asked for with every change."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from objstore.meta.commands import Candidate, SetReplication
from objstore.meta.commands.buckets import REPLICATION
from objstore.meta.interface import BucketStateInvalid
from objstore.model import Bucket, Identity, Versioning
from objstore.s3 import xml
from objstore.s3.documents import replication
from objstore.s3.documents.replication import ReplicationConfiguration, ReplicationRule, Target
from objstore.s3.errors import AccessDenied, InvalidRequest
from objstore.service.buckets import Buckets
from objstore.service.facts import Facts
from objstore.service.subresources import Subresources

EVERYONE: Final = "*"
CACHE_MAX: Final = 10_000
"""Buckets whose rules are remembered as judged; past it the cache starts anew."""


class Replications:
    """The replication rules of all buckets, as one process sees them."""

    def __init__(
        self,
        facts: Facts,
        subresources: Subresources,
        buckets: Buckets,
        remotes: Mapping[str, Collection[str]],
    ) -> None:
        """`remotes` are the names of other servers, and of the users who may have buckets sent there."""
        self._facts = facts
        self._subresources = subresources
        self._buckets = buckets
        self._remotes = remotes
        self._judged: dict[int, tuple[ReplicationConfiguration, Sequence[tuple[str, Candidate]]]] = {}

    def candidates(self, bucket: Bucket, key: str) -> tuple[Candidate, ...]:
        """The rules that may send on what happens to a key, the first one first. Raises Unavailable.

        Asked with every change: a thousand rules take some ten microseconds.
        """
        document = self.rules(bucket)
        if document is None:
            return ()
        known = self._judged.get(bucket.id)
        if known is None or known[0] is not document:
            if len(self._judged) >= CACHE_MAX:
                self._judged.clear()
            known = self._judged[bucket.id] = (document, by_prefix(document))
        return tuple([candidate for prefix, candidate in known[1] if key.startswith(prefix)])

    def rules(self, bucket: Bucket) -> ReplicationConfiguration | None:
        """The bucket's rules. Raises Unavailable."""
        document: ReplicationConfiguration | None = self._subresources.find(bucket, REPLICATION)
        return document

    async def put(self, bucket: Bucket, document: ReplicationConfiguration, sender: Identity) -> None:
        """Keep a document; rules that say so will send what is there already, too.

        Raises MalformedXML, InvalidArgument, InvalidRequest (versioning is not enabled here or there, a
        destination that is not there), AccessDenied (one that is not the sender's to use); Refusal.
        """
        document = replication.checked(document)
        if bucket.versioning is not Versioning.ENABLED:
            raise _not_versioned()
        for arn in dict.fromkeys(rule.destination.bucket for rule in document.rules):
            self._check(bucket, Target.parse(arn), sender)
        resync = any(map(replication.replicates_existing, document.rules))
        try:
            await self._facts.write(SetReplication(bucket.id, xml.dumps(document), resync))
        except BucketStateInvalid as exc:
            raise _not_versioned() from exc

    def _check(self, bucket: Bucket, target: Target, sender: Identity) -> None:
        if target.remote is None:
            self.here(bucket, target)
            return
        users = self._remotes.get(target.remote)
        if users is None:
            raise InvalidRequest("Destination bucket must exist.")
        if not sender.is_root and sender.name not in users and EVERYONE not in users:
            raise AccessDenied

    def here(self, bucket: Bucket, target: Target) -> Bucket:
        """The bucket of this server that versions of `bucket` may go to.

        Raises InvalidRequest; AccessDenied where it belongs to somebody else, be it since today.
        """
        found = self._buckets.find(target.bucket)
        if found is None:
            raise InvalidRequest("Destination bucket must exist.")
        if found.owner_id != bucket.owner_id:
            raise AccessDenied
        if found.id == bucket.id:
            raise InvalidRequest("Destination bucket cannot be the same as the source bucket.")
        if found.versioning is not Versioning.ENABLED:
            raise InvalidRequest("Destination bucket must have versioning enabled.")
        return found


def candidates(
    document: ReplicationConfiguration, key: str, rule_id: str | None = None, *, existing_only: bool = False
) -> tuple[Candidate, ...]:
    """The rules (of this id alone, if one is given) that a key may go by, as the ledger judges them.

    `existing_only`: those alone that ask for what was there before them.
    """
    return tuple(
        _candidate(rule)
        for rule in replication.rules_for(document, key, rule_id)
        if not existing_only or replication.replicates_existing(rule)
    )


def by_prefix(document: ReplicationConfiguration) -> list[tuple[str, Candidate]]:
    """The enabled rules, the first one first, each with the prefix of its keys."""
    return [(replication.prefix_of(rule), _candidate(rule)) for rule in replication.in_order(document)]


def _candidate(rule: ReplicationRule) -> Candidate:
    return Candidate(
        rule.destination.bucket,
        replication.tags_wanted(rule),
        replication.replicates_markers(rule),
        replication.replicates_changes_of_replicas(rule),
    )


def _not_versioned() -> InvalidRequest:
    return InvalidRequest("Versioning must be 'Enabled' on the bucket to apply a replication configuration")
