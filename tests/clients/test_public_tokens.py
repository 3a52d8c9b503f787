"""Public access tokens, made and used by the official client; a key of our shape has it ask the server."""

import time
from typing import Any

import jwt

from tests.clients.client import Client


def said(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def using(token: str, what: str, argument: Any) -> dict[str, Any]:
    return {"token": token, "what": what, "argument": argument}


async def test_handle_has_a_token_that_reads_its_run(each_client: Client) -> None:
    handle = await each_client("triggering.trigger", {"id": "my-task", "payload": 1})
    other = await each_client("triggering.trigger", {"id": "my-task", "payload": 2})
    token = handle["publicAccessToken"]

    run = await each_client("tokens.use", using(token, "retrieve", handle["id"]))
    error = await each_client.refused("tokens.use", using(token, "retrieve", other["id"]))

    assert run["id"] == handle["id"]
    assert (error["class"], error["status"]) == ("PermissionDeniedError", 403)


async def test_client_has_tokens_made_by_the_server(each_client: Client) -> None:
    handle = await each_client("triggering.trigger", {"id": "my-task", "payload": 1, "options": {"tags": ["user:7"]}})

    for scopes in ({"runs": handle["id"]}, {"tags": ["user:7"]}, {"tasks": ["my-task"]}, {"runs": True}):
        asked = {"scopes": {"read": scopes}, "expirationTime": "1h", "realtime": {"skipColumns": ["payload"]}}
        token = await each_client("tokens.create", asked)
        assert said(token)["exp"] - said(token)["iat"] == 3_600
        assert said(token)["realtime"] == {"skipColumns": ["payload"]}
        assert (await each_client("tokens.use", using(token, "retrieve", handle["id"])))["id"] == handle["id"]


async def test_token_lasts_until_the_date_that_the_client_names(each_client: Client) -> None:
    until = int(time.time()) + 5_000

    token = await each_client("tokens.createUntil", {"scopes": {"read": {"runs": True}}, "until": 1_000 * until})

    assert said(token)["exp"] == until


async def test_trigger_token_makes_one_run_and_names_it(each_client: Client) -> None:
    token = await each_client("tokens.createToTrigger", {"ids": ["my-task", "folder/my task"]})
    asked = using(token, "trigger", {"id": "folder/my task", "payload": 1})

    handle = await each_client("tokens.use", asked)
    error = await each_client.refused("tokens.use", asked)

    assert (await each_client("tokens.use", using(handle["publicAccessToken"], "retrieve", handle["id"])))["id"]
    assert (error["class"], error["status"]) == ("UnprocessableEntityError", 422)
    assert "one-time use token as it has already been used" in error["message"]


async def test_trigger_token_for_many_uses_makes_many_runs(each_client: Client) -> None:
    token = await each_client("tokens.createToTrigger", {"ids": "my-task", "options": {"multipleUse": True}})

    made = {(await each_client("tokens.use", using(token, "trigger", {"id": "my-task"})))["id"] for _ in range(3)}
    error = await each_client.refused("tokens.use", using(token, "trigger", {"id": "fails"}))

    assert (len(made), error["status"]) == (3, 403)


async def test_batch_token_makes_and_fills_one_batch(each_client: Client) -> None:
    token = await each_client("tokens.createToBatchTrigger", {"ids": "my-task"})
    asked = using(token, "batchTrigger", {"id": "my-task", "items": [{"payload": 1}, {"payload": 2}]})

    handle = await each_client("tokens.use", asked)
    error = await each_client.refused("tokens.use", asked)
    reading = handle["publicAccessToken"]
    batch = await each_client("tokens.use", using(reading, "retrieveBatch", handle["batchId"]))
    runs = [await each_client("tokens.use", using(reading, "retrieve", run)) for run in batch["runs"]]

    assert [run["payload"] for run in runs] == [1, 2]
    assert (error["class"], error["phase"], error["cause"]["status"]) == ("BatchTriggerError", "create", 422)


async def test_wait_token_is_completed_by_its_own_token(each_client: Client) -> None:
    made = await each_client("tokens.createWaitToken", {"timeout": "1h"})
    asked = {"id": made["id"], "data": {"approved": True}}

    assert await each_client("tokens.use", using(made["publicAccessToken"], "complete", asked)) == {"success": True}


async def test_list_and_cancel_need_their_scopes(each_client: Client) -> None:
    handle = await each_client("triggering.trigger", {"id": "my-task", "options": {"delay": "1h"}})
    reading = await each_client("tokens.create", {"scopes": {"read": {"tasks": ["my-task"]}}})
    writing = await each_client("tokens.create", {"scopes": {"write": {"runs": [handle["id"]]}}})

    found = await each_client("tokens.use", using(reading, "list", {"taskIdentifier": "my-task"}))
    everything = await each_client.refused("tokens.use", using(reading, "list", {}))
    not_written = await each_client.refused("tokens.use", using(reading, "cancel", handle["id"]))

    assert handle["id"] in {run["id"] for run in found}
    assert (everything["status"], not_written["status"]) == (403, 403)
    assert await each_client("tokens.use", using(writing, "cancel", handle["id"])) == {"id": handle["id"]}
