"""What a task says of its run is seen at once, and told in order."""

import enum
import gc
import math
import threading
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest

import oncue
from oncue import OncueError, OutsideTaskError, PayloadTooLarge, metadata
from oncue.protocol.metadata import IncrementNumber, MetadataUpdate, SetKey
from oncue.sdk import execution
from oncue.sdk.context import context_from
from oncue.sdk.metadata_buffer import MetadataBuffer

from .conftest import FakeApi, FakeRun


def given(inside: FakeRun, **run: Any) -> None:
    """Say how the run of the test was triggered."""
    inside.context = msgspec.structs.replace(inside.context, run=msgspec.structs.replace(inside.context.run, **run))


def sent(buffer: MetadataBuffer) -> dict[str, Any]:
    """Return the next request's body, as the wire has it."""
    group = buffer.next_group()
    assert group is not None
    body: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(group.update(3)))
    assert body.pop("epoch") == 3
    return body


def raw(value: object) -> bytes:
    return msgspec.json.encode(value)


def test_changes_are_seen_at_once(inside: FakeRun) -> None:
    given(inside, metadata={"user": {"name": "ann"}, "open": [1, 2, 1]})

    metadata.set("$.user.age", 7)
    metadata.append("log", {"at": 1})
    metadata.remove("open", 1)
    metadata.increment("n")
    metadata.increment("n", 2)
    metadata.decrement("n", 0.5)
    metadata.set("gone", 1)
    metadata.delete("gone")
    metadata.update({"a": 1, "b": (2, 3)})

    assert metadata.current() == {
        "user": {"name": "ann", "age": 7},
        "open": [2],
        "log": [{"at": 1}],
        "n": 2.5,
        "a": 1,
        "b": [2, 3],
    }
    assert metadata.get("$.user.name") == "ann"
    assert metadata.get("$.log[0].at") == 1
    assert metadata.get("missing") is None
    assert metadata.get("$.user.none", "default") == "default"
    metadata.replace({"only": None})
    assert metadata.current() == {"only": None}
    assert metadata.get("only", "default") is None


def test_what_is_read_is_a_copy(inside: FakeRun) -> None:
    value = {"list": [1]}
    metadata.set("a", value)
    value["list"].append(2)
    metadata.get("a")["list"].append(3)
    metadata.current()["a"]["list"].append(4)
    metadata.append("$.a.list", 5)

    assert metadata.current() == {"a": {"list": [1, 5]}}
    assert sent(inside.metadata) == {
        "operations": [
            {"type": "set", "key": "a", "value": {"list": [1]}},
            {"type": "append", "key": "$.a.list", "value": 5},
        ]
    }


def test_each_change_is_told_as_the_wire_has_it(inside: FakeRun) -> None:
    given(inside, parent_id="run_p", root_id="run_r", metadata={"gone": 1})

    metadata.set("a", None)
    metadata.delete("gone")
    metadata.append("l", 1)
    metadata.remove("l", 1)
    metadata.increment("n", 2)
    metadata.decrement("m", 1.5)
    metadata.parent.increment("done")
    metadata.parent.set("last", "x")
    metadata.root.append("log", [1])
    metadata.root.replace({})

    assert sent(inside.metadata) == {
        "operations": [
            {"type": "set", "key": "a", "value": None},
            {"type": "delete", "key": "gone"},
            {"type": "append", "key": "l", "value": 1},
            {"type": "remove", "key": "l", "value": 1},
            {"type": "increment", "key": "n", "value": 2},
            {"type": "increment", "key": "m", "value": -1.5},
        ],
        "parentOperations": [
            {"type": "increment", "key": "done", "value": 1},
            {"type": "set", "key": "last", "value": "x"},
        ],
        "rootOperations": [{"type": "update", "value": {}}],
    }
    assert metadata.current() == {"a": None, "l": [], "n": 2, "m": -1.5}


