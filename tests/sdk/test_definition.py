"""What the decorator accepts, and the task that it makes."""

import asyncio
import datetime
import functools
import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oncue import Context, PayloadValidationError, Retry, item, queue, task
from oncue.protocol import codec
from oncue.protocol.work import Assignment
from oncue.sdk import registry
from oncue.sdk.context import context_from

from .conftest import FakeRun


def test_id_is_the_name_with_dashes() -> None:
    @task
    def send_the_mail() -> None: ...

    @task(id="other")
    def _hidden_one() -> None: ...

    assert (send_the_mail.id, _hidden_one.id) == ("send-the-mail", "other")
    assert registry.find("send-the-mail") is send_the_mail
    assert registry.all_tasks() == [send_the_mail, _hidden_one]


def test_declaration_says_what_the_code_says() -> None:
    @task(
        queue=queue("emails", concurrency_limit=10),
        retry={"max_attempts": 4, "min_timeout": "2s"},
        machine="small-2x",
        max_duration="5m",
        ttl=datetime.timedelta(hours=1),
    )
    async def send(payload: list[int]) -> None: ...

    declared = registry.declaration(send)

    assert (declared.id, declared.queue, declared.concurrency_limit) == ("send", "emails", 10)
    assert declared.retry == Retry(max_attempts=4, min_timeout="2s")
    assert (declared.machine, declared.max_duration_ms, declared.ttl_ms) == ("small-2x", 300_000, 3_600_000)
    assert json.loads(bytes(declared.payload_schema)) == {"type": "array", "items": {"type": "integer"}}
    assert declared.file is not None
    path, _, line = declared.file.rpartition(":")
    assert "async def send" in "".join(Path(path).read_text().splitlines(keepends=True)[int(line) - 1 :][:8])


def test_declaration_of_plain_task_leaves_all_to_the_server() -> None:
    @task
    def nightly() -> None: ...

    declared = registry.declaration(nightly)

    assert (declared.queue, declared.retry, declared.machine, declared.ttl_ms) == (None, None, None, None)
    assert declared.payload_schema is codec.NOTHING


def _positional(payload: int, *rest: int) -> None: ...
def _keyword(payload: int, *, more: int) -> None: ...
def _keywords(payload: int, **more: int) -> None: ...
def _three(payload: int, ctx: Context, more: int) -> None: ...
def _only_context(ctx: Context) -> None: ...
def _method(self: object, payload: int) -> None: ...
def _plain(payload: int) -> None: ...
def _generator(payload: int) -> Iterator[int]:
    yield payload


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_positional, r"has the parameter '\*rest: int'"),
        (_keyword, "has the parameter 'more: int'"),
        (_keywords, r"has the parameter '\*\*more: int'"),
        (_three, "has 3 parameters, payload, ctx, more"),
        (_only_context, "takes only 'ctx'"),
        (_method, "is a method"),
        (_generator, "is a generator"),
        (len, "is not a function"),
        (functools.partial(_three, 1), "is not a function"),
    ],
)
def test_impossible_function_is_refused_with_what_is_accepted(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(TypeError, match=message) as caught:
        task(function)

    assert any(word in str(caught.value) for word in ("(payload, ctx)", "return", "async def"))
    assert registry.all_tasks() == []


@pytest.mark.parametrize(
    ("settings", "raised", "message"),
    [
        ({"id": ""}, ValueError, "task id '' is not accepted"),
        ({"queue": 3}, ValueError, "queue=3 is not a queue"),
        ({"retry": {"max_attempts": 0}}, ValueError, "max_attempts=0 is out of range"),
        ({"retry": {"maxAttempts": 3}}, TypeError, "unknown key of retry 'maxAttempts'; did you mean 'max_attempts'"),
        ({"retry": 3}, TypeError, r"retry=3 is not accepted; expected Retry\("),
        ({"machine": "huge"}, ValueError, "machine='huge' is not accepted; expected one of micro"),
        ({"max_duration": "long"}, ValueError, "max_duration='long' is not a length of time"),
        ({"ttl": -1}, ValueError, "ttl=-1 is not a length of time"),
    ],
)
def test_senseless_setting_is_refused(settings: Any, raised: type[Exception], message: str) -> None:
    with pytest.raises(raised, match=message):
        task(**settings)(_plain)


def test_taken_id_names_both_places() -> None:
    @task(id="send")
    def first() -> None: ...

    with pytest.raises(ValueError, match="is taken") as caught:

        @task(id="send")
        def second() -> None: ...

    assert "first" in str(caught.value)
    assert "second" in str(caught.value)
    assert str(caught.value).count("test_definition.py:") == 2
    assert registry.find("send") is first


def test_module_that_is_loaded_again_replaces_its_tasks(tmp_path: Path) -> None:
    source = "from oncue import task\n\n@task\ndef send(payload: int) -> int:\n    return payload + {}\n"

    def load(name: str, number: int) -> None:
        module = types.ModuleType(name)
        sys.modules[name] = module
        code = compile(source.format(number), str(tmp_path / "mails.py"), "exec")
        exec(code, module.__dict__)
        del sys.modules[name]

    load("mails", 1)
    load("mails", 2)
    load("__main__copy", 3)

    (found,) = registry.all_tasks()
    assert found.function(1) == 4


async def test_call_runs_the_function_inline() -> None:
    @task
    async def double(payload: int) -> int:
        return payload * 2

    @task
    def triple(payload: int, ctx: Context) -> str:
        return f"{payload * 3} {ctx.task.id} {ctx.attempt.number} {ctx.queue.name}"

    @task
    def nothing() -> int:
        return 1

    assert await double(2) == 4
    assert triple(2) == "6 triple 1 task/triple"
    assert nothing() == 1
    with pytest.raises(TypeError):
        await double()  # type: ignore[call-arg]


def test_inline_call_takes_a_context_of_ones_own(assignment: Assignment) -> None:
    @task
    def attempt(payload: int, ctx: Context) -> int:
        return payload + ctx.attempt.number

    context = context_from(assignment, task_file=None, environment="dev", worker_id="worker_1")

    assert attempt(10, context) == 12


def test_inline_call_inside_a_run_has_the_runs_context(inside: FakeRun) -> None:
    @task
    def helper(payload: int, ctx: Context) -> str:
        return ctx.run.id * payload

    assert helper(1) == "run_parent"


def test_task_keeps_name_and_docstring_of_its_function() -> None:
    @task
    def send() -> None:
        """Send it."""

    assert (send.__name__, send.__doc__, send.__module__) == ("send", "Send it.", __name__)
    assert "task 'send' at " in repr(send)


def test_arguments_are_what_the_worker_calls_with(assignment: Assignment) -> None:
    @task
    async def all_of_it(payload: datetime.date, ctx: Context) -> None: ...

    @task
    def payload_only(payload: int | None) -> None: ...

    @task
    def nothing() -> None: ...

    context = context_from(assignment, task_file=None, environment="dev", worker_id="worker_1")

    assert all_of_it.arguments(b'"2024-01-01"', codec.JSON, context) == (datetime.date(2024, 1, 1), context)
    assert payload_only.arguments(codec.NOTHING, codec.JSON, context) == (None,)
    assert nothing.arguments(b"3", codec.JSON, context) == ()
    assert (all_of_it.is_async, payload_only.is_async) == (True, False)
    with pytest.raises(PayloadValidationError, match="payload is str; expected int"):
        payload_only.arguments(b'"x"', codec.JSON, context)


def test_annotation_that_does_not_exist_is_explained() -> None:
    @task
    def send(payload: "NoSuchType") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match=r"send\(\): the annotation 'NoSuchType' of 'payload' cannot be resolved"):
        registry.declaration(send)


