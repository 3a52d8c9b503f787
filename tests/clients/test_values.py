"""Values that JSON cannot say, and large ones, on their way from official clients to a task and back."""

import pytest

from tests.clients.client import Client

OFFLOADED = 131_072
"""Bytes from which on the client stores a payload beside the call."""
MB = 1024 * 1024

TYPES = {
    "date": "datetime datetime.datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone.utc)",
    "big": "int 12345678901234567890",
    "map": "dict {'a': 1, 'b': 2}",
    "nothing": "NoneType None",
    "url": "str 'https://example.com/a?b=c'",
    "nested": "dict {'at': [datetime.datetime(2031, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)]}",
}


@pytest.mark.parametrize("scenario", ["values.types", "values.typesInBatch"])
async def test_values_reach_the_task_as_their_types(each_client: Client, scenario: str) -> None:
    types = await each_client(scenario)

    assert {name: types.get(name) for name in TYPES} == TYPES
    assert types["set"] in {"set {'x', 'y'}", "set {'y', 'x'}"}
    assert types["nan"] == "float nan"


@pytest.mark.parametrize("name", ["date", "big", "map"])
async def test_value_alone_is_a_payload(client: Client, name: str) -> None:
    assert await client("values.alone", name) == TYPES[name]


async def test_shown_payload_is_plain_json(each_client: Client) -> None:
    shown = await each_client("values.shown")

    assert shown["payload"] == {"date": "2030-01-02T03:04:05.678Z", "plain": 1}
    assert shown["output"] == {"date": "2030-01-02T03:04:05.678000Z", "plain": 1}


async def test_replayed_run_gets_the_same_values(each_client: Client) -> None:
    assert await each_client("values.replayed") == {name: TYPES[name] for name in ("date", "big")}


async def test_replay_with_another_payload_keeps_its_types(client: Client) -> None:
    again = await client("values.replayedWith")

    assert again["date"] == TYPES["date"]


@pytest.mark.parametrize("length", [OFFLOADED - 12, OFFLOADED, MB], ids=["below", "stored", "1 MB"])
@pytest.mark.parametrize("task", ["measures", "measures-text"])
async def test_large_payload_reaches_the_task(client: Client, task: str, length: int) -> None:
    run = await client("large.measured", {"id": task, "length": length})

    assert (run["status"], run["output"], run["shown"]) == ("COMPLETED", length, length)


async def test_large_payload_of_the_older_client_arrives(each_client: Client) -> None:
    run = await each_client("large.measured", {"id": "measures", "length": 2 * MB})

    assert (run["output"], run["shown"]) == (2 * MB, 2 * MB)


async def test_large_items_of_a_batch_reach_their_tasks(each_client: Client) -> None:
    lengths = [10, MB, OFFLOADED, 20, 3 * MB]

    assert await each_client("large.measuredInBatch", lengths) == lengths


async def test_large_output_is_fetched_by_retrieve(each_client: Client) -> None:
    assert await each_client("large.written", MB) == {"length": MB, "all": True}


async def test_types_survive_in_a_large_payload(client: Client) -> None:
    assert await client("large.datesInLarge", MB) == [MB, TYPES["date"].removeprefix("datetime ")]


async def test_payload_over_the_limit_is_refused(client: Client) -> None:
    error = await client.refused("large.tooLarge", 11 * MB)

    assert "10,485,760" in error["message"]


async def test_awkward_names_and_values_fail_no_run(each_client: Client) -> None:
    at = TYPES["date"].removeprefix("datetime ")

    assert await each_client("values.awkward") == {
        "a.b": TYPES["date"],
        "inner": f"dict {{'v.w': None, 'x.y': {at}}}",
        "c\\d": TYPES["date"],
        "objects": "list [{'a': 1}]",
        "pairs": "list [[{'k': 1}, 2]]",
        "late": "str '+012345-01-01T00:00:00.000Z'",
    }
