"""Public access tokens are asked for as the contract says, and mistakes are told before anything is sent."""

import datetime
from typing import Any

import pytest

from oncue import FollowedRun, PermissionDenied, auth, task, tasks
from oncue.protocol import columns

from .conftest import FakeApi, Reply

ROUTE = "POST /api/v1/auth/public-tokens"
MADE = Reply(200, {"token": "eyJ.a.b"})
MOMENT = datetime.datetime(2030, 1, 2, 3, 4, 5, 900_000, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("scopes", "sent"),
    [
        ({"read": {"runs": "run_1"}}, ["read:runs:run_1"]),
        ({"read": {"runs": ["run_1", "run_2"], "batch": True}}, ["read:runs:run_1", "read:runs:run_2", "read:batch"]),
        ({"read": {"tags": "user:123"}, "write": {"input_streams": "run_1"}},
         ["read:tags:user:123", "write:inputStreams:run_1"]),
        ({"batch_trigger": {"tasks": "a"}, "trigger": {"tasks": ["b"]}}, ["batchTrigger:tasks:a", "trigger:tasks:b"]),
        ({"read": {"runs": "run_1", "queues": False}, "admin": False}, ["read:runs:run_1"]),
        ({"admin": True}, ["admin"]),
        (["read:runs", "custom:things:1"], ["read:runs", "custom:things:1"]),
    ],
)  # fmt: skip
async def test_scopes_are_written_as_the_contract_says(api: FakeApi, scopes: Any, sent: list[str]) -> None:
    api.prepare(ROUTE, MADE, MADE)

    awaited, blocking = await auth.create_public_token(scopes), auth.sync.create_public_token(scopes)

    assert awaited == blocking == "eyJ.a.b"
    assert [seen.json for seen in api.seen] == [{"scopes": sent}] * 2


async def test_things_are_named_by_what_has_their_id(api: FakeApi) -> None:
    api.prepare(ROUTE, MADE)
    run = await tasks.trigger("child")
    batch = await tasks.batch_trigger("child", [{"payload": 1}])

    @task(id="mine")
    def mine() -> None: ...

    await auth.create_public_token({"read": {"runs": [run], "batch": batch}, "write": {"tasks": mine}})

    assert api.seen[-1].json["scopes"] == [f"read:runs:{run.id}", f"read:batch:{batch.id}", "write:tasks:mine"]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, None),
        ("1h", "3600s"),
        (90, "90s"),
        (0.5, None),
        (datetime.timedelta(days=30), "2592000s"),
        (MOMENT, 1_893_553_445),
    ],
)
async def test_time_of_a_token_is_a_span_or_a_moment(api: FakeApi, given: Any, sent: Any) -> None:
    api.prepare(ROUTE, MADE)
    if given == 0.5:
        with pytest.raises(ValueError, match="expected a span from 1 second to 30 days"):
            await auth.create_public_token(["read:runs"], expiration_time=given)
        return

    await auth.create_public_token(["read:runs"], expiration_time=given)

    assert api.seen[0].json.get("expirationTime") == sent


async def test_what_is_hidden_and_counts_once_is_sent(api: FakeApi) -> None:
    api.prepare(ROUTE, MADE)

    await auth.create_public_token(["trigger:tasks:a"], one_time_use=True, realtime={"skip_columns": ("payload",)})

    assert api.seen[0].json == {
        "scopes": ["trigger:tasks:a"],
        "oneTimeUse": True,
        "realtime": {"skipColumns": ["payload"]},
    }


def test_columns_are_named_as_runs_that_are_followed_have_them(api: FakeApi) -> None:
    api.prepare(ROUTE, MADE)
    named = ["tags", "finished_at", "duration_ms", "runTags", "completedAt"]

    auth.sync.create_public_token(["read:runs"], realtime={"skip_columns": named})

    hidden = ["runTags", "completedAt", "usageDurationMs", "runTags", "completedAt"]
    assert api.seen[0].json["realtime"] == {"skipColumns": hidden}


def test_every_field_that_can_be_hidden_has_a_column() -> None:
    shown = {"id", "status", "task_identifier", "created_at", "updated_at"}
    states = {name for name in FollowedRun.__struct_fields__ if name.startswith("is_")} - {"is_test"}
    addresses = {"payload_presigned_url", "output_presigned_url"}

    assert set(FollowedRun.__struct_fields__) - shown - states - addresses <= set(auth._COLUMNS)
    assert set(auth._COLUMNS.values()) == set(columns.OPTIONAL)


