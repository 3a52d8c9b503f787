"""Schedules do not exist yet, and say so; the time zones that they will know do."""

import pytest

from tests.clients.client import Client


@pytest.mark.parametrize("scenario", ["create", "list", "retrieve", "update", "del", "activate", "deactivate"])
async def test_schedules_say_that_there_are_none_yet(client: Client, scenario: str) -> None:
    error = await client.refused(f"schedules.{scenario}")

    assert (error["class"], error["status"], error["code"]) == ("InternalServerError", 501, "not_implemented")
    assert error["message"].startswith("schedules do not exist yet")
    assert error["shouldRetry"] == "false"


async def test_time_zones_begin_with_utc_unless_excluded(each_client: Client) -> None:
    every = await each_client("schedules.timezones")

    assert every[0] == "UTC"
    assert {"Europe/London", "America/New_York", "Asia/Tokyo"} <= set(every)
    assert await each_client("schedules.timezones", {"excludeUtc": True}) == every[1:]
