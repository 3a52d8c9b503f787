"""What each operation does to a document: a table, and what holds for all documents."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncue.protocol.metadata import (
    AppendValue,
    DeleteKey,
    IncrementNumber,
    Operation,
    RemoveValue,
    ReplaceDocument,
    SetKey,
)
from oncue.protocol.metadata_operations import apply, check, equal


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def put(key: str, value: object) -> SetKey:
    return SetKey(key, raw(value))


def append(key: str, value: object) -> AppendValue:
    return AppendValue(key, raw(value))


def remove(key: str, value: object) -> RemoveValue:
    return RemoveValue(key, raw(value))


def applied(document: dict[str, Any], *operations: Operation) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    for operation in operations:
        check(operation)
        apply(changed, operation)
    return changed


@pytest.mark.parametrize(
    ("before", "operation", "after"),
    [
        ({}, put("a", 1), {"a": 1}),
        ({"a": 1}, put("a", None), {"a": None}),
        ({}, put("a.b", 1), {"a.b": 1}),
        ({}, put("$", 1), {"$": 1}),
        ({}, put("$.a.b", 1), {"a": {"b": 1}}),
        ({"a": {"x": 0}}, put("$.a.b.c", 1), {"a": {"x": 0, "b": {"c": 1}}}),
        ({}, put("$.a[0].b", 1), {"a": [{"b": 1}]}),
        ({}, put("$.a.0", 1), {"a": {"0": 1}}),
        ({"a": [1, 2]}, put("$.a.1", 3), {"a": [1, 3]}),
        ({"a": [1, 2]}, put("$.a[1]", 3), {"a": [1, 3]}),
        ({"a": [1]}, put("$.a[1]", 2), {"a": [1, 2]}),
        ({"a": [{}]}, put("$.a[0].b", 1), {"a": [{"b": 1}]}),
        ({}, put("$.a['b.c']", 1), {"a": {"b.c": 1}}),
        ({}, put('$.a["b"]', 1), {"a": {"b": 1}}),
        ({}, put("$.a\\.b", 1), {"a.b": 1}),
        ({"a": 1, "b": 2}, DeleteKey("a"), {"b": 2}),
        ({"b": 2}, DeleteKey("a"), {"b": 2}),
        ({"a": {"b": 1, "c": 2}}, DeleteKey("$.a.b"), {"a": {"c": 2}}),
        ({"a": [1, 2]}, DeleteKey("$.a[0]"), {"a": [2]}),
        ({"a": [1, 2]}, DeleteKey("$.a[2].x"), {"a": [1, 2]}),
        ({"a": 1}, DeleteKey("$.a.b.c"), {"a": 1}),
        ({}, append("a", 1), {"a": [1]}),
        ({"a": [1]}, append("a", [2]), {"a": [1, [2]]}),
        ({"a": "x"}, append("a", 1), {"a": ["x", 1]}),
        ({"a": None}, append("a", 1), {"a": [None, 1]}),
        ({}, append("$.a.b", 1), {"a": {"b": [1]}}),
        ({"a": {"b": {}}}, append("$.a.b", 1), {"a": {"b": [{}, 1]}}),
        ({"a": [1, 2, 1]}, remove("a", 1), {"a": [2]}),
        ({"a": [{"x": [1, {"y": None}]}, 2]}, remove("a", {"x": [1, {"y": None}]}), {"a": [2]}),
        ({"a": [1, True, 1.0, "1"]}, remove("a", 1), {"a": [True, "1"]}),
        ({"a": [0, False]}, remove("a", False), {"a": [0]}),
        ({"a": 1}, remove("a", 1), {"a": 1}),
        ({}, remove("a", 1), {}),
        ({"a": {"b": [1, 2]}}, remove("$.a.b", 1), {"a": {"b": [2]}}),
        ({}, IncrementNumber("a", 1), {"a": 1}),
        ({"a": 2}, IncrementNumber("a", -3), {"a": -1}),
        ({"a": 2}, IncrementNumber("a", 0.5), {"a": 2.5}),
        ({"a": "2"}, IncrementNumber("a", 1), {"a": 1}),
        ({"a": True}, IncrementNumber("a", 1), {"a": 1}),
        ({"a": [1]}, IncrementNumber("$.a[0]", 1), {"a": [2]}),
        ({"a": 1}, IncrementNumber("$.b.c", 1), {"a": 1, "b": {"c": 1}}),
        ({"a": 1}, ReplaceDocument(raw({"b": 2})), {"b": 2}),
        ({"a": 1}, ReplaceDocument(raw({})), {}),
    ],
)
def test_operation_changes_document_as_it_says(
    before: dict[str, Any], operation: Operation, after: dict[str, Any]
) -> None:
    changed = applied(before, operation)

    assert equal(changed, after), changed
    assert list(changed) == list(after)


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (put("__proto__", 1), "holds __proto__"),
        (DeleteKey("constructor"), "holds constructor"),
        (append("$.a.prototype.b", 1), "holds prototype"),
        (IncrementNumber("$.a['__proto__']", 1), "holds __proto__"),
        (IncrementNumber("$.a\\.b.__proto__", 1), "holds __proto__"),
        (put("$.", 1), "does not name one place"),
        (put("$..a", 1), "does not name one place"),
        (put("$.a.", 1), "does not name one place"),
        (put("$.a.*", 1), "does not name one place"),
        (put("$.a[*]", 1), "does not name one place"),
        (put("$.a[-1]", 1), "does not name one place"),
        (put("$.a[0:2]", 1), "does not name one place"),
        (put("$.a[?(@.b)]", 1), "does not name one place"),
        (put("$.a[" + "9" * 30 + "]", 1), "does not name one place"),
        (put("$" + ".a" * 101, 1), "has 101 steps; expected at most 100"),
        (put("a\0", 1), "NUL"),
        (DeleteKey("\ud800"), "lone surrogate"),
        (SetKey("a", msgspec.Raw(b'"\\ud800"')), "not valid JSON"),
        (SetKey("a", msgspec.Raw(b"[" * 20_000 + b"]" * 20_000)), "nested too deeply"),
        (ReplaceDocument(raw([1])), "expected a JSON object"),
        (ReplaceDocument(raw(None)), "expected a JSON object"),
        (IncrementNumber("a", 10**400), "too large"),
    ],
)
def test_senseless_operation_is_refused_with_reason(operation: Operation, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check(operation)


@pytest.mark.parametrize(
    ("before", "operation", "reason"),
    [
        ({"a": 1}, put("$.a.b", 1), "leads through a value of type int"),
        ({"a": None}, put("$.a.b", 1), "leads through a value of type null"),
        ({"a": "x"}, append("$.a.b", 1), "leads through a value of type str"),
        ({"a": [1]}, put("$.a.b", 1), "where there is an array; expected an index"),
        ({"a": [1]}, put("$.a[2]", 1), "index 2 in an array of 1"),
        ({"a": {}}, put("$.a[0]", 1), "where there is an object"),
        ({}, put("$.b.a[1]", 1), "index 1 where there is no array yet"),
        ({}, IncrementNumber("$.b[1000000]", 1), "index 1000000 where there is no array yet"),
        ({"a": 1.7e308}, IncrementNumber("a", 1.7e308), "too large"),
        ({"a": 10**400}, IncrementNumber("a", 0.5), "too large"),
    ],
)
def test_refused_operation_leaves_the_document_alone(before: dict[str, Any], operation: Operation, reason: str) -> None:
    document = copy.deepcopy(before)
    check(operation)

    with pytest.raises(ValueError, match=reason):
        apply(document, operation)

    assert document == before


def test_ints_stay_ints_when_incremented() -> None:
    changed = applied({"a": 2**60, "b": 1}, IncrementNumber("a", 1), IncrementNumber("b", 0.5))

    assert msgspec.json.encode(changed) == b'{"a":1152921504606846977,"b":1.5}'


def test_operation_applied_again_has_kept_its_value() -> None:
    operations: list[Operation] = [put("a", [1]), append("a", 2), put("$.b.c", {"d": 1}), IncrementNumber("$.b.c.d", 1)]

    assert applied({}, *operations) == applied({}, *operations) == {"a": [1, 2], "b": {"c": {"d": 2}}}


def test_deep_values_are_compared_without_end_of_stack() -> None:
    one: Any = []
    other: Any = []
    for _ in range(100_000):
        one, other = [one], [other]

    assert equal(one, other)
    assert not equal(one, [other])


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab1", max_size=3)
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner))
documents = st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3)
keys = st.sampled_from(["a", "b", "$.a.b", "$.a[0]", "$.b.0.c", "$.c"])


@given(documents, keys, st.lists(values, max_size=6))
def test_appended_values_stand_in_order_of_their_calls(document: dict[str, Any], key: str, added: list[Any]) -> None:
    try:
        changed = applied(document, put(key, []), *(append(key, value) for value in added))
    except ValueError:
        return
    found: list[Any] = changed[key] if not key.startswith("$") else _at(changed, key)

    assert equal(found, added)


def _at(document: Any, key: str) -> Any:
    for step in key.replace("[0]", ".0").split(".")[1:]:
        document = document[int(step)] if isinstance(document, list) else document[step]
    return document


@given(documents, keys, st.permutations([1, 2, -3, 10, 2**40]))
def test_order_of_increments_makes_no_difference(document: dict[str, Any], key: str, amounts: list[int]) -> None:
    try:
        changed = applied(document, put(key, 0), *(IncrementNumber(key, amount) for amount in amounts))
    except ValueError:
        return

    assert equal(changed, applied(document, put(key, sum(amounts))))


@given(documents, keys, values)
def test_removed_value_is_gone_and_nothing_else(document: dict[str, Any], key: str, value: Any) -> None:
    try:
        full = applied(document, put(key, [1, value, "x"]))
    except ValueError:
        return

    left = _at(applied(full, remove(key, value)), key if key.startswith("$") else f"$.{key}")

    assert equal(left, [each for each in (1, "x") if not equal(each, value)])


@given(values)
def test_value_equals_what_it_is_read_back_as(value: Any) -> None:
    assert equal(value, msgspec.json.decode(msgspec.json.encode(value)))
