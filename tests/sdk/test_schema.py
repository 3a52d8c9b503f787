"""Which documents fit an annotation, and what is said of those that do not."""

import datetime
import decimal
import enum
import json
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
import pytest

from oncue import PayloadValidationError
from oncue.protocol import codec
from oncue.sdk import schema

MOMENT = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
NAME = uuid.UUID(int=7)


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Address:
    street: str
    number: int = 1


@dataclass
class Person:
    name: str
    addresses: list[Address]
    born: datetime.date | None = None


class Dict(TypedDict):
    a: int
    b: NotRequired[str]


class Struct(msgspec.Struct):
    a: int
    b: str = ""


class Cat(msgspec.Struct, tag="cat"):
    name: str


class Dog(msgspec.Struct, tag="dog"):
    name: str


class _Invalid(ValueError):
    def errors(self) -> list[dict[str, Any]]:
        return [
            {"loc": ("tags", 1), "msg": "Input should be a valid string", "input": 3, "type": "string_type"},
            {"loc": ("name",), "msg": "Field required", "input": {}, "type": "missing"},
        ]


class Model:
    """Has what a pydantic model has; pydantic itself is not needed to run these tests."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and other.name == self.name

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # Without an address: it becomes part of a test's name, which must be the same in every test process.
        return f"Model({self.name!r})"

    @classmethod
    def model_validate_json(cls, document: bytes) -> "Model":
        value = json.loads(document)
        if "name" not in value:
            raise _Invalid("2 validation errors for Model")
        return cls(value["name"])

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return {"title": "Model", "type": "object"}

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        assert mode == "json"
        return {"name": self.name}


@dataclass
class Team:
    lead: Model
    members: list[Model]


def read(annotation: Any, document: bytes, type_: str = codec.JSON) -> Any:
    return schema.read(document, type_, schema.shape_of(annotation), subject="payload", task="t")


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Any, {"a": [1, None]}),
        (object, [1]),
        (int, 7),
        (float, 7),
        (str, "x"),
        (bool, True),
        (None, None),
        (bytes, b"\x00\xff"),
        (datetime.datetime, MOMENT),
        (datetime.timedelta, datetime.timedelta(seconds=90)),
        (decimal.Decimal, decimal.Decimal("1.10")),
        (uuid.UUID, NAME),
        (Colour, Colour.RED),
        (Literal["a", "b"], "a"),
        (int | None, None),
        (list[Address], [Address("x", 2)]),
        (dict[int, str], {7: "x"}),
        (tuple[int, str], (1, "x")),
        (set[int], {1, 2}),
        (Annotated[int, msgspec.Meta(ge=1)], 1),
        (Person, Person("Ann", [Address("x")], datetime.date(2000, 1, 1))),
        (Dict, {"a": 1, "b": "x"}),
        (Struct, Struct(1, "x")),
        (Cat | Dog, Dog("rex")),
        (Model, Model("x")),
        (Team, Team(Model("x"), [Model("y")])),
        (dict[str, Model], {"k": Model("x")}),
        (Model | None, None),
    ],
    ids=str,
)
def test_value_survives_the_wire(annotation: Any, value: Any) -> None:
    assert read(annotation, codec.encode(value)) == value


@pytest.mark.parametrize(
    ("annotation", "document", "reason"),
    [
        (int, b'"7"', "payload is str; expected int"),
        (int, b"7.5", "payload is float; expected int"),
        (int, b"true", "payload is bool; expected int"),
        (str, b"7", "payload is int; expected str"),
        (bool, b"1", "payload is int; expected bool"),
        (int | None, b'"x"', "payload is str; expected int | null"),
        (Person, b'{"name":"Ann"}', "payload: object missing required field `addresses`"),
        (Person, b'{"name":"Ann","addresses":[{"street":5}]}', "payload.addresses[0].street is int; expected str"),
        (Person, b'{"name":"Ann","addresses":[],"born":"yesterday"}', "payload.born: invalid RFC3339 encoded date"),
        (Dict, b"{}", "payload: object missing required field `a`"),
        (Struct, b"[]", "payload is array; expected object"),
        (Literal["a", "b"], b'"c"', "payload: invalid enum value 'c'"),
        (Annotated[int, msgspec.Meta(ge=1)], b"0", "payload: expected `int` >= 1"),
        (Cat | Dog, b'{"type":"cow"}', "payload.type: invalid value 'cow'"),
        (Model, b"{}", "payload.tags[1] is int; input should be a valid string; payload.name: field required"),
        (
            Team,
            b'{"lead":{"name":"x"},"members":[{}]}',
            (
                "payload.members[0].tags[1] is int; input should be a valid string; "
                "payload.members[0].name: field required"
            ),
        ),
    ],
    ids=str,
)
def test_misfit_names_field_found_and_expected(annotation: Any, document: bytes, reason: str) -> None:
    with pytest.raises(PayloadValidationError) as caught:
        read(annotation, document)

    assert str(caught.value) == f"the payload does not fit task 't': {reason}"


def test_dates_of_javascript_callers_are_understood() -> None:
    wrapped = b'{"json":{"name":"Ann","addresses":[],"born":null},"meta":{"values":{"born":["undefined"]}}}'
    moment = b'{"json":"2024-01-01T00:00:00.000Z","meta":{"values":["Date"]}}'

    assert read(Person, wrapped, codec.SUPER_JSON) == Person("Ann", [])
    assert read(datetime.datetime, moment, codec.SUPER_JSON) == MOMENT
    assert read(Model, b'{"json":{"name":"x"}}', codec.SUPER_JSON) == Model("x")
    with pytest.raises(PayloadValidationError, match=r"payload\.name is int; expected str"):
        read(Person, b'{"json":{"name":3,"addresses":[]}}', codec.SUPER_JSON)


def test_schema_is_published_where_there_is_one() -> None:
    person = json.loads(bytes(schema.shape_of(Person).json_schema()))
    team = json.loads(bytes(schema.shape_of(Team).json_schema()))

    assert person["$defs"]["Person"]["required"] == ["name", "addresses"]
    assert team["$defs"]["Team"]["properties"]["lead"] == {"title": "Model", "type": "object"}
    assert json.loads(bytes(schema.shape_of(Model).json_schema())) == Model.model_json_schema()
    assert schema.shape_of(Any).json_schema() is codec.NOTHING


def test_annotation_that_json_cannot_fill_is_refused() -> None:
    with pytest.raises(TypeError, match="JSON cannot be read into"):
        schema.shape_of(Address | Person)
