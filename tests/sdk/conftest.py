"""A server that speaks the contract from a thread of this process, a clock that is set, and a run to be inside of."""

import datetime
import functools
import json
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest

from oncue.protocol.logs import Level
from oncue.protocol.work import Assignment, ChildResult, WaitpointSettled
from oncue.sdk import execution, registry, settings, transport
from oncue.sdk.context import Context, context_from
from oncue.sdk.metadata_buffer import MetadataBuffer

KEY = "tr_dev_sk_aaaaaaaaaaaaaaaaaaaaaaaa"


class Reply(NamedTuple):
    """An answer that a test prepares."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = MappingProxyType({})


class Seen(NamedTuple):
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.body.splitlines()]


class FakeApi:
    """Answers as the contract says, unless a test has prepared something else."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.prepared: dict[str, deque[Reply]] = defaultdict(deque)
        self.url = ""
        self.stored: dict[str, tuple[bytes, str]] = {}
        """What the object store beside it holds: content and type, by path."""

    def prepare(self, route: str, *replies: Reply) -> None:
        """Answer the next requests whose ``METHOD /path`` begins with ``route`` so, in this order."""
        self.prepared[route].extend(replies)

    @property
    def paths(self) -> list[str]:
        return [f"{seen.method} {seen.path}" for seen in self.seen]

    def store(self, seen: Seen) -> Reply:
        """Answer as an object store does."""
        key = seen.path.partition("?")[0]
        if seen.method == "PUT":
            self.stored[key] = (seen.body, seen.headers["content-type"])
            return Reply(200, b"")
        if key not in self.stored:
            return Reply(404, b"<Error><Code>NoSuchKey</Code></Error>")
        content, type_ = self.stored[key]
        return Reply(200, content, {"content-type": type_})

    def answer(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        route = f"{seen.method} {seen.path}"
        for prefix, replies in self.prepared.items():
            if route.startswith(prefix) and replies:
                return replies.popleft()
        match seen.path.split("/"):
            case ["", "api", "v1", "tasks", _, "trigger"]:
                made = {"id": seen.json["options"]["runId"], "isCached": False}
                return Reply(200, made, {"x-trigger-jwt": "token"})
            case ["", "api", "v3", "batches"]:
                made = {"id": seen.json["id"], "runCount": seen.json["runCount"], "isCached": False}
                return Reply(202, made, {"x-trigger-jwt": "token"})
            case ["", "api", "v3", "batches", batch_id, "items"]:
                count = len(seen.lines)
                filled = {"itemsAccepted": count, "itemsDeduplicated": 0, "sealed": True, "runCount": count}
                return Reply(200, {"id": batch_id, **filled})
            case _:
                return self.answer_about_packets(seen)

    def answer_about_packets(self, seen: Seen) -> Reply:
        match seen.path.split("/"):
            case ["", "api", "v2", "packets", named]:
                name = unquote(named.partition("?")[0])
                stored = {"presignedUrl": f"{self.url}/store/{name}?signed=1", "storagePath": f"2030-01-31/{name}"}
                return Reply(200, stored)
            case ["", "api", "v1", "packets", path]:
                return Reply(200, {"presignedUrl": f"{self.url}/store/{unquote(path).partition('/')[2]}?signed=2"})
            case ["", "store", *_]:
                return self.store(seen)
            case _:
                return Reply(404, {"error": "Not found"}, {"x-should-retry": "false"})


def _handler(api: FakeApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = api.answer(Seen(self.command, self.path, headers, body, self.client_address[1]))
            content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = _serve  # noqa: N815 - found by its name
        do_POST = _serve  # noqa: N815 - same
        do_PUT = _serve  # noqa: N815 - same

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    return Handler


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """A server, which the SDK is configured to call."""
    found = FakeApi()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(found))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    settings.configure(secret_key=KEY, api_url=found.url)
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No task, key or address of another test."""
    monkeypatch.delenv("TRIGGER_SECRET_KEY", raising=False)
    monkeypatch.delenv("TRIGGER_API_URL", raising=False)
    settings.reset()
    with registry.isolated():
        yield
    settings.reset()


@dataclass
class SetClock:
    """Time that passes only when somebody sleeps."""

    at: float = 1_000_000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds

    async def pause(self, seconds: float) -> None:
        self.sleep(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """The senders' clock."""
    found = SetClock()
    monkeypatch.setattr(transport, "clock", found)
    return found


@dataclass
class FakeRun:
    """A run as the SDK sees it, with results that a test prepares."""

    context: Context
    blocks_thread: bool = False
    epoch: int = 3
    worker_id: str = "worker_1"
    keys: list[str] = field(default_factory=list)
    batch_results: list[ChildResult] = field(default_factory=list)
    waited_for: list[str] = field(default_factory=list)
    settled: WaitpointSettled | None = None
    """What a wait for a moment or a token ends with."""
    logged: list[tuple[Level, str, dict[str, Any]]] = field(default_factory=list)
    differences: list[tuple[str, str]] = field(default_factory=list)
    woken: list[int] = field(default_factory=list)
    """Threads on which the metadata began to have something to tell."""
    flushes: list[bool] = field(default_factory=list)
    """Asked flushes, and whether they were to refresh."""
    result_of: Callable[[str], ChildResult] | None = None
    on_batch_wait: Callable[[str], Sequence[ChildResult]] | None = None

    def call_key(self, kind: str, task: str, key: str | None = None) -> str:
        if key is not None:
            self.keys.append(f"{kind}:{task}={key}")
            return self.keys[-1]
        key = f"{kind}:{task}#{1 + sum(known.startswith(f'{kind}:{task}#') for known in self.keys)}"
        self.keys.append(key)
        return key

    def log(self, level: Level, message: str, fields: dict[str, Any]) -> None:
        self.logged.append((level, message, fields))

    def note_difference(self, task: str, run_id: str) -> None:
        self.differences.append((task, run_id))

    async def wait_for_run(self, run_id: str) -> ChildResult:
        self.waited_for.append(run_id)
        assert self.result_of is not None
        return self.result_of(run_id)

    async def wait_for_batch(self, batch_id: str, *, stays: bool = False) -> Sequence[ChildResult]:  # noqa: ARG002
        self.waited_for.append(batch_id)
        return self.batch_results if self.on_batch_wait is None else self.on_batch_wait(batch_id)

    async def wait_for_waitpoint(self, waitpoint_id: str) -> WaitpointSettled:
        self.waited_for.append(waitpoint_id)
        assert self.settled is not None
        return self.settled

    @functools.cached_property
    def metadata(self) -> MetadataBuffer:
        run = self.context.run
        return MetadataBuffer(
            run.metadata,
            has_parent=run.parent_id is not None,
            has_root=run.root_id is not None,
            wake=lambda: self.woken.append(threading.get_ident()),
        )

    async def flush_metadata(self, *, refresh: bool) -> None:
        self.flushes.append(refresh)

    def block_on(self, waiting: Coroutine[Any, Any, Any]) -> Any:
        try:
            waiting.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("the fake has nothing to wait for")


@pytest.fixture
def inside(assignment: Assignment) -> Iterator[FakeRun]:
    """The run that the test is inside of: an async one, unless the test says otherwise."""
    run = FakeRun(context_from(assignment, task_file="tasks.py:1", environment="dev", worker_id="worker_1"))
    token = execution.current.set(run)
    yield run
    execution.current.reset(token)


@pytest.fixture
def assignment() -> Assignment:
    """A run as the server hands it out."""
    return Assignment(
        run_id="run_parent",
        epoch=3,
        attempt=2,
        task="parent",
        queue="task/parent",
        created_at=datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
    )
