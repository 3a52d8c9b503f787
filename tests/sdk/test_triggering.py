"""From a call to its request and its handle."""

import datetime
import json
from dataclasses import dataclass

import pytest

from oncue import PayloadValidationError, SettingsError, configure, queue, task, tasks
from oncue.sdk import settings

from .conftest import FakeApi, Reply


@dataclass
class Email:
    to: str
    at: datetime.datetime | None = None


@dataclass
class Receipt:
    number: int


async def test_trigger_sends_the_contract_body(api: FakeApi) -> None:
    handle = await tasks.trigger("email/sequence", {"to": "a@b.c"}, delay="1h", tags="new", queue="emails", priority=5)

    (seen,) = api.seen
    assert seen.path == "/api/v1/tasks/email%2Fsequence/trigger"
    options = dict(seen.json["options"])
    assert options.pop("runId") == handle.id
    assert options == {"delay": "1h", "tags": ["new"], "queue": {"name": "emails"}, "priority": 5}
    assert seen.json["payload"] == {"to": "a@b.c"}
    assert handle.task_identifier == "email/sequence"


async def test_handle_is_plain_json_for_a_web_handler(api: FakeApi) -> None:
    handle = await tasks.trigger("child")

    shown = json.loads(json.dumps(handle.to_dict()))

    assert shown == {
        "id": handle.id,
        "taskIdentifier": "child",
        "isCached": False,
        "publicAccessToken": "token",
    }
    assert "token" not in repr(handle)


async def test_cached_run_keeps_its_own_id(api: FakeApi) -> None:
    api.prepare("POST", Reply(200, {"id": "run_old", "isCached": True}))

    handle = await tasks.trigger("child", idempotency_key="a")

    assert (handle.id, handle.is_cached) == ("run_old", True)


async def test_task_writes_dataclass_and_names_its_queue(api: FakeApi) -> None:
    @task(queue=queue("emails", concurrency_limit=3))
    async def send(payload: Email) -> Receipt:
        return Receipt(len(payload.to))

    await send.trigger(Email("a", datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)))
    await send.trigger(Email("a"), queue="other")

    assert api.seen[0].json["payload"] == {"to": "a", "at": "2024-01-01T00:00:00Z"}
    assert api.seen[0].json["options"]["queue"] == "emails"
    assert api.seen[1].json["options"]["queue"] == {"name": "other"}


async def test_absent_payload_differs_from_null(api: FakeApi) -> None:
    await tasks.trigger("child")
    await tasks.trigger("child", None)

    assert "payload" not in api.seen[0].json
    assert api.seen[1].json["payload"] is None


async def test_task_without_payload_sends_none(api: FakeApi) -> None:
    @task
    def nightly() -> None: ...

    await nightly.trigger()
    nightly.sync.trigger()

    assert ["payload" in seen.json for seen in api.seen] == [False, False]


def test_misfit_is_refused_before_any_request(api: FakeApi) -> None:
    @task
    async def send(payload: Email) -> None: ...

    @task
    def nightly() -> None: ...

    with pytest.raises(PayloadValidationError, match=r"payload\.to is int; expected str"):
        _ = send.trigger(Email(3))  # type: ignore[arg-type]
    with pytest.raises(PayloadValidationError, match="takes a payload"):
        send.sync.trigger()  # type: ignore[call-arg]
    with pytest.raises(PayloadValidationError, match="takes no payload"):
        nightly.sync.trigger(3)  # type: ignore[call-overload]
    with pytest.raises(PayloadValidationError, match="cannot be written as JSON"):
        tasks.sync.trigger("child", object())
    with pytest.raises(PayloadValidationError, match="cannot be written as JSON"):
        tasks.sync.trigger("child", "\ud800")
    assert api.seen == []


@pytest.mark.parametrize("task_id", ["", "x" * 257])
def test_impossible_task_id_is_refused(task_id: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 256 characters"):
        tasks.sync.trigger(task_id)


def test_missing_key_says_where_to_find_one() -> None:
    with pytest.raises(SettingsError) as caught:
        tasks.sync.trigger("child")

    assert "TRIGGER_SECRET_KEY" in str(caught.value)
    assert "oncue keys create" in str(caught.value)


def test_environment_is_read_at_the_call(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.reset()
    monkeypatch.setenv("TRIGGER_SECRET_KEY", " tr_dev_sk_from_env\n")
    monkeypatch.setenv("TRIGGER_API_URL", api.url + "/")

    tasks.sync.trigger("child")

    assert api.seen[0].headers["authorization"] == "Bearer tr_dev_sk_from_env"


@pytest.mark.parametrize("address", ["localhost:3030", "ftp://x", "http://", "  "])
def test_impossible_address_is_refused(address: str) -> None:
    with pytest.raises(SettingsError, match="expected one such as http://localhost:3030"):
        configure(api_url=address)


def test_settings_do_not_show_the_key() -> None:
    configure(secret_key="tr_dev_sk_hidden")

    assert "hidden" not in repr(settings.current())
