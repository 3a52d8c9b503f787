"""Pages of runs hold still: whoever goes through them, either way, meets each run once, however many are added."""

import msgspec
import pytest

from tests.api.client import NDJSON, Client

ORIGINAL = 12
FILTERS = [
    "",
    "&filter[tag]=wanted",
    "&filter[status]=DELAYED",
    "&filter[taskIdentifier]=add,other&filter[queue]=q",
    "&filter[tag]=wanted&filter[createdAt][period]=1d&filter[version]=20300131.1",
]


async def wanted(client: Client) -> str:
    """Add a run that every filter finds."""
    return await client.trigger("add", tags="wanted", delay="1h", queue="q", lockToVersion="20300131.1")


async def unwanted(client: Client) -> str:
    """Add a run that no filter finds."""
    return await client.trigger("third")


async def create_batch(client: Client, count: int) -> str:
    made = await client.post("/api/v3/batches", {"runCount": count})
    assert made.status == 202, made
    return str(made.body["id"])


async def fill(client: Client, batch: str, index: int) -> None:
    """Add a wanted run among those that were added before, where the id of its batch stands."""
    options = {"tags": "wanted", "delay": "1h", "queue": "q", "lockToVersion": "20300131.1"}
    line = msgspec.json.encode({"index": index, "task": "add", "options": options})
    filled = await client.post(f"/api/v3/batches/{batch}/items", line + b"\n", headers=NDJSON)
    assert filled.status == 200, filled


@pytest.mark.parametrize("size", [1, 5, ORIGINAL])
@pytest.mark.parametrize("filters", FILTERS)
async def test_pages_in_both_directions_hold_still_under_inserts(client: Client, size: int, filters: str) -> None:
    runs = [await wanted(client) for _ in range(ORIGINAL // 2)]
    batch = await create_batch(client, 10)
    runs += [await wanted(client) for _ in range(ORIGINAL // 2)]
    additions = 0

    async def add() -> None:
        nonlocal additions
        if additions < 10:
            await wanted(client)
            await unwanted(client)
            await fill(client, batch, additions)
            additions += 1

    async def walk(cursor: str, towards: str) -> tuple[list[list[str]], str]:
        pages = []
        while True:
            reply = await client.get(f"/api/v1/runs?page[size]={size}{filters}{cursor}")
            assert reply.status == 200, reply
            pages.append([run["id"] for run in reply.body["data"]])
            await add()
            if towards not in reply.body["pagination"]:
                return pages, f"&page[before]={pages[-1][0]}"
            parameter = "after" if towards == "next" else "before"
            cursor = f"&page[{parameter}]={reply.body['pagination'][towards]}"

    forward, cursor = await walk("", "next")
    backward, _ = await walk(cursor, "previous")

    down = [run for page in forward for run in page]
    up = [run for page in [*backward[::-1], forward[-1]] for run in page]
    for seen in (down, up):
        assert seen == sorted(seen, reverse=True)
        assert len(seen) == len(set(seen))
        assert [run for run in seen if run in runs] == runs[::-1]
    assert all(len(page) == size for page in forward[:-1])
    assert set(down) - set(runs) < set(up)
