import pytest

from oncue.protocol import ids
from tests.api.client import Client

SHOWN = {
    "version": "20300131.1", "machine": "micro", "region": "eu-1", "ttl": "1h30m", "concurrencyKey": "tenant",
    "idempotencyKey": "order-7",
}  # fmt: skip


async def test_options_of_a_run_are_shown(client: Client) -> None:
    run = await client.trigger(
        "add", lockToVersion="20300131.1", machine="micro", region="eu-1", ttl=5_400, concurrencyKey="tenant",
        idempotencyKey="f" * 64, idempotencyKeyOptions={"key": "order-7", "scope": "run"},
    )  # fmt: skip
    plain = await client.trigger("add", idempotencyKey="as-sent")

    shown = (await client.get(f"/api/v3/runs/{run}")).body
    listed = (await client.get("/api/v1/runs")).body["data"]

    assert {name: shown.get(name) for name in SHOWN} == SHOWN
    assert {name: listed[1].get(name) for name in SHOWN} == SHOWN
    assert (listed[0]["id"], listed[0]["idempotencyKey"]) == (plain, "as-sent")
    # Nobody named one, and what the task declares is not known yet.
    assert "machine" not in listed[0]


@pytest.mark.parametrize(
    ("name", "value", "option"),
    [
        ("version", "20300131.1,20300131.2", {"lockToVersion": "20300131.2"}),
        ("machine", "large-2x", {"machine": "large-2x"}),
        ("region", "eu-1", {"region": "eu-1"}),
        ("tag", "a,b", {"tags": ["b", "c"]}),
        ("queue", "mail", {"queue": "mail"}),
        ("isTest", "true", {"test": True}),
        ("status", "DELAYED", {"delay": "1h"}),
    ],
)
async def test_each_filter_finds_its_runs_alone(
    client: Client, name: str, value: str, option: dict[str, object]
) -> None:
    await client.trigger("add")
    wanted = await client.trigger("add", **option)

    found = await client.get(f"/api/v1/runs?filter[{name}]={value}")

    assert [run["id"] for run in found.body["data"]] == [wanted]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("filter[machine]=huge", "filter[machine]: found 'huge'; expected any of micro, small-1x"),
        ("filter[status]=QUEUED,DONE", "filter[status]: found 'QUEUED,DONE'; expected any of PENDING_VERSION"),
        ("filter[createdAt][from]=0001-01-01T00:00:00%2B14:00", "expected milliseconds since 1970, or an ISO date"),
        ("filter[createdAt][to]=9999-12-31T23:59:59-14:00", "expected milliseconds since 1970, or an ISO date"),
        ("filter[createdAt][to]=99999999999999999", "expected milliseconds since 1970, or an ISO date"),
    ],
)
async def test_filters_that_make_no_sense_are_refused(client: Client, query: str, told: str) -> None:
    refused = await client.get(f"/api/v1/runs?{query}")

    assert refused.status == 400
    assert told in refused.body["error"]


@pytest.mark.parametrize("query", ["filter[status]=,", "filter[machine]=", "filter[createdAt][from]=0001-01-01"])
async def test_filters_that_leave_nothing_out_find_all(client: Client, query: str) -> None:
    run = await client.trigger("add")

    assert [found["id"] for found in (await client.get(f"/api/v1/runs?{query}")).body["data"]] == [run]


async def test_no_run_belongs_to_a_schedule(client: Client) -> None:
    await client.trigger("add")

    found = await client.get("/api/v1/runs?filter[schedule]=some_1")

    assert found.body == {"data": [], "pagination": {}}


async def test_a_key_is_forgotten_for_its_task(client: Client) -> None:
    first = await client.trigger("add", idempotencyKey="a b/c")
    path = "/api/v1/idempotencyKeys/a%20b%2Fc/reset"

    other = await client.post(path, {"taskIdentifier": "other"})
    reset = await client.post(path, {"taskIdentifier": "add"})
    again = await client.post(path, {"taskIdentifier": "add"})
    second = await client.trigger("add", idempotencyKey="a b/c")

    assert (other.status, reset.status, again.status) == (404, 200, 404)
    assert "No runs found with idempotency key 'a b/c'" in again.body["error"]
    assert reset.body == {"id": "a b/c"}
    assert ids.parse(ids.RUN, second) != ids.parse(ids.RUN, first)


async def test_cursor_backwards_wins_over_the_other(client: Client) -> None:
    last, middle, _ = [await client.trigger("add") for _ in range(3)]

    back = (await client.get(f"/api/v1/runs?page[after]={middle}&page[before]={last}&page[size]=1")).body

    assert [run["id"] for run in back["data"]] == [middle]
    assert back["pagination"] == {"next": middle, "previous": middle}
