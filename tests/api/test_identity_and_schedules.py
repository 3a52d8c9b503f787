import pytest

from tests.api.client import Client

ONE = "/api/v1/schedules/sched_1"


async def test_identity_names_the_environment_of_the_key(client: Client) -> None:
    shown = (await client.get("/api/v1/whoami")).body

    assert shown["environment"].pop("id").isdecimal()
    assert shown == {"environment": {"name": "dev", "type": "DEVELOPMENT"}}


async def test_identity_needs_a_key(client: Client) -> None:
    async with Client(client.url, key=None) as stranger:
        assert (await stranger.get("/api/v1/whoami")).status == 401


async def test_time_zones_need_no_key(client: Client) -> None:
    async with Client(client.url, key=None) as stranger:
        every = (await stranger.get("/api/v1/timezones")).body["timezones"]
        others = (await stranger.get("/api/v1/timezones?excludeUtc=true")).body["timezones"]

    assert every == ["UTC", *others]
    assert "Europe/London" in others
    assert others == sorted(set(others) - {"UTC"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/schedules"),
        ("POST", "/api/v1/schedules"),
        ("GET", ONE),
        ("PUT", ONE),
        ("DELETE", ONE),
        ("POST", f"{ONE}/activate"),
        ("POST", f"{ONE}/deactivate"),
    ],
)
async def test_schedules_are_refused_without_another_attempt(client: Client, method: str, path: str) -> None:
    reply = await client.send(method, path, {"task": "t", "cron": "* * * * *"} if method in {"POST", "PUT"} else None)

    assert (reply.status, reply.body["code"]) == (501, "not_implemented")
    assert reply.body["error"].startswith("schedules do not exist yet in this server; let cron")
    assert reply.headers["x-should-retry"] == "false"
