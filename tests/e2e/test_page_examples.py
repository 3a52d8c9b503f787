"""The examples of the trigger functions page: streams, errors of batches, and large payloads; see ``programs/page``."""

import asyncio
from typing import Any

import boto3  # type: ignore[import-untyped]
import pytest

from oncue import BatchTriggerError, batch, item, runs
from tests.e2e.conftest import Run
from tests.e2e.programs.page import child_task, my_large_task
from tests.fixtures.s3 import BUCKET, S3
from tests.fixtures.stack import LONG_S

USERS = [f"user_{number}" for number in range(1_200)]
LARGER_THAN_A_PAYLOAD = 12 * 1024 * 1024


async def test_task_triggers_a_batch_that_it_generates(run: Run) -> None:
    returned = await run("page-my-task", {"user_ids": USERS})

    view = await batch.retrieve(returned["batch_id"])
    assert view.run_count == 1_200
    for index in (0, 999):
        output = (await tasks_result(view.runs[index])).output
        assert output == f"hello user_{index}"


async def test_task_handles_errors_of_batch_triggers(run: Run) -> None:
    returned = await run("page-parent-task", {"user_ids": USERS[:3]})
    assert (await batch.retrieve(returned["batch_id"])).run_count == 3

    with pytest.raises(BatchTriggerError) as failed:
        await child_task.batch_trigger([item({"user_id": user}) for user in USERS])
    error = failed.value
    assert (error.is_rate_limited, error.retry_after_ms) == (False, None)
    assert (error.phase, error.batch_id, error.item_count) == ("create", None, 1_200)


async def test_payload_above_the_limit_goes_by_address(run: Run, s3: S3) -> None:
    presigned_url = await asyncio.to_thread(upload_and_presign, s3, "large", b"x" * LARGER_THAN_A_PAYLOAD)

    handle = await my_large_task.trigger({"url": presigned_url})

    assert (await handle.result(LONG_S)).unwrap() == LARGER_THAN_A_PAYLOAD


def upload_and_presign(s3: S3, key: str, content: bytes) -> str:
    client = boto3.client(
        "s3", endpoint_url=s3.variables["AWS_ENDPOINT_URL"], aws_access_key_id="tests", aws_secret_access_key="tests",
        region_name="us-east-1",
    )  # fmt: skip
    client.put_object(Bucket=BUCKET, Key=key, Body=content)
    url: str = client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=3600)
    return url


async def tasks_result(run_id: str) -> Any:
    return await runs.poll(run_id, interval=0.05, timeout=LONG_S)