def test_local_types_are_found_through_the_closure() -> None:
    class Local:
        pass

    number = datetime.date

    @task
    def send(payload: "number") -> None:  # type: ignore[valid-type]
        _ = number

    assert send.arguments(b'"2024-01-01"', codec.JSON, None) == (datetime.date(2024, 1, 1),)  # type: ignore[arg-type]


def test_decorated_function_is_seen_through() -> None:
    def logged(function: Callable[[int], int]) -> Callable[[int], int]:
        @functools.wraps(function)
        def wrapper(payload: int) -> int:
            return function(payload) + 1

        return wrapper

    @task
    @logged
    def send(payload: int) -> int:
        return payload

    assert send(1) == 2
    assert send.arguments(b"3", codec.JSON, None) == (3,)  # type: ignore[arg-type]


def test_context_says_what_the_assignment_says() -> None:
    assignment = Assignment(
        run_id="run_1", epoch=1, attempt=2, task="child", queue="emails",
        created_at=datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), tags=["a"], metadata=msgspec.Raw(b'{"k":1}'),
        priority=5, max_attempts=3, max_duration_ms=2_000, parent_id="run_0", root_id="run_0", depth=1,
        batch_id="batch_1", batch_index=4, is_test=True, concurrency_key="user",
    )  # fmt: skip

    ctx = context_from(assignment, task_file="a.py:3", environment="dev", worker_id="worker_1", machine="micro")

    assert (ctx.run.id, ctx.run.tags, ctx.run.metadata) == ("run_1", ("a",), {"k": 1})
    assert (ctx.run.parent_id, ctx.run.depth, ctx.run.is_test) == ("run_0", 1, True)
    assert ctx.run.max_duration == datetime.timedelta(seconds=2)
    assert (ctx.task.id, ctx.task.file, ctx.queue.name) == ("child", "a.py:3", "emails")
    assert ctx.batch is not None
    assert (ctx.batch.id, ctx.run.batch_index) == ("batch_1", 4)
    assert ctx.machine is not None
    assert (ctx.machine.name, ctx.environment.slug, ctx.worker.id) == ("micro", "dev", "worker_1")
    with pytest.raises(AttributeError):
        ctx.run.id = "run_2"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "got 0 arguments"), ((1, 2), "begins with 1, which is no task's id"), (("a", 2, 3), "got 3 arguments")],
)
def test_impossible_item_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        item(*arguments)


def test_asyncio_run_takes_an_inline_call() -> None:
    @task
    async def double(payload: int) -> int:
        return payload * 2

    assert asyncio.run(double(2)) == 4
