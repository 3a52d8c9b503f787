"""Every option, said to every function, has its effect.

The functions are found by walking through the public names, the options are those of ``TriggerOptions``; the table of
values has to have them all. So a function or an option that is added later fails here until it is tried.
"""

import asyncio
import json
import uuid
from typing import Any

import pytest

from oncue import runs, tasks
from oncue.sdk.options import OPTIONS, REPLAY_OPTIONS
from tests.fixtures.stack import LONG_S
from tests.options import functions
from tests.options.conftest import Looker, differences
from tests.options.functions import OTHER_FORMS, PLAIN, TARGET, WAITING, WAYS
from tests.options.program import CALLERS
from tests.options.table import REFUSED, ROWS, Cell, Refused, Row

REFUSED_OVER_HTTP = [refused for refused in REFUSED if refused.wire is not None]


def test_table_has_every_option() -> None:
    assert {row.option for row in ROWS} == set(OPTIONS)
    assert {refused.option for refused in REFUSED} == set(OPTIONS)


def test_every_function_that_takes_options_is_called() -> None:
    assert functions.found() == set(WAYS) - OTHER_FORMS


async def test_no_row_says_what_holds_anyway(looker: Looker) -> None:
    prefix = _prefix()
    await tasks.trigger(TARGET, {"cell": prefix})

    (plain,) = (await looker.until_there(prefix, 1)).values()

    cell = Cell(prefix)
    unchanged = [str(row) for row in ROWS if not differences("", row.effect(cell), plain)]
    assert unchanged == [str(row) for row in ROWS if not row.changes]


async def test_none_is_as_good_as_absent(looker: Looker) -> None:
    prefix = _prefix()
    await tasks.trigger(TARGET, {"cell": f"{prefix}absent"})
    await tasks.trigger(TARGET, {"cell": f"{prefix}none"}, **dict.fromkeys(OPTIONS))

    known = await looker.until_there(prefix, 2)

    own = {"id", "cell", "shown_id", "shown_payload", "shown_createdAt", "shown_updatedAt"}
    absent, none = (
        {name: value for name, value in known[f"{prefix}{which}"].items() if name not in own}
        for which in ("absent", "none")
    )
    assert absent == none


@pytest.mark.parametrize("way", PLAIN)
async def test_options_said_outside_of_runs(looker: Looker, way: str) -> None:
    prefix, rows = _prefix(), _rows(way)
    cells = {number: Cell(f"{prefix}{number}", is_of_batch=functions.is_of_batch(way)) for number in rows}
    for number, cell in cells.items():
        payload, options = {"cell": cell.name}, rows[number].given(cell)
        if functions.is_blocking(way):
            await asyncio.to_thread(WAYS[way], payload, options)
        else:
            await functions.call(way, payload, options)

    await _assert_effects(looker, prefix, rows, cells)


@pytest.mark.parametrize("way", PLAIN)
async def test_options_said_inside_of_runs(looker: Looker, way: str) -> None:
    prefix, rows = _prefix(), _rows(way)
    caller = await tasks.trigger(_caller(way), {"way": way, "prefix": prefix, "rows": list(rows)})
    (await caller.result(LONG_S)).unwrap()

    cells = {number: Cell(f"{prefix}{number}", caller.id, functions.is_of_batch(way)) for number in rows}
    await _assert_effects(looker, prefix, rows, cells)


@pytest.mark.parametrize("way", WAITING)
async def test_options_said_in_waiting_calls(looker: Looker, way: str) -> None:
    prefix, rows = _prefix(), _rows(way)
    # One run for each row, as each stays where it waits.
    callers = {
        number: await tasks.trigger(_caller(way), {"way": way, "prefix": prefix, "rows": [number]}) for number in rows
    }
    try:
        cells = {
            number: Cell(f"{prefix}{number}", caller.id, functions.is_of_batch(way))
            for number, caller in callers.items()
        }
        await _assert_effects(looker, prefix, rows, cells)
    finally:
        await asyncio.gather(*(runs.cancel(caller) for caller in callers.values()))


async def test_options_in_the_body_of_a_trigger(looker: Looker) -> None:
    prefix, rows = _prefix(), _raw_rows()
    cells = {number: Cell(f"{prefix}{number}", is_raw=True) for number in rows}
    for number, cell in cells.items():
        body = {"payload": {"cell": cell.name}, "options": _wire(rows[number], cell)}
        reply = await looker.client.post(f"/api/v1/tasks/{TARGET}/trigger", body)
        assert reply.status == 200, (rows[number], reply)

    await _assert_effects(looker, prefix, rows, cells)


