"""The metadata engine of tests: one SQLite database in this process, one transaction per command."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

from objstore.meta import schema
from objstore.meta.interface import Command, Database, Row

P = ParamSpec("P")
R = TypeVar("R")


class SqliteDatabase:
    """Commands and queries straight on a database, in memory unless a path is given. Has the schema."""

    def __init__(self, path: str = ":memory:") -> None:
        self.connection = sqlite3.connect(
            path, isolation_level=None, cached_statements=512, check_same_thread=False
        )
        self.connection.execute("PRAGMA synchronous = OFF")
        self._sequence = 0
        self.told: list[Row] = []
        with self.transaction():
            schema.install(self)

    def __del__(self) -> None:
        self.connection.close()  # Python 3.13 warns of connections that are not

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what the block did; roll back if it raises."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def write(self, command: Command[R], now_ms: int) -> R:
        """Apply a command in a transaction of its own. Raises what it refuses."""
        with self.transaction():
            return command.apply(self, now_ms)

    def read(self, query: Callable[Concatenate[Database, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """What a query finds."""
        return query(self, *args, **kwargs)

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        return self.connection.execute(sql, parameters).rowcount

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        row: Row | None = self.connection.execute(sql, parameters).fetchone()
        return row

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return self.connection.execute(sql, parameters).fetchall()

    def many(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        self.connection.executemany(sql, parameters)

    def next_sequence(self) -> int:
        self._sequence += 1
        return self._sequence

    def tell(self, event: Row) -> None:
        self.told.append(event)

    def close(self) -> None:
        self.connection.close()
