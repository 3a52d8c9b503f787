"""Operations that wait to be sent come to the same as all that were made."""

from typing import Any

import msgspec
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
from oncue.protocol.metadata_operations import apply, equal
from oncue.sdk.metadata_queue import OperationQueue, size_of


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def queued(*operations: Operation) -> list[Operation]:
    queue = OperationQueue()
    for operation in operations:
        queue.add(operation)
    return list(queue)


def put(key: str, value: object) -> SetKey:
    return SetKey(key, raw(value))


keys = st.sampled_from(["a", "b", "$.a.b", "$.a[0]", "$.b.0", "$.c.d.e"])
values = (st.integers(-3, 3) | st.sampled_from([{}, [], [1], {"b": 1}, "x", None])).map(raw)
operations = st.one_of(
    st.builds(SetKey, keys, values),
    st.builds(DeleteKey, keys),
    st.builds(AppendValue, keys, values),
    st.builds(RemoveValue, keys, values),
    st.builds(IncrementNumber, keys, st.integers(-5, 5)),
    st.builds(ReplaceDocument, st.sampled_from([{}, {"a": 1}, {"b": [1]}]).map(raw)),
)
documents = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from([1, [], [2], {}, {"b": 3}, None]))


@given(documents, st.lists(operations, max_size=12))
def test_queue_comes_to_the_same_as_every_operation(document: dict[str, Any], made: list[Operation]) -> None:
    one, queue = dict(msgspec.json.decode(raw(document))), OperationQueue()
    for operation in made:
        try:
            apply(one, operation)
        except ValueError:
            continue
        queue.add(operation)

    other = msgspec.json.decode(raw(document))
    for operation in queue:
        apply(other, operation)

    assert equal(one, other)


@given(st.lists(operations, max_size=12), st.integers(1, 300))
def test_operations_taken_in_parts_are_all_operations(made: list[Operation], most_bytes: int) -> None:
    queue, parts = OperationQueue(), list[Operation]()
    for operation in made:
        queue.add(operation)
    everything = list(queue)

    while queue:
        part = queue.take(most_bytes)
        assert len(part) == 1 or sum(size_of(operation) for operation in part) <= most_bytes
        parts += part

    assert parts == everything


@given(st.lists(operations, min_size=1, max_size=12))
def test_size_is_at_least_what_a_document_grows(made: list[Operation]) -> None:
    document: dict[str, Any] = {}
    for operation in made:
        before = len(msgspec.json.encode(document))
        try:
            apply(document, operation)
        except ValueError:
            continue

        assert len(msgspec.json.encode(document)) <= before + size_of(operation)


def test_progress_told_often_is_sent_once() -> None:
    made: list[Operation] = []
    for number in range(1_000):
        made += [put("progress", number), IncrementNumber("$.rows.done", 2), put("$.stage.name", f"row {number}")]

    assert queued(*made) == [
        put("progress", 999),
        IncrementNumber("$.rows.done", 2_000),
        put("$.stage.name", "row 999"),
    ]


def test_replaced_document_forgets_what_came_before() -> None:
    replaced = ReplaceDocument(raw({"a": 1}))

    assert queued(put("a", 1), IncrementNumber("n", 1), replaced, IncrementNumber("n", 2)) == [
        replaced,
        IncrementNumber("n", 2),
    ]


def test_increments_too_large_together_stay_apart() -> None:
    two = [IncrementNumber("n", 1.7e308), IncrementNumber("n", 1.7e308)]

    assert queued(*two) == two
