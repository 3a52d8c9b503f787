"""A reader of server-sent events over raw HTTP."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
from aiohttp import ClientResponse

from tests.api.client import Client


class Event(NamedTuple):
    """An event with its id; of a comment only the text."""

    id: str
    data: Any
    comment: str = ""

    @property
    def number(self) -> int:
        return int(self.id.partition("-")[2])


class Events:
    """The events of an answer that is under way."""

    def __init__(self, response: ClientResponse) -> None:
        self.response = response

    async def next(self) -> Event | None:
        """Return the next event or comment; None at the end."""
        fields: dict[str, str] = {}
        async for line in self.response.content:
            text = line.decode().rstrip("\n")
            if not text:
                return Event(fields.get("id", ""), msgspec.json.decode(fields.get("data", "null")), fields.get("", ""))
            name, _, value = text.partition(":")
            fields[name] = value.removeprefix(" ")
        return None

    async def take(self, count: int) -> list[Any]:
        """Return the data of so many events."""
        found: list[Any] = []
        while len(found) < count:
            event = await self.next()
            assert event is not None, found
            if event.id:
                found.append(event.data)
        return found

    async def rest(self) -> list[Event]:
        """Return all events until the end, without comments."""
        found: list[Event] = []
        while (event := await self.next()) is not None:
            if event.id:
                found.append(event)
        return found


@contextlib.asynccontextmanager
async def reading(client: Client, run: str, key: str, **headers: str) -> AsyncIterator[Events]:
    """Follow a stream."""
    sent = {"Accept": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with client._session.get(f"/realtime/v1/streams/{run}/{key}", headers=sent) as response:
        yield Events(response)