async def test_tokens_that_trigger_count_once_unless_said(api: FakeApi) -> None:
    api.prepare(ROUTE, *[MADE] * 4)

    await auth.create_trigger_public_token("a", expiration_time="10m")
    auth.sync.create_trigger_public_token(["a", "b"], multiple_use=True)
    await auth.create_batch_trigger_public_token(["a", "b"])
    auth.sync.create_batch_trigger_public_token("a", multiple_use=True)

    assert [seen.json for seen in api.seen] == [
        {"scopes": ["trigger:tasks:a"], "expirationTime": "600s", "oneTimeUse": True},
        {"scopes": ["trigger:tasks:a", "trigger:tasks:b"]},
        {"scopes": ["batchTrigger:tasks:a", "batchTrigger:tasks:b"], "oneTimeUse": True},
        {"scopes": ["batchTrigger:tasks:a"]},
    ]


@pytest.mark.parametrize(
    ("scopes", "raised", "message"),
    [
        ({"read": {"runs": ""}}, ValueError, r"read\.runs: '' is blank; expected an id, or True for all"),
        ({"read": {"runs": ["run_1", " "]}}, ValueError, r"read\.runs: ' ' is blank"),
        ({"read": {"runs": []}}, ValueError, r"read\.runs is empty"),
        ({"read": {"runs": None}}, TypeError, "None has no id"),
        ({"read": {"run": "run_1"}}, TypeError, "unknown type 'run'; did you mean 'runs'"),
        ({"raed": {"runs": "run_1"}}, TypeError, "unknown action 'raed'; did you mean 'read'"),
        ({"read": True}, TypeError, "read=True is not accepted; expected what it is allowed on"),
        ({"admin": {"runs": True}}, TypeError, "expected True"),
        ({}, ValueError, "allows nothing"),
        ({"read": {"runs": False}}, ValueError, "allows nothing"),
        ([], ValueError, "allows nothing"),
        (["read:runs:"], ValueError, "'read:runs:' is not a scope"),
        ("read:runs", TypeError, "is not accepted"),
        ([1], TypeError, "is not accepted"),
    ],
)
def test_scopes_that_make_no_sense_are_refused_at_the_call(
    api: FakeApi, scopes: Any, raised: type[Exception], message: str
) -> None:
    for create in (auth.create_public_token, auth.sync.create_public_token):
        with pytest.raises(raised, match=message):
            create(scopes)
    assert api.seen == []


@pytest.mark.parametrize("blank", ["", "  ", ["a", ""], []])
def test_blank_tasks_are_refused_at_the_call(api: FakeApi, blank: Any) -> None:
    for create in (
        auth.create_trigger_public_token,
        auth.sync.create_trigger_public_token,
        auth.create_batch_trigger_public_token,
        auth.sync.create_batch_trigger_public_token,
    ):
        with pytest.raises(ValueError, match=r"blank|empty"):
            create(blank)
    assert api.seen == []


@pytest.mark.parametrize(
    ("arguments", "raised"),
    [
        ({"expiration_time": "soon"}, ValueError),
        ({"expiration_time": "31d"}, ValueError),
        ({"expiration_time": 0}, ValueError),
        ({"expiration_time": datetime.datetime(2030, 1, 1)}, ValueError),  # noqa: DTZ001
        ({"realtime": {"skip": ["payload"]}}, TypeError),
        ({"realtime": {"skip_columns": "payload"}}, TypeError),
        ({"realtime": {"skip_columns": [1]}}, TypeError),
        ({"realtime": {"skip_columns": ["payload", "payloads"]}}, ValueError),
        ({"realtime": {"skip_columns": ["status"]}}, ValueError),
    ],
)
def test_other_arguments_are_checked_at_the_call(api: FakeApi, arguments: Any, raised: type[Exception]) -> None:
    with pytest.raises(raised, match="is no"):
        auth.sync.create_public_token(["read:runs"], **arguments)
    assert api.seen == []


async def test_refusal_of_the_server_is_raised(api: FakeApi) -> None:
    api.prepare(
        ROUTE, Reply(403, {"error": "no", "code": "unauthorized", "param": "access_token"}, {"x-should-retry": "false"})
    )

    with pytest.raises(PermissionDenied):
        await auth.create_public_token(["read:runs"])
