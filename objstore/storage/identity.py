"""Who a drive is: the identity file `objstore.json`, and the membership that all drives agree on.

The file is written by an explicit act only (first start on blank directories, `objstore drive add`,
`objstore drive replace`), so that a missing mount never looks like a fresh disk. Every drive carries
the whole membership; the highest epoch wins. A drive that another one's membership no longer names
was replaced and is refused.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from xxhash import xxh3_64_hexdigest

IDENTITY_FILE: Final = "objstore.json"
KIND: Final = "objstore drive"
FORMAT_VERSION: Final = 1
FORMING_EPOCH: Final = 0
"""The epoch of drives whose deployment was never finished forming: nothing was stored on them yet."""


class IdentityDamaged(Exception):
    """The file is there but does not say who the drive is. Says why."""


class IdentityNewer(Exception):
    """The file was written by a newer version than this one understands: touch nothing."""


@dataclass(frozen=True, slots=True)
class Membership:
    """Which drives make up the deployment. Numbers are never used again."""

    deployment: str
    epoch: int
    data_shards: int
    parity_shards: int
    drives: Mapping[int, str]
    """Drive uuid by number, of the drives that belong now."""
    next_number: int
    paths: Mapping[int, str]
    """Where each drive lay when it was added: a hint for people and `replace`, never believed."""

    def changed(self, *, add: str, path: str, remove: int | None = None) -> "Membership":
        """The next epoch's membership, with drive `add` under a new number and without number `remove`."""
        drives = {number: uuid for number, uuid in self.drives.items() if number != remove}
        paths = {number: where for number, where in self.paths.items() if number != remove}
        return replace(
            self,
            epoch=self.epoch + 1,
            drives={**drives, self.next_number: add},
            next_number=self.next_number + 1,
            paths={**paths, self.next_number: path},
        )


@dataclass(frozen=True, slots=True)
class Identity:
    """What one drive's identity file says."""

    uuid: str
    number: int
    created_ms: int
    membership: Membership

    def dumps(self) -> bytes:
        """The identity file."""
        fields = asdict(self.membership)
        for name in ("drives", "paths"):
            fields[name] = {str(number): value for number, value in sorted(fields[name].items())}
        document = {
            "kind": KIND,
            "format_version": FORMAT_VERSION,
            "uuid": self.uuid,
            "number": self.number,
            "created_ms": self.created_ms,
            **fields,
        }
        return json.dumps({**document, "checksum": _checksum(document)}, indent=2).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> "Identity":
        """From the identity file. Raises IdentityDamaged, IdentityNewer."""
        try:
            document = json.loads(data)
            if document["kind"] != KIND:
                raise IdentityDamaged(f"kind is {document['kind']!r}")
            if document["format_version"] > FORMAT_VERSION:
                raise IdentityNewer(
                    f"format version {document['format_version']}, this server knows up to {FORMAT_VERSION}"
                )
            checksum = document.pop("checksum")
            if checksum != _checksum(document):
                raise IdentityDamaged("its checksum does not match")
            membership = Membership(
                deployment=document["deployment"],
                epoch=document["epoch"],
                data_shards=document["data_shards"],
                parity_shards=document["parity_shards"],
                drives={int(number): uuid for number, uuid in document["drives"].items()},
                next_number=document["next_number"],
                paths={int(number): path for number, path in document["paths"].items()},
            )
            return cls(document["uuid"], document["number"], document["created_ms"], membership)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise IdentityDamaged(f"it cannot be read: {exc}") from exc


def _checksum(document: Mapping[str, Any]) -> str:
    return xxh3_64_hexdigest(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
