"""The roster: which drives hold the journal now. Small, on every drive, and the arithmetic of quorums.

Terms. A deployment has n drives. The journal is kept whole on `copies` of them (m + 1), its *members*.
An *epoch* is a span of the journal under one roster; it grows with every change of membership and
every start. It is made of the ledger's *incarnation* (one per start) and a counter, so that two
ledgers can never mean different rosters by one epoch.

What the sizes are for (argued in journal.py):
- write quorum: a roster counts only when it is durable on this many drives;
- a start that misses fewer drives than that sees every roster that counts;
- majority: fewer members than this take no commands.
"""

import json
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Self

import xxhash

from objstore import durable
from objstore.meta.segment import NO_LINK, Point

ROSTER_NAME: Final = "roster"
FORMAT: Final = 1
_COUNTER_BITS: Final = 20


def first_epoch(incarnation: int) -> int:
    """The epoch that an incarnation begins with."""
    return incarnation << _COUNTER_BITS


def incarnation_of(epoch: int) -> int:
    """The incarnation that an epoch belongs to."""
    return epoch >> _COUNTER_BITS


@dataclass(frozen=True, slots=True)
class Roster:
    """Who holds the journal in one epoch, and where in the chain that epoch begins."""

    epoch: int
    base: Point
    """The epoch's first record follows this one. Records of earlier epochs after it are void."""
    members: tuple[int, ...]
    """Numbers of the drives that hold every record up to `base`, and on which each later one is
    durable before it is acknowledged. In order."""
    drives: tuple[int, ...]
    """Numbers of all drives of the deployment, also of those away. In order."""
    copies: int
    """m + 1: how many members there should be."""
    schema: int
    """The schema version of the rows in snapshots and records from `base` on."""

    @property
    def majority(self) -> int:
        """Members without which nothing is committed: more than half of those there should be."""
        return self.copies // 2 + 1

    @property
    def write_quorum(self) -> int:
        """Drives on which a roster must be durable to count."""
        return min(self.copies, len(self.drives) // 2 + 1)

    def is_sure(self, seen: Collection[int]) -> bool:
        """Whether no later roster counts, given that none is on the drives `seen` (by number)."""
        return sum(number not in seen for number in self.drives) < self.write_quorum

    def has_quorum(self, holders: Collection[int]) -> bool:
        """Whether a roster after this one counts when durable on `holders`."""
        return sum(number in holders for number in self.drives) >= self.write_quorum

    def has_promise_quorum(self, holders: Collection[int]) -> bool:
        """Whether an incarnation promised to `holders` will be seen by every later start that may write."""
        needed = max(self.write_quorum, len(self.drives) - self.write_quorum + 1)
        return sum(number in holders for number in self.drives) >= needed

    def after(self, base: Point, members: Iterable[int], *, drives: Iterable[int] | None = None) -> Self:
        """The next roster of the same incarnation."""
        return replace(
            self,
            epoch=self.epoch + 1,
            base=base,
            members=tuple(sorted(members)),
            drives=self.drives if drives is None else tuple(sorted(drives)),
        )


@dataclass(frozen=True, slots=True)
class Page:
    """What one drive's roster file says."""

    roster: Roster | None
    """None on a drive that was promised an incarnation and never saw a roster."""
    promised: int
    """No incarnation up to this one may begin any more."""


def encode(page: Page) -> bytes:
    """The file's bytes: JSON for the eye, with a checksum over its canonical form."""
    roster: dict[str, Any] | None = None
    if page.roster is not None:
        base = {"sequence": page.roster.base.sequence, "checksum": page.roster.base.checksum.hex()}
        roster = asdict(page.roster) | {"base": base}
    document = {"format": FORMAT, "promised": page.promised, "roster": roster}
    return json.dumps(document | {"checksum": _checksum(document)}, indent=1).encode()


def decode(data: bytes) -> Page | None:
    """The page in a roster file's bytes, or None where they do not check. Raises UnknownFormat."""
    try:
        document = json.loads(data)
        told = document.pop("checksum")
        if told != _checksum(document):
            return None
        if document["format"] != FORMAT:
            raise UnknownFormat(f"roster of format {document['format']}; this program knows {FORMAT}")
        fields = document["roster"]
        if fields is None:
            return Page(None, document["promised"])
        base = Point(fields["base"]["sequence"], bytes.fromhex(fields["base"]["checksum"]))
        fields |= {"base": base, "members": tuple(fields["members"]), "drives": tuple(fields["drives"])}
        return Page(Roster(**fields), document["promised"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


class UnknownFormat(Exception):
    """A newer version of this program wrote this: nothing may be touched."""


def _checksum(document: dict[str, Any]) -> str:
    return xxhash.xxh3_128_hexdigest(json.dumps(document, sort_keys=True).encode())


def read(journal: int) -> Page | None:
    """The page on one drive (`journal`: descriptor of its journal directory); None: absent or rotten."""
    try:
        return decode(durable.read_file(journal, ROSTER_NAME))
    except FileNotFoundError:
        return None


def write(journal: int, page: Page) -> None:
    """Make the drive's page this one; durable on return."""
    durable.write_file(journal, ROSTER_NAME, encode(page))


def new(incarnation: int, members: Iterable[int], drives: Iterable[int], copies: int, schema: int) -> Roster:
    """The first roster of a deployment without a journal."""
    return Roster(
        epoch=first_epoch(incarnation),
        base=Point(0, NO_LINK),
        members=tuple(sorted(members)),
        drives=tuple(sorted(drives)),
        copies=copies,
        schema=schema,
    )
