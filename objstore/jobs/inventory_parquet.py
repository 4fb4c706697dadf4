"""Inventory files in Parquet, by way of DuckDB (optional extra `select`)."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from objstore.jobs.inventory_files import Column

MEMORY_LIMIT: Final = "256MB"
IS_AVAILABLE: Final = importlib.util.find_spec("duckdb") is not None


def write_parquet(columns: Sequence[Column], raw: Path, made: Path) -> None:
    """Make the Parquet file `made` of the lines of `inventory_files.raw_rows` in the file `raw`.

    Blocks for as long as it takes, without the interpreter's lock. The paths are our own: they may hold
    no quote.
    """
    import duckdb

    read = ", ".join(
        f"'{column.parquet_name}': '{'BIGINT' if column.type == 'TIMESTAMP_MS' else column.type}'"
        for column in columns
    )
    shown = ", ".join(_shown(column) for column in columns)
    settings: dict[str, Any] = {"memory_limit": MEMORY_LIMIT, "threads": 1, "temp_directory": str(raw.parent)}
    with duckdb.connect(":memory:", config=settings) as database:
        database.execute(
            f"COPY (SELECT {shown} FROM read_csv('{raw}', header = false, delim = ',', quote = '\"', "  # noqa: S608
            f"escape = '\"', nullstr = '', new_line = '\\n', auto_detect = false, columns = {{{read}}})) "
            f"TO '{made}' (FORMAT parquet, COMPRESSION zstd)"
        )


def _shown(column: Column) -> str:
    name = f'"{column.parquet_name}"'
    if column.name == "Key":
        return f"url_decode({name}) AS {name}"
    return (
        f"CAST(make_timestamp_ms({name}) AS TIMESTAMP_MS) AS {name}"
        if column.type == "TIMESTAMP_MS"
        else name
    )