async def test_options_in_the_lines_of_a_batch(looker: Looker) -> None:
    prefix, rows = _prefix(), _raw_rows()
    cells = {number: Cell(f"{prefix}{number}", is_raw=True) for number in rows}
    lines = [
        {"task": TARGET, "payload": {"cell": cell.name}, "options": _wire(rows[number], cell)}
        for number, cell in cells.items()
    ]
    assert await _filled(looker, lines) == {}

    await _assert_effects(looker, prefix, rows, cells)


@pytest.mark.parametrize("way", WAYS)
async def test_refused_values_never_leave_the_caller(looker: Looker, way: str) -> None:
    caller = await tasks.trigger(_caller(way), {"way": way})

    said = (await caller.result(LONG_S)).unwrap()

    wrong = [
        (str(refused), text)
        for refused, text in zip(REFUSED, said, strict=True)
        if not _is_refusal(text, refused, replays="replay" in way)
    ]
    assert wrong == []
    assert await looker.kept("refused") == []


async def test_refused_values_over_http_name_what_is_accepted(looker: Looker) -> None:
    wrong = []
    for refused in REFUSED_OVER_HTTP:
        reply = await looker.client.post(f"/api/v1/tasks/{TARGET}/trigger", {"options": refused.wire})
        if reply.status not in (400, 413, 422) or refused.wire_says not in reply.body["error"]:
            wrong.append((str(refused), reply.status, reply.body))
    assert wrong == []


async def test_refused_lines_of_a_batch_fail_alone(looker: Looker) -> None:
    prefix = _prefix()
    lines: list[dict[str, Any]] = [{"task": TARGET, "options": refused.wire} for refused in REFUSED_OVER_HTTP]
    lines.append({"task": TARGET, "payload": {"cell": prefix}})

    said = await _filled(looker, lines)

    wrong = [
        (str(refused), said.get(index))
        for index, refused in enumerate(REFUSED_OVER_HTTP)
        if refused.wire_says not in said.get(index, "")
    ]
    assert wrong == []
    assert len(said) == len(REFUSED_OVER_HTTP)
    assert len(await looker.until_there(prefix, 1)) == 1


def _is_refusal(text: str, refused: Refused, *, replays: bool) -> bool:
    if replays and refused.option == "debounce":
        # A replay always makes a run, so there is nothing to debounce.
        return "TypeError: unknown option 'debounce'" in text
    return text.startswith("ValueError: ") and refused.option in text and refused.says in text


def _prefix() -> str:
    return f"{uuid.uuid4().hex[:12]}/"


def _rows(way: str) -> dict[int, Row]:
    """The rows that a function is tried with, by their number in the table."""
    accepted = REPLAY_OPTIONS if "replay" in way else OPTIONS
    return {number: row for number, row in enumerate(ROWS) if row.option in accepted}


def _raw_rows() -> dict[int, Row]:
    return {number: row for number, row in enumerate(ROWS) if row.wire is not None}


def _wire(row: Row, cell: Cell) -> dict[str, Any]:
    assert row.wire is not None
    return row.wire(cell)


def _caller(way: str) -> str:
    return CALLERS[functions.is_blocking(way)]


async def _assert_effects(looker: Looker, prefix: str, rows: dict[int, Row], cells: dict[int, Cell]) -> None:
    known = await looker.until_there(prefix, len(cells))
    assert [
        (str(rows[number]), *differs)
        for number, cell in cells.items()
        for differs in differences(cell.name, rows[number].effect(cell), known[cell.name])
    ] == []


async def _filled(looker: Looker, lines: list[dict[str, Any]]) -> dict[int, str]:
    """Send a batch line by line, and return the refusals by index."""
    created = await looker.client.post("/api/v3/batches", {"runCount": len(lines)})
    assert created.status == 202, created
    body = "\n".join(json.dumps({"index": index, **line}) for index, line in enumerate(lines)).encode()
    filled = await looker.client.post(
        f"/api/v3/batches/{created.body['id']}/items", body, headers={"Content-Type": "application/x-ndjson"}
    )
    assert filled.status == 200, filled
    shown = await looker.client.get(f"/api/v2/batches/{created.body['id']}")
    made = [await looker.client.get(f"/api/v3/runs/{run}") for run in shown.body["runs"]]
    return {
        index: reply.body["error"]["message"]
        for index, reply in enumerate(made)
        if reply.body["status"] == "SYSTEM_FAILURE"
    }
