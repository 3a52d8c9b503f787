"""What a call looks like on the wire, and what its answer means."""

import random

import pytest

from oncue.protocol.errors import (
    BadRequest,
    LeaseLost,
    NotFound,
    PayloadTooLarge,
    PermissionDenied,
    ServerError,
    Unauthorized,
    UnprocessableRequest,
)
from oncue.protocol.triggers import TriggerRequest
from oncue.sdk import answers, requests, retrying
from oncue.sdk.answers import Answer, NoAnswer
from oncue.sdk.retrying import ITEM_STREAMS, JSON_CALLS, OPEN_STREAMS, PATIENT
from oncue.sdk.settings import Settings

WHERE = Settings("http://localhost:3030", "tr_dev_sk_secret")


def answer(status: int, body: bytes = b"", at: float = 100.0, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body, at)


def test_headers_say_who_calls() -> None:
    request = requests.http_request(requests.trigger("child", TriggerRequest()), WHERE)

    assert request.headers["Authorization"] == "Bearer tr_dev_sk_secret"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["x-trigger-api-version"] == "2025-07-16"
    assert request.headers["x-trigger-source"] == "sdk"
    assert request.headers["trigger-version"] == requests.version()
    assert len(request.headers["x-trigger-request-idempotency-key"]) == 36


def test_item_streams_carry_no_request_key() -> None:
    request = requests.http_request(requests.fill_batch("batch_1", b"{}\n"), WHERE)

    assert request.headers["Content-Type"] == "application/x-ndjson"
    assert "x-trigger-request-idempotency-key" not in request.headers


def test_task_id_is_one_path_segment() -> None:
    request = requests.http_request(requests.trigger("folder/my task", TriggerRequest()), WHERE)

    assert request.url == "http://localhost:3030/api/v1/tasks/folder%2Fmy%20task/trigger"


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":"no such queue","code":"unprocessable"}', "no such queue", UnprocessableRequest),
        (b'{"error":{"message":"no such queue","code":"x"}}', "no such queue", UnprocessableRequest),
        (b'{"error":"the lease is gone","code":"lease_lost"}', "the lease is gone", LeaseLost),
        (b"<html>bad gateway</html>", "422 <html>bad gateway</html>", UnprocessableRequest),
        (b"", "422", UnprocessableRequest),
    ],
)
def test_error_bodies_are_read_in_each_form(body: bytes, message: str, code: type[Exception]) -> None:
    error = answers.refusal(answer(422, body), WHERE)

    assert type(error) is code
    assert error.message == message


@pytest.mark.parametrize(
    ("status", "raised"),
    [(400, BadRequest), (401, Unauthorized), (403, PermissionDenied), (404, NotFound), (413, PayloadTooLarge),
     (500, ServerError), (502, ServerError)],
)  # fmt: skip
def test_status_decides_the_class_without_a_code(status: int, raised: type[Exception]) -> None:
    assert type(answers.refusal(answer(status, b'{"error":"no"}'), WHERE)) is raised


def test_refused_key_is_told_where_to_get_one() -> None:
    error = answers.refusal(answer(401, b'{"error":"Invalid or Missing API key"}'), WHERE)

    assert "TRIGGER_SECRET_KEY" in str(error)
    assert "oncue keys create" in str(error)
    assert "http://localhost:3030" in str(error)
    assert "tr_dev_sk_secret" not in str(error)


@pytest.mark.parametrize(
    ("reply", "attempt", "wait"),
    [
        (answer(500), 1, 1.0),
        (answer(500), 4, 4.096),
        (answer(500), 5, None),
        (answer(400), 1, None),
        (answer(422), 1, None),
        (answer(429), 2, 1.6),
        (answer(429, retry_after="9"), 1, 1.0),
        (answer(429, x_ratelimit_reset="103000"), 1, 3.5),
        (answer(429, x_ratelimit_reset="nonsense"), 1, 1.0),
        (answer(429, x_ratelimit_reset="103000", x_should_retry="false"), 1, None),
        (NoAnswer(OSError("refused"), 100.0), 3, 2.56),
    ],
)
def test_json_calls_wait_as_the_contract_says(reply: Answer | NoAnswer, attempt: int, wait: float | None) -> None:
    assert retrying.wait_before_retry(reply, attempt, JSON_CALLS, 0.5) == (wait and pytest.approx(wait))


@pytest.mark.parametrize(
    ("reply", "attempt", "wait"),
    [(answer(500), 1, 1.5), (answer(500), 3, 6.0), (answer(429, retry_after="9"), 1, 9.0), (answer(500), 5, None)],
)
def test_item_streams_wait_with_jitter(reply: Answer, attempt: int, wait: float | None) -> None:
    assert retrying.wait_before_retry(reply, attempt, ITEM_STREAMS, 0.5) == wait


@pytest.mark.parametrize(
    ("reply", "counts"),
    [
        (answer(429, x_ratelimit_reset="103000"), False),
        (answer(429, retry_after="9"), False),
        (answer(429, x_ratelimit_reset="99000", retry_after="9"), False),
        (answer(429), True),
        (answer(429, x_ratelimit_reset="99000"), True),
        (answer(429, retry_after="0"), True),
        (answer(500, retry_after="9"), True),
        (NoAnswer(OSError("refused"), 100.0), True),
    ],
)
def test_named_waits_of_open_streams_are_no_attempts(reply: Answer | NoAnswer, *, counts: bool) -> None:
    assert retrying.counts_as_attempt(reply, OPEN_STREAMS) is counts
    assert retrying.counts_as_attempt(reply, ITEM_STREAMS)
    assert retrying.counts_as_attempt(reply, JSON_CALLS)


@pytest.mark.parametrize(
    ("reply", "counts"),
    [
        (NoAnswer(OSError("refused"), 100.0), False),
        (answer(503), False),
        (answer(502), False),
        (answer(500), True),
        (answer(429, retry_after="9"), True),
    ],
)
def test_what_a_run_sends_waits_for_the_server(reply: Answer | NoAnswer, *, counts: bool) -> None:
    assert retrying.counts_as_attempt(reply, PATIENT) is counts
    assert retrying.wait_before_retry(reply, 5_000, PATIENT, 0.5, counted=0) == 5.0
    assert retrying.wait_before_retry(reply, 5, PATIENT, 0.5, counted=5) is None


def test_waits_never_exceed_thirty_seconds() -> None:
    patient = ITEM_STREAMS._replace(attempts=100)

    waits = [patient.backoff_s(attempt, random.random()) for attempt in range(1, 100)]

    assert max(waits) == 30
