"""A subscriber in the Electric protocol, as the official client speaks it, over raw HTTP."""

from typing import Any
from urllib.parse import urlencode

from tests.api.client import Client, Reply

VERSION = {"x-trigger-electric-version": "1.0.0-beta.1"}
UP_TO_DATE = {"headers": {"control": "up-to-date"}}


class Subscriber:
    """Follows a shape; ``rows`` is what its client knows."""

    def __init__(self, client: Client, path: str, **query: str) -> None:
        self.client, self.path, self.query = client, path, query
        self.rows: dict[str, dict[str, Any]] = {}
        self.offset, self.handle, self.cursor = "-1", "", ""

    async def begin(self) -> "Subscriber":
        """Take the snapshot."""
        await self.ask()
        return self

    async def ask(self, *, client: Client | None = None, **query: str) -> Reply:
        """Send one request as it stands, and take in what is answered."""
        wanted = {"log": "full", "offset": self.offset, **self.query, **query}
        if self.handle:
            wanted["handle"] = self.handle
        path = f"{self.path}?{urlencode(sorted(wanted.items()))}"
        reply = await (client or self.client).get(path, headers=VERSION)
        if reply.status == 200:
            self._take(reply)
        return reply

    async def live(self, *, client: Client | None = None) -> list[dict[str, Any]]:
        """Ask for what is new, and return the rows of the answer."""
        reply = await self.ask(client=client, live="true", cursor=self.cursor)
        assert reply.status == 200, reply
        self.cursor = reply.headers["electric-cursor"]
        return [message["value"] for message in reply.body if "value" in message]

    async def until(self, column: str, value: str | None) -> None:
        """Follow until a row has a value."""
        while not any(row[column] == value for row in self.rows.values()):
            await self.live()

    @property
    def row(self) -> dict[str, Any]:
        """The only row."""
        (row,) = self.rows.values()
        return row

    def _take(self, reply: Reply) -> None:
        assert reply.body[-1] == UP_TO_DATE
        assert reply.headers["cache-control"] == "no-store"
        if self.offset == "-1":
            self.rows.clear()
        self.offset, self.handle = reply.headers["electric-offset"], reply.headers["electric-handle"]
        for message in reply.body[:-1]:
            assert message["headers"]["operation"] in {"insert", "update"}
            self.rows.setdefault(message["key"], {}).update(message["value"])
