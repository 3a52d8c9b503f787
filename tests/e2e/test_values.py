"""Payloads and outputs keep what JSON has no word for, by their annotations."""

import dataclasses
import datetime
import decimal
import uuid
from typing import Any

import pytest

from oncue import PayloadValidationError, runs, tasks
from tests.api.client import Client
from tests.e2e.conftest import Run
from tests.e2e.programs.values import Customer, Kind, Order, doubles, pays
from tests.fixtures.stack import KEY, LONG_S, Stack

ORDER = Order(
    id=uuid.UUID("018f0e7c-0000-7000-8000-000000000001"),
    kind=Kind.TRADE,
    placed_at=datetime.datetime(2030, 1, 31, 23, 30, 0, 123456, tzinfo=datetime.UTC),
    due_on=datetime.date(2030, 2, 28),
    total=decimal.Decimal("19.90"),
    receipt=b"\x00\xff receipt",
)


async def test_dataclass_goes_to_a_task_and_back(run: Run) -> None:
    result = await (await doubles.trigger(ORDER)).result(LONG_S)

    moved = datetime.datetime(2030, 2, 1, 0, 30, 0, 123456, tzinfo=datetime.UTC)
    assert result.unwrap() == dataclasses.replace(ORDER, total=decimal.Decimal("39.80"), placed_at=moved)


async def test_waiting_parent_gets_the_types_of_its_children(run: Run) -> None:
    assert await run("doubles-an-order-for-a-parent", ORDER) == [True, "79.60"]


async def test_pydantic_model_goes_to_a_task_and_back(run: Run) -> None:
    born_on = datetime.date(2000, 2, 29)
    customer = Customer(name="Ann", born_on=born_on, balance=decimal.Decimal("0.20"), orders=[ORDER.id])

    result = await (await pays.trigger(customer)).result(LONG_S)

    assert result.unwrap() == customer.model_copy(update={"balance": decimal.Decimal("0.30")})


async def test_what_a_model_does_not_allow_is_refused_by_its_name(run: Run) -> None:
    wrong = {"name": "", "born_on": "2000-02-30", "balance": "1"}

    with pytest.raises(PayloadValidationError, match=r"payload\.name is str; .* 1 character; payload\.born_on is str"):
        await pays.trigger(wrong)  # type: ignore[arg-type]
    # By its id nothing is known of the task here, and the worker refuses.
    failed = await (await tasks.trigger("pays-a-customer", wrong)).result(LONG_S)
    assert not failed.ok
    assert failed.error.name == "PayloadValidationError"
    assert "name" in failed.error.message
    assert "born_on" in failed.error.message


async def test_superjson_of_javascript_becomes_pythons_own(run: Run, backend: Stack) -> None:
    text = (
        '{"json":{"at":"2030-01-31T12:00:00.000Z","big":"9007199254740993","of":[1,2],"by":[["k",1]],"not":null},'
        '"meta":{"values":{"at":["Date"],"big":["bigint"],"of":["set"],"by":["map"],"not":["undefined"]}}}'
    )
    async with Client(backend.server.url, KEY) as client:
        handle = await client.trigger("tells-types", text, payloadType="application/super+json")
        order = await client.trigger(
            "doubles-an-order",
            '{"json":{"id":"018f0e7c-0000-7000-8000-000000000001","kind":"retail","placed_at":"2030-01-31T12:00:00.000Z",'
            '"due_on":"2030-02-28","total":"1.5","receipt":"AP8="},'
            '"meta":{"values":{"placed_at":["Date"]}}}',
            payloadType="application/super+json",
        )
    told = await tasks_result(handle)
    doubled = await tasks_result(order)

    assert told == {
        "at": "datetime datetime.datetime(2030, 1, 31, 12, 0, tzinfo=datetime.timezone.utc)",
        "big": "int 9007199254740993",
        "of": "set {1, 2}",
        "by": "dict {'k': 1}",
        "not": "NoneType None",
    }
    assert (doubled["placed_at"], doubled["total"], doubled["receipt"]) == ("2030-01-31T13:00:00Z", "3.0", "AP8=")


async def tasks_result(run_id: str) -> Any:
    return (await runs.poll(run_id, interval=0.05, timeout=LONG_S)).output
