"""What a public access token subscribes to."""

from tests.api.client import Client
from tests.api.electric import VERSION, Subscriber
from tests.api.events import reading
from tests.api.tokens import bearing


async def test_token_follows_the_runs_of_its_tag_alone(client: Client) -> None:
    mine = await client.trigger("add", tags=["user:1", "import"])
    await client.trigger("add", tags=["user:2", "import"])

    async with bearing(client, "read:tags:user:1") as page:
        run = await Subscriber(page, f"/realtime/v1/runs/{mine}").begin()
        tagged = await Subscriber(page, "/realtime/v1/runs", tags="import,user:1").begin()
        others = [await page.get(f"/realtime/v1/runs{query}") for query in ("", "?tags=import", "?tags=user:2")]

    assert run.row["friendlyId"] == tagged.row["friendlyId"] == mine
    assert [reply.status for reply in others] == [403, 403, 403]


async def test_token_hides_columns_whatever_is_asked_for(client: Client) -> None:
    run = await client.trigger("add", tags=["a"])

    async with bearing(client, "read:tags:a", realtime={"skipColumns": ["payload"]}) as page:
        asked = [
            await Subscriber(page, f"/realtime/v1/runs/{run}", skipColumns="ttl").begin(),
            await Subscriber(page, "/realtime/v1/runs", tags="a").begin(),
        ]

    assert [("payload" in each.row, "ttl" in each.row) for each in asked] == [(False, True), (False, True)]


async def test_page_may_read_what_subscriptions_answer_with(client: Client) -> None:
    run = await client.trigger("add")

    async with bearing(client, f"read:runs:{run}") as page:
        reply = await page.get(f"/realtime/v1/runs/{run}", headers={**VERSION, "Origin": "https://a.example"})

    told = {name for name in reply.headers if name.startswith("electric-")}
    exposed = reply.headers["access-control-expose-headers"].split(", ")
    assert {"electric-handle", "electric-offset", "electric-schema"} <= told <= set(exposed)


async def test_token_follows_the_streams_of_its_runs_alone(client: Client) -> None:
    mine, other = await client.trigger("add", tags=["user:1"]), await client.trigger("add", tags=["user:2"])
    for run in (mine, other):
        await client.post(f"/realtime/v1/streams/{run}/self/words/append", "hello")

    async with bearing(client, "read:tags:user:1") as page:
        async with reading(page, mine, "words") as events:
            assert await events.take(1) == ["hello"]
        refused = await page.get(f"/realtime/v1/streams/{other}/words")
        written = await page.post(f"/realtime/v1/streams/{mine}/self/words/append", "more")

    assert (refused.status, written.status) == (403, 403)
