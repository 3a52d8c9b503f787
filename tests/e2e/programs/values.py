"""Tasks whose payloads and outputs hold what JSON cannot say by itself."""

import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Any

import pydantic

from oncue import task


class Kind(enum.Enum):
    """Of an order."""

    RETAIL = "retail"
    TRADE = "trade"


@dataclasses.dataclass
class Order:
    """Values of every such kind."""

    id: uuid.UUID
    kind: Kind
    placed_at: datetime.datetime
    due_on: datetime.date
    total: decimal.Decimal
    receipt: bytes
    patience: datetime.timedelta = datetime.timedelta(hours=1)


class Customer(pydantic.BaseModel):
    """A pydantic model with rules of its own."""

    name: str = pydantic.Field(min_length=1)
    born_on: datetime.date
    balance: decimal.Decimal
    orders: list[uuid.UUID] = []


@task(id="doubles-an-order")
async def doubles(order: Order) -> Order:
    return dataclasses.replace(order, total=2 * order.total, placed_at=order.placed_at + order.patience)


@task(id="doubles-an-order-for-a-parent")
async def for_a_parent(order: Order) -> tuple[bool, decimal.Decimal]:
    doubled = (await doubles.trigger_and_wait(order)).unwrap()
    several = await doubles.batch_trigger_and_wait([doubles.item(order), doubles.item(doubled)])
    same = doubled == several.runs[0].unwrap()
    return same, several.runs[1].unwrap().total


@task(id="pays-a-customer")
async def pays(customer: Customer) -> Customer:
    return customer.model_copy(update={"balance": customer.balance + decimal.Decimal("0.10")})


@task(id="tells-types")
async def tells_types(payload: Any) -> dict[str, str]:
    return {name: f"{type(value).__name__} {value!r}" for name, value in payload.items()}
