"""Python follows runs by what the server tells of them: the same as it would retrieve, without asking for each."""

import asyncio
import datetime
import json
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest

import oncue
from oncue import FollowedRun, RunHandle, item, queues, runs, tasks
from oncue.protocol import codec
from oncue.protocol.triggers import TriggerOptions, TriggerRequest
from oncue.sdk import connections, flows, requests, transport
from oncue.sdk.requests import HttpRequest
from tests.e2e.conftest import Run
from tests.fixtures.stack import LONG_S, Stack


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs of the requests that the event loop sends."""
    urls: list[str] = []
    send = connections.send

    async def noted(request: HttpRequest, *args: Any, **options: Any) -> Any:
        urls.append(request.url)
        return await send(request, *args, **options)

    monkeypatch.setattr(connections, "send", noted)
    return urls


async def first(following: Any) -> Any:
    async with asyncio.timeout(LONG_S):
        found = await anext(following)
    await following.aclose()
    return found


def comparable(run: Any) -> dict[str, Any]:
    """Return what a subscription shows of a run, moments to the millisecond."""
    fields = {name: getattr(run, name) for name in FollowedRun.__struct_fields__}
    moments = {name: at for name, at in fields.items() if isinstance(at, datetime.datetime)}
    return fields | {name: at.replace(microsecond=at.microsecond // 1000 * 1000) for name, at in moments.items()}


async def from_javascript() -> RunHandle[Any]:
    """Trigger as a JavaScript caller does whose payload holds a date."""
    document = {"json": {"text": "four", "at": "2030-01-02T03:04:05.000Z"}, "meta": {"values": {"at": ["Date"]}}}
    payload = msgspec.Raw(json.dumps(json.dumps(document)).encode())
    request = TriggerRequest(payload=payload, options=TriggerOptions(payload_type=codec.SUPER_JSON))
    made = await transport.start(flows.exchange(requests.trigger("measures", request)), "trigger")
    return RunHandle(made.response.id, "measures", is_cached=False)


async def test_fifty_runs_are_followed_without_a_call_for_each(backend: Stack, sent: list[str]) -> None:
    tag = uuid.uuid4().hex
    handle = await tasks.batch_trigger("many-words", [item(number, tags=tag, delay="1h") for number in range(50)])
    sent.clear()
    seen: dict[str, FollowedRun] = {}

    async with asyncio.timeout(LONG_S):
        async for row in runs.subscribe_to_tags(tag):
            seen[row.id] = row
            if len(seen) == 50:
                break

    assert [seen[each.id].payload for each in handle.runs] == list(range(50))
    assert len(sent) <= 3, sent


async def test_what_an_answer_has_no_room_for_is_asked_for(backend: Stack, sent: list[str]) -> None:
    tag = uuid.uuid4().hex
    payloads = [{"text": f"{number}" * 200_000} for number in range(10, 34)]
    note = {"note": "m" * 200_000}
    handles = [await tasks.trigger("measures", each, tags=tag, delay="1h", metadata=note) for each in payloads]
    sent.clear()
    seen: dict[str, FollowedRun] = {}

    async with asyncio.timeout(LONG_S):
        async for row in runs.subscribe_to_tags(tag):
            seen[row.id] = row
            if len(seen) == len(handles):
                break

    assert [seen[each.id].payload == payload for each, payload in zip(handles, payloads, strict=True)] == [True] * 24
    assert [seen[each.id].metadata == note for each in handles] == [True] * 24
    # Some of them came with the answer.
    assert 2 <= len(sent) < 24


async def test_changes_of_a_run_cost_no_calls(run: Run, tmp_path: Path, sent: list[str]) -> None:
    gates = [tmp_path / f"gate-{number}" for number in range(3)]
    handle = await tasks.trigger("staged", [str(gate) for gate in gates])
    sent.clear()

    async with asyncio.timeout(LONG_S):
        async for row in runs.subscribe(handle):
            if row.metadata is not None:
                gates[row.metadata["stage"]].touch()

    assert {url.partition("?")[0].rpartition("/realtime/v1")[2] for url in sent} == {f"/runs/{handle.id}"}


@pytest.mark.parametrize(
    ("task_id", "payload", "options"),
    [
        ("many-words", 2, {"tags": ["a tag", 'with "quotes"', "back\\slash", "a,b {c}"], "metadata": {"a": [1, None]}}),
        ("many-words", 2, {"idempotency_key": "once", "queue": "other", "priority": 3}),
        ("staged", [], {}),
        ("broken-words", 1, {"max_attempts": 1}),
        ("measures", {"text": "x" * 1024 * 1024}, {}),
        ("writes", 1024 * 1024, {}),
        ("measures", None, {}),
    ],
    ids=["tagged", "keyed", "text", "failed", "large payload", "large output", "from JavaScript"],
)
async def test_run_that_ended_is_followed_as_it_is_retrieved(
    run: Run, task_id: str, payload: Any, options: dict[str, Any]
) -> None:
    handle = (
        await from_javascript() if payload is None and not options else await tasks.trigger(task_id, payload, **options)
    )
    await handle.result(LONG_S)

    followed = await first(runs.subscribe(handle))

    assert comparable(followed) == comparable(await runs.retrieve(handle))
    assert followed.is_completed


async def test_expired_run_is_followed_as_it_is_retrieved(run: Run) -> None:
    queue = uuid.uuid4().hex
    await tasks.trigger("many-words", 1, queue=queue, delay="1h")
    await queues.pause(queue)
    handle = await tasks.trigger("many-words", 1, queue=queue, ttl="1s")
    await handle.result(LONG_S)

    followed = await first(runs.subscribe(handle))

    assert comparable(followed) == comparable(await runs.retrieve(handle))
    assert followed.expired_at is not None


@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_delayed_run_is_followed_as_it_is_retrieved(backend: Stack, is_cancelled: bool) -> None:
    handle = await tasks.trigger("many-words", 1, delay="1h", ttl="90m", metadata={"deep": {"er": "é"}})
    if is_cancelled:
        await runs.cancel(handle)

    followed = await first(runs.subscribe(handle))

    assert comparable(followed) == comparable(await runs.retrieve(followed))
    assert followed.status == ("CANCELED" if is_cancelled else "DELAYED")


async def test_run_under_way_is_followed_as_it_is_retrieved(run: Run, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    handle = await tasks.trigger("staged", [str(gate)], tags="under way")
    async with asyncio.timeout(LONG_S):
        async for row in runs.subscribe(handle):
            if row.metadata is not None:
                break

    assert row.is_executing
    assert comparable(row) == comparable(await runs.retrieve(row))
    gate.touch()
    await handle.result(LONG_S)


def test_what_a_subscription_does_not_show_is_documented() -> None:
    page = Path("docs/how-to/realtime.md").read_text(encoding="utf-8")
    missing = sorted(set(oncue.Run.__struct_fields__) - set(FollowedRun.__struct_fields__))

    assert set(FollowedRun.__struct_fields__) <= set(oncue.Run.__struct_fields__)
    assert [name for name in missing if f"`{name}`" not in page] == []
    assert [name for name in missing if f"``{name}``" not in (FollowedRun.__doc__ or "")] == []
