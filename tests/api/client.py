"""A server to call over HTTP: JSON in, status and JSON out."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from typing import Any, NamedTuple, Self

import aiohttp
import msgspec
from yarl import URL

from oncue.api.serve import serve
from oncue.api.services import Services
from oncue.api.settings import ServerSettings
from oncue.protocol import ids
from oncue.sdk.requests import API_VERSION

Running = list[Services]
"""The services of servers, in the order in which they were started."""

DEV_KEY = "tr_dev_sk_000000000000000000000000"
NDJSON = {"Content-Type": "application/x-ndjson"}


class Reply(NamedTuple):
    """What the server answered."""

    status: int
    body: Any
    headers: dict[str, str]


class Client:
    """Calls a server with a key."""

    def __init__(self, url: str, key: str | None = DEV_KEY) -> None:
        self.url = url
        headers = {"x-trigger-api-version": API_VERSION}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        self._session = aiohttp.ClientSession(url, headers=headers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def send(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """Send a request; a path is sent as it is, encoded by the caller."""
        data = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        url = URL(path, encoded=True)
        async with self._session.request(method, url, **{"data": data, **options}) as response:
            raw = await response.read()
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, msgspec.json.decode(raw) if raw else None, headers)

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.send("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Reply:
        return await self.send("POST", path, body, **options)

    async def trigger(self, task: str, payload: Any = None, **options: Any) -> str:
        """Trigger a run, and return its id."""
        reply = await self.post(f"/api/v1/tasks/{task}/trigger", {"payload": payload, "options": options})
        assert reply.status == 200, reply
        return str(reply.body["id"])

    async def announce(self, *tasks: str, places: int = 10, **declared: Any) -> str:
        """Announce a worker, and return its id."""
        worker = ids.new_worker_id()
        reply = await self.post(
            "/api/v1/work/announce",
            {
                "workerId": worker,
                "tasks": [{"id": task, **declared} for task in tasks],
                "places": places,
                "hostname": "test",
                "pid": 1,
                "sdkVersion": "0",
            },
        )
        assert reply.status == 200, reply
        return worker

    async def claim(self, worker: str, *, places: int = 10, wait_ms: int = 0, **more: Any) -> Any:
        """Claim, and return the answer's body."""
        request = {"workerId": worker, "places": places, "waitMs": wait_ms, **more}
        reply = await self.post("/api/v1/work/claim", request)
        assert reply.status == 200, reply
        return reply.body

    async def claim_runs(self, worker: str, *, places: int = 10, wait_ms: int = 0) -> list[str]:
        """Claim, and return the ids of the runs."""
        answer = await self.claim(worker, places=places, wait_ms=wait_ms)
        return [assignment["runId"] for assignment in answer.get("assignments", [])]

    async def succeed(self, worker: str, assignment: Any, output: Any = None) -> Any:
        """Report a success, and return the answer's body."""
        outcome = {
            "outcome": "succeeded",
            "runId": assignment["runId"],
            "epoch": assignment["epoch"],
            "ranMs": 5,
            "output": output,
        }
        reply = await self.post("/api/v1/work/outcomes", {"workerId": worker, "outcomes": [outcome]})
        assert reply.status == 200, reply
        return reply.body


@contextlib.asynccontextmanager
async def served(database_url: str, **settings: Any) -> AsyncIterator[str]:
    """Serve for the length of an ``async with``; yields the URL."""
    started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    folder = tempfile.mkdtemp()
    options = {"port": 0, "bootstrap_key": DEV_KEY, "objects": folder, **settings}
    server = asyncio.create_task(
        serve(ServerSettings(database_url=database_url, **options), started=started.set_result)
    )
    either: list[asyncio.Future[Any]] = [server, started]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if server.done():
        await server
    try:
        yield started.result()
    finally:
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server
        shutil.rmtree(folder)


async def until_held(held: int, polls: Any) -> None:
    """Wait until so many claims are held by a server."""
    async with asyncio.timeout(10):
        while len(polls) != held:
            await asyncio.sleep(0.005)
