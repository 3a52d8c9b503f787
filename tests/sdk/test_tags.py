"""Tags are added to the run that the calling code belongs to."""

from typing import Any

import pytest

from oncue import OutsideTaskError, UnprocessableRequest, tags

from .conftest import FakeApi, FakeRun, Reply

DONE = Reply(200, {"message": "added 1 new tag"})


async def test_tags_are_added_to_this_run(api: FakeApi, inside: FakeRun) -> None:
    api.prepare("POST /api/v1/runs/run_parent/tags", DONE, DONE)

    await tags.add("paid")
    tags.sync.add(("a", "b"))

    assert [seen.json for seen in api.seen] == [{"tags": ["paid"]}, {"tags": ["a", "b"]}]


async def test_refusal_of_the_server_is_raised(api: FakeApi, inside: FakeRun) -> None:
    api.prepare("POST /", Reply(422, {"error": "tags: too many"}, {"x-should-retry": "false"}))

    with pytest.raises(UnprocessableRequest, match="too many"):
        await tags.add("a")


@pytest.mark.parametrize("value", [7, ["a", 7], "x" * 129, None])
async def test_tags_that_make_no_sense_are_refused_at_once(api: FakeApi, inside: FakeRun, value: Any) -> None:
    with pytest.raises(ValueError, match=r"^tags="):
        await tags.add(value)

    assert api.seen == []


def test_tags_outside_a_task_say_what_to_do(api: FakeApi) -> None:
    for call in (tags.add, tags.sync.add):
        with pytest.raises(OutsideTaskError, match="tags= when you trigger"):
            call("a")

    assert api.seen == []
