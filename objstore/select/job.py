"""What one query needs to know, as it goes from the server to the process that runs it."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from objstore.select.records import CsvInput, Scan
from objstore.select.typed import CsvOutput, JsonOutput


@dataclass(frozen=True, slots=True)
class Job:
    """One query. Its limits are for the process; what is to be read comes after it.

    `format`: "csv", "json-lines", "json-document" or "parquet". `parquet_descriptor`: an open file of the
    process's. `has_head`: the first thing fed is the object's beginning, for the header alone.
    """

    expression: str
    format: str
    compression: str = "NONE"
    csv: CsvInput = field(default_factory=CsvInput)
    output: CsvOutput | JsonOutput = field(default_factory=CsvOutput)
    scan: Scan = field(default_factory=Scan)
    has_head: bool = False
    parquet_descriptor: int | None = None
    now_ms: int = 0
    memory_bytes: int = 256 * 1024 * 1024
    cpu_s: int = 300

    def to_json(self) -> bytes:
        """For `from_json`."""
        document = dataclasses.asdict(self)
        document["output"]["is_json"] = isinstance(self.output, JsonOutput)
        return json.dumps(document).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Job":
        """The job of these bytes."""
        document: dict[str, Any] = json.loads(data)
        output = document.pop("output")
        is_json = output.pop("is_json")
        return cls(
            csv=CsvInput(**document.pop("csv")),
            scan=Scan(**document.pop("scan")),
            output=JsonOutput(**output) if is_json else CsvOutput(**output),
            **document,
        )
