"""The examples of the trigger functions page: streams, errors of batches, and large payloads."""

import urllib.request
from collections.abc import AsyncIterator
from typing import Any

from oncue import BatchTriggerError, item, task


@task(id="page-my-other-task")
async def my_other_task(payload: dict[str, str]) -> str:
    return f"hello {payload['user_id']}"


@task(id="page-my-task")
async def my_task(payload: dict[str, list[str]]) -> dict[str, str]:
    async def generate_items() -> AsyncIterator[Any]:
        for user_id in payload["user_ids"]:
            yield item({"user_id": user_id})

    batch_handle = await my_other_task.batch_trigger(generate_items())
    return {"batch_id": batch_handle.batch_id}


@task(id="page-child-task")
async def child_task(payload: dict[str, str]) -> str:
    return payload["user_id"]


@task(id="page-parent-task")
async def parent_task(payload: dict[str, list[str]]) -> dict[str, str]:
    items = [item({"user_id": user_id}) for user_id in payload["user_ids"]]
    try:
        batch_handle = await child_task.batch_trigger(items)
    except BatchTriggerError as error:
        if error.is_rate_limited:
            # Raised again, it lets the task be retried when the limit has passed.
            raise
        raise
    return {"batch_id": batch_handle.batch_id}


@task(id="page-my-large-task")
def my_large_task(payload: dict[str, str]) -> int:
    with urllib.request.urlopen(payload["url"]) as answer:
        return len(answer.read())