def test_run_without_parent_and_root_changes_itself(inside: FakeRun) -> None:
    metadata.set("a", 1)
    metadata.parent.append("a", 2)
    metadata.root.append("a", 3)

    assert metadata.get("a") == [1, 2, 3]
    assert [operation["type"] for operation in sent(inside.metadata)["operations"]] == ["set", "append", "append"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: metadata.set("__proto__", 1), "holds __proto__"),
        (lambda: metadata.set("$..a", 1), "does not name one place"),
        (lambda: metadata.get("$..a"), "does not name one place"),
        (lambda: metadata.set("$.n.a", 1), "leads through a value of type int"),
        (lambda: metadata.set("a", {1, "x", math.nan}), "cannot be written as JSON"),
        (lambda: metadata.set("a", object()), "object has no JSON form"),
        (lambda: metadata.parent.append("a", "\ud800"), "cannot be written as JSON"),
        (lambda: metadata.increment("a", math.nan), "expected a finite number"),
        (lambda: metadata.increment("a", math.inf), "expected a finite number"),
        (lambda: metadata.increment("a", True), "expected a finite number"),
        (lambda: metadata.decrement("a", cast("Any", "1")), "expected a finite number"),
        (lambda: metadata.increment("a", 10**400), "too large"),
        (lambda: metadata.replace(cast("Any", [1])), "values is list; expected a dict"),
        (lambda: metadata.set(cast("Any", 1), 1), "key=1 is not accepted"),
    ],
)
def test_senseless_change_is_refused_where_it_is_made(inside: FakeRun, change: Callable[[], None], reason: str) -> None:
    given(inside, metadata={"n": 1})

    with pytest.raises(ValueError, match=reason):
        change()

    assert metadata.current() == {"n": 1}
    assert inside.metadata.is_empty


def test_numbers_of_other_libraries_are_plain_numbers(inside: FakeRun) -> None:
    class Amount(float):
        pass

    class Level(enum.IntEnum):
        HIGH = 3

    metadata.increment("a", Amount(0.5))
    metadata.increment("b", Level.HIGH)

    assert metadata.current() == {"a": 0.5, "b": 3}
    assert sent(inside.metadata)["operations"][1] == {"type": "increment", "key": "b", "value": 3}


def test_update_with_a_bad_value_changes_nothing(inside: FakeRun) -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        metadata.update({"a": 1, "b": object()})

    assert metadata.current() == {}


def test_metadata_stays_within_its_limit(inside: FakeRun) -> None:
    metadata.set("a", "x" * 200_000)
    with pytest.raises(PayloadTooLarge, match="metadata is 262,145 bytes; the limit is 262,144"):
        metadata.set("b", "x" * (262_145 - 200_000 - 15))
    metadata.set("b", "x" * (262_144 - 200_000 - 15))
    for _ in range(10_000):
        metadata.set("a", "y")
    given(inside, parent_id="run_p")
    del inside.__dict__["metadata"]
    with pytest.raises(PayloadTooLarge, match="the value is 300,002 bytes"):
        metadata.parent.set("a", "x" * 300_000)

    assert inside.metadata.is_empty


def test_answer_brings_what_others_have_changed(inside: FakeRun) -> None:
    metadata.increment("n")
    sent(inside.metadata)
    metadata.increment("n", 10)
    metadata.set("late", 1)

    inside.metadata.settled(raw({"n": 5, "of_child": 1}))

    assert metadata.current() == {"n": 15, "of_child": 1, "late": 1}
    assert sent(inside.metadata)["operations"] == [
        {"type": "increment", "key": "n", "value": 10},
        {"type": "set", "key": "late", "value": 1},
    ]


def test_change_that_no_longer_fits_is_left_to_the_server(inside: FakeRun) -> None:
    metadata.set("a", 1)
    sent(inside.metadata)
    metadata.set("$.b.c", 1)

    inside.metadata.settled(raw({"b": "text now"}))

    assert metadata.current() == {"b": "text now"}
    assert sent(inside.metadata) == {"operations": [{"type": "set", "key": "$.b.c", "value": 1}]}


def test_group_is_the_same_until_it_is_answered(inside: FakeRun) -> None:
    metadata.increment("n")
    first = inside.metadata.next_group()
    metadata.increment("n")

    assert inside.metadata.next_group() is first
    inside.metadata.settled(raw({"n": 1}))
    assert inside.metadata.next_group() is not first
    inside.metadata.settled(raw({"n": 2}))
    assert inside.metadata.is_empty
    assert inside.metadata.next_group() is None


def test_refused_group_is_halved_until_one_is_given_up(inside: FakeRun) -> None:
    given(inside, parent_id="run_p")
    for name in "abc":
        metadata.set(name, 1)
    metadata.parent.set("bad", 1)
    told: list[Any] = []

    while (group := inside.metadata.next_group()) is not None:
        if any(target == "parent" for target, _ in group.entries):
            told += inside.metadata.refused()
        else:
            inside.metadata.settled(raw(dict.fromkeys("abc", 1)))

    assert [(target, operation.key) for target, operation in told] == [("parent", "bad")]


