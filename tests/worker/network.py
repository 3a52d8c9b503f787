"""The far end of a worker's network: a real HTTP server that speaks the work protocol from what a test gives it."""

import asyncio
import contextlib
import datetime
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from oncue.protocol import ids, metadata_operations, triggers, work
from oncue.protocol.codec import NOTHING
from oncue.protocol.errors import ApiError
from oncue.protocol.logs import LogLine, LogsKept, LogsRequest
from oncue.protocol.metadata import MetadataUpdate, MetadataView
from oncue.sdk.settings import Settings
from oncue.worker.isolation.warm import WarmProcess

LONG_S = 20.0
"""A deadline for what takes milliseconds, generous for a machine that is busy."""


def no_processes() -> WarmProcess:
    """Return what makes processes for isolated runs, for tests that have none."""
    return WarmProcess((), Settings("http://127.0.0.1:9", "tr_dev_sk_none"), "INFO")


class MetadataCall(NamedTuple):
    """A change of metadata that arrived."""

    run_id: str
    key: str
    update: MetadataUpdate
    outcomes_before: list[work.Outcome]


class Silent:
    """Takes lines of log, and keeps them."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []
        self.refusals: list[ApiError] = []

    async def bring_logs(self, request: LogsRequest, /) -> LogsKept:
        if self.refusals:
            raise self.refusals.pop(0)
        self.lines += request.lines
        return LogsKept(len(request.lines))


class FarEnd:
    """What a server would know; tests put runs and notices in, and read what came back."""

    def __init__(self) -> None:
        self.url = ""
        self.announcements: list[work.Announcement] = []
        self.claims: list[work.ClaimRequest] = []
        self.outcomes: list[work.Outcome] = []
        self.groups: list[int] = []
        self.beats: list[str] = []
        self.left: list[str] = []
        self.triggers: list[tuple[str, triggers.TriggerRequest]] = []
        self.updates: list[MetadataCall] = []
        self.stored: dict[str, metadata_operations.Document] = defaultdict(dict)
        """Metadata by run id."""
        self.results: dict[str, list[work.ChildResult]] = {}
        self.pages: list[tuple[int, int]] = []
        self.known = True
        self.welcome = work.Welcome("dev", lease_ms=60_000, heartbeat_ms=20_000, claim_wait_ms=30_000)
        self.refusals: dict[str, list[tuple[int, str]]] = {}
        """Answers to give instead, by endpoint: HTTP status and code; status 0 breaks the connection instead."""
        self.lost: set[str] = set()
        self.breaks_on: set[str] = set()
        """Runs whose outcomes are more than the server can take."""
        self.given_up: dict[str, list[work.Outcome]] = {}
        """What it was told of these alone."""
        self.unwanted_key = "unwanted"
        """A change of this key of a run's own metadata is refused."""
        self.before_trigger: Callable[[str, triggers.TriggerRequest], Awaitable[None]] | None = None
        self._assignments: list[work.Assignment] = []
        self._put_in_line: set[str] = set()
        self._handed_out: set[str] = set()
        self._received: set[str] = set()
        self._notices: dict[int, work.Notice] = {}
        self._notice_ids = 0
        self._changed = asyncio.Condition()

    async def give(self, *assignments: work.Assignment) -> None:
        """Put runs in line."""
        async with self._changed:
            self._assignments += assignments
            self._put_in_line |= {assignment.run_id for assignment in assignments}
            self._changed.notify_all()

    async def tell(self, make: Callable[[int], work.Notice]) -> int:
        """Send a notice, made with its id, until it is acknowledged; never before the worker has the run."""
        async with self._changed:
            self._notice_ids += 1
            notice = make(self._notice_ids)
            await self._changed.wait_for(lambda: notice.run_id not in self._put_in_line - self._received)
            self._notices[notice.notice_id] = notice
            self._changed.notify_all()
            return notice.notice_id

    async def settle(self, run: work.Assignment, child: str, *, resumes: bool = True, output: bytes = b"1") -> int:
        """Tell that a child has succeeded."""
        result = work.ChildSucceeded(child, "child", msgspec.Raw(output))
        return await self.tell(lambda id_: work.RunSettled(id_, run.run_id, run.epoch, result, resumes))

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something has come in that makes a condition true."""
        async with asyncio.timeout(LONG_S), self._changed:
            await self._changed.wait_for(lambda: bool(condition()))

    async def outcome(self, run: work.Assignment) -> work.Outcome:
        """Wait for how a run ended."""
        await self.until(lambda: self.ends_of(run))
        return self.ends_of(run)[0]

    def ends_of(self, run: work.Assignment) -> list[work.Outcome]:
        """Return how a run has ended so far."""
        return [outcome for outcome in self.outcomes if outcome.run_id == run.run_id]

    @property
    def unacknowledged(self) -> set[int]:
        return set(self._notices)

    @contextlib.asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[None]:
        app = web.Application(client_max_size=200 * 1024 * 1024)
        app.router.add_post("/api/v1/work/{endpoint}", self._work)
        app.router.add_get("/api/v1/work/batches/{batch}/results", self._page)
        app.router.add_post("/api/v1/tasks/{task}/trigger", self._trigger)
        app.router.add_put("/api/v1/runs/{run}/metadata", self._metadata)
        # A claim whose worker has gone must hand nothing out.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        server: Any = site._server
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _work(self, request: web.Request) -> web.Response:
        endpoint = request.match_info["endpoint"]
        body = await request.read()
        handle = {
            "announce": self._announce,
            "claim": self._claim,
            "outcomes": self._outcomes,
            "heartbeat": self._heartbeat,
            "leave": self._leave,
        }[endpoint]
        if refusals := self.refusals.get(endpoint):
            status, code = refusals.pop(0)
            await self._notify()
            if status:
                return web.json_response({"error": f"refused with {code}", "code": code}, status=status)
            if code == "after":
                await handle(body)
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if endpoint == "outcomes" and self._breaks(body):
            await self._notify()
            return web.json_response({"error": "Internal server error", "code": "server_error"}, status=500)
        answer = await handle(body)
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    def _breaks(self, body: bytes) -> bool:
        told = msgspec.json.decode(body, type=work.OutcomesRequest).outcomes
        if len(told) == 1 and told[0].run_id in self.breaks_on:
            self.given_up.setdefault(told[0].run_id, []).append(told[0])
        return any(outcome.run_id in self.breaks_on for outcome in told)

    async def _announce(self, body: bytes) -> work.Welcome:
        self.announcements.append(msgspec.json.decode(body, type=work.Announcement))
        await self._notify()
        return self.welcome

    async def _claim(self, body: bytes) -> work.ClaimResponse:
        claim = msgspec.json.decode(body, type=work.ClaimRequest)
        async with self._changed:
            self.claims.append(claim)
            # A worker that claims again has the answer to its last claim.
            self._received |= self._handed_out
            for notice_id in claim.acknowledged:
                self._notices.pop(notice_id, None)
            self._changed.notify_all()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(claim.wait_ms / 1000):
                    await self._changed.wait_for(lambda: self._notices or (claim.places and self._assignments))
            given, self._assignments = self._assignments[: claim.places], self._assignments[claim.places :]
            self._handed_out |= {assignment.run_id for assignment in given}
            return work.ClaimResponse(given, list(self._notices.values()))

    async def _outcomes(self, body: bytes) -> work.OutcomesResponse:
        request = msgspec.json.decode(body, type=work.OutcomesRequest)
        self.groups.append(len(request.outcomes))
        self.outcomes += request.outcomes
        await self._notify()
        return work.OutcomesResponse([o.run_id for o in request.outcomes if o.run_id in self.lost])

    async def _heartbeat(self, body: bytes) -> work.HeartbeatResponse:
        self.beats.append(msgspec.json.decode(body, type=work.Heartbeat).worker_id)
        await self._notify()
        return work.HeartbeatResponse(self.known)

    async def _leave(self, body: bytes) -> dict[str, str]:
        self.left.append(msgspec.json.decode(body, type=work.Farewell).worker_id)
        await self._notify()
        return {}

    async def _trigger(self, request: web.Request) -> web.Response:
        trigger = msgspec.json.decode(await request.read(), type=triggers.TriggerRequest)
        task = request.match_info["task"]
        self.triggers.append((task, trigger))
        await self._notify()
        if self.before_trigger is not None:
            await self.before_trigger(task, trigger)
        made = triggers.TriggerResponse(trigger.options.run_id or ids.new_run_id(), is_cached=False)
        return web.Response(body=msgspec.json.encode(made), content_type="application/json")

    async def _metadata(self, request: web.Request) -> web.Response:
        """Carry out a change of a run's own metadata; a key is carried out once."""
        run_id, body = request.match_info["run"], await request.read()
        call = MetadataCall(
            run_id,
            request.headers["x-trigger-request-idempotency-key"],
            msgspec.json.decode(body, type=MetadataUpdate),
            list(self.outcomes),
        )
        if refusals := self.refusals.get("metadata"):
            status, code = refusals.pop(0)
            if code == "after":
                self._change(call)
            await self._notify()
            if status:
                return web.json_response({"error": f"refused with {code}", "code": code}, status=status)
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if any(getattr(operation, "key", "") == self.unwanted_key for operation in call.update.operations):
            await self._notify()
            return web.json_response({"error": "no such key", "code": "unprocessable"}, status=422)
        self._change(call)
        await self._notify()
        answer = MetadataView(msgspec.Raw(msgspec.json.encode(self.stored[run_id])))
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    def _change(self, call: "MetadataCall") -> None:
        is_new = call.key not in {known.key for known in self.updates}
        self.updates.append(call)
        for operation in call.update.operations if is_new else ():
            metadata_operations.apply(self.stored[call.run_id], operation)

    async def _page(self, request: web.Request) -> web.Response:
        after, limit = int(request.query["after"]), int(request.query["limit"])
        self.pages.append((after, limit))
        items = self.results[request.match_info["batch"]][after : after + limit]
        return web.Response(body=msgspec.json.encode(work.BatchResults(items)), content_type="application/json")

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def assignment(task: str, payload: bytes | None = None, **fields: Any) -> work.Assignment:
    """Make a run of a task."""
    return work.Assignment(
        run_id=fields.pop("run_id", None) or ids.new_run_id(),
        epoch=fields.pop("epoch", 1),
        attempt=fields.pop("attempt", 1),
        task=task,
        queue=f"task/{task}",
        created_at=datetime.datetime.now(datetime.UTC),
        payload=NOTHING if payload is None else msgspec.Raw(payload),
        **fields,
    )
