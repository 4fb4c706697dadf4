"""Events to PostgreSQL: `postgresql://user:password@host:5432/database?table=NAME`.

Taken means a committed insert. The table needs a column `event` of type jsonb; where there is no such table
it is made, with the order of arrival (`id`) and the time (`received`) besides. `sslmode` and `sslrootcert`
mean what they do to PostgreSQL's own programs.
"""

import re
from typing import Any, Final

import asyncpg

from objstore.events.broker import CONNECT_S, SEND_S, Broker
from objstore.events.target_url import TargetUrl
from objstore.events.targets import Message

PORT: Final = 5432
CONNECTIONS_MAX: Final = 4
TABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}(\.[A-Za-z_][A-Za-z0-9_]{0,62})?")
SSL_MODES: Final = ("disable", "prefer", "allow", "require", "verify-ca", "verify-full")


class Postgresql(Broker[Any]):
    """A row of one table. The connection is a pool of a few."""

    def __init__(self, text: str) -> None:
        """Raises ValueError."""
        url = TargetUrl.parse(text, PORT)
        super().__init__(url)
        url.require_parameters(("table",), ("sslmode", "sslrootcert"))
        if TABLE.fullmatch(url.parameters["table"]) is None:
            raise ValueError("the table must be a plain name, or schema.name")
        if url.parameters.get("sslmode", "prefer") not in SSL_MODES:
            raise ValueError(f"sslmode must be one of {', '.join(SSL_MODES)}")
        if not url.path:
            raise ValueError("the path must be the name of a database")
        self._table = ".".join(f'"{part}"' for part in url.parameters["table"].split("."))

    async def open(self) -> Any:
        """See `Broker.open`."""
        url = self.url
        given = {name: url.parameters[name] for name in ("sslmode", "sslrootcert") if name in url.parameters}
        pool = await asyncpg.create_pool(
            "postgresql:///?" + "&".join(f"{name}={value}" for name, value in given.items()),
            host=[host for host, _ in url.hosts],
            port=[port for _, port in url.hosts],
            user=url.username,
            password=url.password,
            database=url.path,
            min_size=1,
            max_size=CONNECTIONS_MAX,
            timeout=CONNECT_S,
            command_timeout=SEND_S,
            server_settings={"application_name": "objstore"},
        )
        try:
            await self._provide_table(pool)
        except BaseException:
            pool.terminate()
            raise
        return pool

    async def _provide_table(self, pool: Any) -> None:
        if await pool.fetchval("SELECT to_regclass($1)", self._table) is None:
            await pool.execute(
                f"CREATE TABLE IF NOT EXISTS {self._table} ("
                "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
                "received timestamptz NOT NULL DEFAULT now(), "
                "event jsonb NOT NULL)"
            )

    async def hand_over(self, connection: Any, message: Message) -> None:
        """See `Broker.hand_over`."""
        document = message.document.decode()
        await connection.execute(f"INSERT INTO {self._table} (event) VALUES ($1)", document)  # noqa: S608

    async def shut(self, connection: Any) -> None:
        """See `Broker.shut`. What is under way is broken off: it is sent again."""
        connection.terminate()
