"""A server between a client and the real one, which fails as a test says: answers of its own, lost answers."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Literal, NamedTuple

import aiohttp
from aiohttp import web
from yarl import URL

_HOP: frozenset[str] = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})


class Fault(NamedTuple):
    """What becomes of one request."""

    status: int = 200
    headers: Mapping[str, str] = {}
    body: str = "{}"
    lost: Literal["no", "request", "answer"] = "no"
    """Whether the connection breaks: before the real server hears of it, or once it has answered."""


class Seen(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Faults:
    """Fails requests in the order in which faults were planned, and passes on all others."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._planned: list[tuple[str, Fault]] = []
        self.seen: list[Seen] = []
        self.url = ""

    def plan(self, call: str, *faults: Fault) -> None:
        """Let the next requests fail whose method and path begin with ``call``, one for each fault."""
        self._planned += [(call, fault) for fault in faults]

    def of(self, call: str) -> list[Seen]:
        """Return the requests that begin so, in the order in which they came."""
        return [seen for seen in self.seen if f"{seen.method} {seen.path}".startswith(call)]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        application = web.Application(client_max_size=2**27)
        application.router.add_route("*", "/{path:.*}", self._serve)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.seen.append(Seen(request.method, request.raw_path, dict(request.headers), body))
        fault = self._next(f"{request.method} {request.raw_path}")
        if fault is None:
            return await self._passed_on(request, body)
        if fault.lost == "answer":
            await self._passed_on(request, body)
        if fault.lost != "no":
            assert request.transport is not None
            request.transport.abort()
        return web.Response(
            status=fault.status, headers={"content-type": "application/json", **fault.headers}, text=fault.body
        )

    def _next(self, call: str) -> Fault | None:
        for at, (start, fault) in enumerate(self._planned):
            if call.startswith(start):
                del self._planned[at]
                return fault
        return None

    async def _passed_on(self, request: web.Request, body: bytes) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        url = URL(f"{self._server_url}{request.raw_path}", encoded=True)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, url, headers=headers, data=body) as answer,
        ):
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())
