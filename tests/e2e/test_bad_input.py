"""What makes no sense is refused early, with an error that says what to do."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

import oncue
from oncue import (
    ConnectionFailed,
    NotFound,
    OutsideTaskError,
    PayloadTooLarge,
    PayloadValidationError,
    SettingsError,
    Unauthorized,
    batch,
    item,
    runs,
    tasks,
)
from oncue.sdk import settings
from tests.e2e.programs.children import Order, double, nothing, price
from tests.fixtures.stack import KEY, Stack


@pytest.fixture
def nowhere() -> Iterator[str]:
    """Call a port where nobody listens: a request that is made fails."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        oncue.configure(api_url=url, secret_key=KEY)
        yield url
    settings.reset()


@pytest.mark.usefixtures("nowhere")
class TestNoRequestIsMade:
    async def test_unknown_option_names_the_one_that_is_meant(self) -> None:
        with pytest.raises(TypeError, match=r"unknown option 'dealy'; did you mean 'delay'\?"):
            await double.trigger(1, dealy="1h")  # type: ignore[call-arg]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"delay": "soon"}, r"delay='soon' is not accepted; expected a duration such as \"1h\""),
            ({"max_attempts": 0}, r"max_attempts=0 is not accepted; expected a whole number from 1 to 250"),
            ({"max_attempts": "3"}, r"max_attempts='3' is not accepted; expected a whole number"),
            ({"priority": "high"}, r"priority='high' is not accepted; expected seconds of head start"),
            ({"tags": [1]}, r"tags=\[1\] is not accepted; expected a string or at most 10"),
            ({"metadata": [1]}, r"metadata=\[1\] is not accepted; expected a dict"),
            ({"queue": 7}, r"queue=7 is not a queue; expected a name, queue\(name"),
            ({"concurrency_key": None, "machine": "huge"}, r"machine='huge' is not accepted; expected one of micro"),
            ({"max_duration": -1}, r"max_duration=-1 is not a length of time; expected a duration such as"),
        ],
    )
    async def test_option_that_makes_no_sense_is_named(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            await tasks.trigger("double", 1, **options)
        with pytest.raises(ValueError, match=rf"items\[1\]: {message}"):
            await tasks.batch_trigger("double", [item(1), item(2, **options)])
        with pytest.raises(ValueError, match=message):
            double.sync.trigger(1, **options)

    async def test_payload_of_wrong_type_is_refused_at_hand(self) -> None:
        wrong: Any = {"customer": "Ann", "amount": "many"}

        with pytest.raises(PayloadValidationError, match=r"task 'price': payload\.amount is str; expected int"):
            await price.trigger(wrong)
        with pytest.raises(PayloadValidationError, match=r"items\[1\]: .*payload\.amount is str; expected int"):
            await price.batch_trigger([item(Order("Ann", 1)), item(wrong)])
        with pytest.raises(PayloadValidationError, match=r"payload\.amount is str"):
            price.sync.trigger(wrong)

    async def test_missing_field_is_named(self) -> None:
        wrong: Any = {"customer": "Ann"}

        with pytest.raises(PayloadValidationError, match="missing required field `amount`"):
            await price.trigger(wrong)

    async def test_payload_too_many_or_too_few_is_said(self) -> None:
        with pytest.raises(
            PayloadValidationError, match="'double' takes a payload, and got none; give it as the first"
        ):
            await double.trigger()  # type: ignore[call-arg]
        with pytest.raises(PayloadValidationError, match=r"'nothing' takes no payload, .* leave it out"):
            await nothing.trigger(1)  # type: ignore[call-overload]

    async def test_payload_without_json_form_is_refused(self) -> None:
        with pytest.raises(PayloadValidationError, match="the payload for task 'double' cannot be written as JSON"):
            await tasks.trigger("double", object())

    async def test_waiting_outside_a_task_names_what_works(self) -> None:
        with pytest.raises(OutsideTaskError, match=r"call trigger\(\) and then `await handle.result\(\)`"):
            await double.trigger_and_wait(1)
        with pytest.raises(OutsideTaskError, match="waits inside a run"):
            batch.sync.trigger_by_task_and_wait((double.item(1),))

    async def test_items_that_are_none_are_named(self) -> None:
        with pytest.raises(TypeError, match=r"items\[0\] is int; expected item\(payload\)"):
            await tasks.batch_trigger("double", [1])  # type: ignore[list-item]
        with pytest.raises(ValueError, match="items is empty"):
            await tasks.batch_trigger("double", [])
        with pytest.raises(TypeError, match=r"items\[0\] names no task; expected item\('task-id', payload\)"):
            await batch.trigger([item(1)])


async def test_missing_key_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIGGER_SECRET_KEY", raising=False)

    with pytest.raises(SettingsError, match=r"TRIGGER_SECRET_KEY is not set; .*`oncue keys create`"):
        await tasks.trigger("double", 1)


async def test_wrong_key_says_what_to_check(backend: Stack) -> None:
    oncue.configure(secret_key="tr_dev_sk_thisisnotthekeyofanybody")

    with pytest.raises(Unauthorized, match="does not accept the key in TRIGGER_SECRET_KEY; make one with") as refused:
        await tasks.trigger("double", 1)
    assert backend.server.url in str(refused.value)
    assert "thisisnot" not in str(refused.value)
    assert refused.value.status == 401


@pytest.mark.slow
async def test_server_that_is_down_says_how_to_start_one(nowhere: str) -> None:
    with pytest.raises(ConnectionFailed, match=r"start a server with `oncue dev`, or set TRIGGER_API_URL") as failed:
        await tasks.trigger("double", 1)
    assert nowhere in str(failed.value)


async def test_run_that_is_not_there_is_named(backend: Stack) -> None:
    with pytest.raises(NotFound, match="run"):
        await runs.retrieve("run_00000000000000000000000000")
    with pytest.raises(NotFound, match="'no-id-at-all' is not a run id; expected run_ and 26 characters"):
        await runs.retrieve("no-id-at-all")
    with pytest.raises(NotFound):
        await batch.retrieve("batch_00000000000000000000000000")


async def test_payload_beyond_the_limit_names_both_sizes(backend: Stack) -> None:
    with pytest.raises(PayloadTooLarge, match=r"10,485,7\d\d.*10,485,760|limit is 10,485,760"):
        await tasks.trigger("double", "x" * (10 * 1024 * 1024))