def test_large_changes_go_out_in_several_requests(inside: FakeRun) -> None:
    given(inside, parent_id="run_p")
    for number in range(20):
        metadata.parent.append("l", f"{number:02}" + "x" * 50_000)
    bodies: list[bytes] = []
    while (group := inside.metadata.next_group()) is not None:
        bodies.append(raw(group.update(3)))
        inside.metadata.settled(b"{}")

    assert all(len(body) < 300_000 for body in bodies)
    updates = [msgspec.json.decode(body, type=MetadataUpdate) for body in bodies]
    values = [bytes(getattr(operation, "value"))[1:3] for update in updates for operation in update.parent_operations]  # noqa: B009
    assert values == [b"%02d" % number for number in range(20)]


def test_worker_is_woken_once_for_many_changes(inside: FakeRun) -> None:
    for _ in range(100):
        metadata.increment("n")

    assert len(inside.woken) == 1
    sent(inside.metadata)
    metadata.increment("n")
    assert len(inside.woken) == 2


def test_threads_of_a_task_lose_no_change(inside: FakeRun) -> None:
    def work() -> None:
        execution.current.set(inside)
        for _ in range(2_000):
            metadata.increment("n")
            metadata.append("$.log.all", 1)

    buffer, total, log = inside.metadata, 0, 0
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or not buffer.is_empty:
        group = buffer.next_group()
        if group is None:
            continue
        for _, operation in group.entries:
            if isinstance(operation, IncrementNumber):
                total += int(operation.value)
            else:
                log += 1
        buffer.settled(raw({"n": total, "log": {"all": [1] * log}}))
    for thread in threads:
        thread.join()

    assert (total, log) == (8_000, 8_000)
    assert metadata.get("n") == 8_000


def test_runs_do_not_mix(inside: FakeRun, assignment: Any) -> None:
    other = FakeRun(context_from(assignment, task_file=None, environment="dev", worker_id="worker_1"))
    metadata.set("who", "one")
    token = execution.current.set(other)
    metadata.set("who", "other")
    execution.current.reset(token)

    assert metadata.current() == {"who": "one"}
    assert [type(operation) for _, operation in _entries(other)] == [SetKey]


def _entries(run: FakeRun) -> list[Any]:
    group = run.metadata.next_group()
    assert group is not None
    return group.entries


async def test_flush_and_refresh_are_awaited(inside: FakeRun) -> None:
    await metadata.flush()
    await metadata.refresh()

    assert inside.flushes == [False, True]
    with pytest.raises(OncueError, match=r"metadata\.sync\.flush\(\) would block.*write `await metadata\.flush\(\)`"):
        metadata.sync.flush()


def test_plain_task_flushes_on_its_thread(inside: FakeRun) -> None:
    inside.blocks_thread = True
    metadata.sync.flush()
    metadata.sync.refresh()

    assert inside.flushes == [False, True]


@pytest.mark.filterwarnings("default")
def test_flush_that_is_not_awaited_warns(inside: FakeRun) -> None:
    def forget() -> None:
        metadata.flush()  # type: ignore[unused-coroutine]
        gc.collect()

    with pytest.warns(RuntimeWarning, match=r"coroutine 'metadata\.flush' was never awaited"):
        forget()


@pytest.mark.parametrize(
    "call",
    [
        lambda: metadata.set("a", 1),
        lambda: metadata.delete("a"),
        lambda: metadata.append("a", 1),
        lambda: metadata.remove("a", 1),
        lambda: metadata.increment("a"),
        lambda: metadata.decrement("a"),
        lambda: metadata.update({"a": 1}),
        lambda: metadata.replace({}),
        lambda: metadata.parent.set("a", 1),
        lambda: metadata.root.set("a", 1),
        lambda: metadata.get("a"),
        metadata.current,
        metadata.flush,
        metadata.refresh,
        metadata.sync.flush,
        metadata.sync.refresh,
    ],
)
def test_metadata_outside_a_task_says_what_to_do(api: FakeApi, call: Callable[[], Any]) -> None:
    with pytest.raises(OutsideTaskError, match=r"no run is executing here.*metadata=.*runs\.retrieve\(run\)"):
        call()

    assert api.seen == []


def test_namespaces_are_public_modules() -> None:
    assert oncue.metadata is metadata
    assert oncue.metadata.parent is metadata.parent
    assert callable(oncue.tags.add)
