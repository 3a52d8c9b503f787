"""Large answers that nobody reads are neither kept for ever nor without bound."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from oncue.api import answers
from oncue.api.seats import Owner
from oncue.api.unread import Unread
from oncue.protocol import limits
from oncue.protocol.errors import RateLimited
from tests.api.client import Client, Running
from tests.api.tokens import minted

PAYLOAD = "x" * 400_000


@contextlib.asynccontextmanager
async def deaf(client: Client, path: str, token: str) -> AsyncIterator[asyncio.StreamReader]:
    """Ask for something, and read nothing of it."""
    place = urlsplit(client.url)
    connection = socket.socket()
    # Or the kernel takes what nobody reads.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (place.hostname, place.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1_024)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    try:
        yield reader
    finally:
        writer.transport.abort()


async def large_tag(client: Client) -> str:
    """Make runs that take megabytes to show, and return where they are followed."""
    for _ in range(12):
        await client.trigger("add", PAYLOAD, tags=["large"])
    return "/realtime/v1/runs?offset=-1&tags=large"


async def until_unread(running: Running, at_least: int) -> None:
    async with asyncio.timeout(10):
        while len(running[0].unread) < at_least:
            await asyncio.sleep(0.005)


async def test_answer_that_nobody_reads_is_dropped(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, token = await large_tag(client), await minted(client, "read:tags:large")
    monkeypatch.setattr(answers, "_SEND_SECONDS", 0.2)

    async with deaf(client, path, token) as reader:
        await until_unread(running, 3_000_000)
        async with asyncio.timeout(10):
            while len(running[0].unread):
                await asyncio.sleep(0.01)

        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(4_000_000)


async def test_token_may_leave_no_more_unread_than_its_share(
    client: Client, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, token = await large_tag(client), await minted(client, "read:tags:large")
    monkeypatch.setattr(limits, "MAX_TOKEN_UNREAD_BYTES", 1_000_000)

    async with deaf(client, path, token), Client(client.url, token) as browser:
        await until_unread(running, 3_000_000)
        refused = await browser.get(path)
        whole = await client.get(path)

    assert (refused.status, refused.body["code"]) == (429, "rate_limited")
    assert refused.headers["access-control-allow-origin"] == "*"
    assert "bytes of answers to this token are not read yet; read them, then ask again" in refused.body["error"]
    assert len(whole.body) == 13
    async with asyncio.timeout(10):
        while len(running[0].unread):
            await asyncio.sleep(0.01)


def test_environment_leaves_room_for_answers_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    unread = Unread()
    monkeypatch.setattr(limits, "MAX_UNREAD_BYTES", 100)
    with unread.kept(Owner(1, b"a"), 50), unread.kept(Owner(1), 1_000), unread.kept(None, 1_000):
        with pytest.raises(RateLimited, match="of this environment are not read"), unread.kept(Owner(1, b"b"), 1):
            pytest.fail("there was room")
        with unread.kept(Owner(2, b"b"), 25):
            assert len(unread) == 75

    assert (len(unread), unread._bytes, unread._of) == (0, {}, {})
