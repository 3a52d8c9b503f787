"""Which scopes cover what; the table is the wire contract's §3.2."""

import pytest

from oncue.protocol.scopes import Resource, Scopes, parse, show

RUN, TASK = Resource("runs", "run_1"), Resource("tasks", "send")
RUNS = Resource("runs")


@pytest.mark.parametrize(
    ("scope", "action", "resource", "covered"),
    [
        ("read:runs", "read", RUN, True),
        ("read:runs", "read", RUNS, True),
        ("read:runs:run_1", "read", RUN, True),
        ("read:runs:run_2", "read", RUN, False),
        ("read:runs:run_1", "read", RUNS, False),
        ("read:runs", "write", RUN, False),
        ("read:runs", "read", TASK, False),
        ("read:tags:user:123", "read", Resource("tags", "user:123"), True),
        ("read:tags:user:123", "read", Resource("tags", "user"), False),
        ("read:tags:user", "read", Resource("tags", "user:123"), False),
        ("admin", "read", RUN, True),
        ("admin", "write", RUNS, True),
        ("admin:runs", "read", RUN, False),
        ("admin:runs", "admin", RUN, True),
        ("read:all", "read", RUN, True),
        ("read:all", "read", RUNS, True),
        ("read:all", "write", RUN, False),
        ("read:all:run_2", "read", RUN, False),
        ("*:runs", "write", RUN, True),
        ("*:all", "trigger", TASK, True),
        ("*", "read", RUN, False),
        ("read", "read", RUN, False),
        ("write:tasks", "trigger", TASK, True),
        ("write:tasks:send", "batchTrigger", TASK, True),
        ("write:tasks:send", "update", TASK, True),
        ("write:tasks:other", "trigger", TASK, False),
        ("write:tasks", "read", TASK, False),
        ("trigger:tasks:send", "write", TASK, False),
        ("trigger:tasks:send", "batchTrigger", TASK, False),
        ("Read:runs", "read", RUN, False),
        ("read:run", "read", RUN, False),
    ],
)
def test_scope_covers_what_the_contract_says(scope: str, action: str, resource: Resource, covered: bool) -> None:
    assert Scopes([scope]).cover(action, resource) is covered


@pytest.mark.parametrize("text", ["", ":", "read:", ":runs", "read:runs:", "read::run_1", " ", "read:runs: "])
def test_scope_with_an_empty_part_covers_nothing(text: str) -> None:
    assert parse(text) is None
    assert not Scopes([text]).cover("read", RUN)


def test_one_of_several_things_and_scopes_is_enough() -> None:
    scopes = Scopes(["read:batch:batch_1", "read:tags:a"])

    assert scopes.cover("read", RUN, Resource("batch", "batch_1"))
    assert scopes.cover("read", RUN, Resource("tags", "b"), Resource("tags", "a"))
    assert not scopes.cover("read", RUN, TASK)
    assert not scopes.cover("read")


def test_scopes_of_an_action_are_found_whatever_they_name() -> None:
    scopes = Scopes(["batchTrigger:tasks:a", "read:runs:run_1"])

    assert scopes.name("batchTrigger", ["tasks", "batch"])
    assert not scopes.name("trigger", ["tasks", "batch"])
    assert not scopes.name("read", ["tasks", "tags", "batch"])
    assert Scopes(["admin"]).name("read", ["tasks"])


def test_scope_is_written_as_it_is_read() -> None:
    for text in ("admin", "read:runs", "read:tags:user:123"):
        scope = parse(text)
        assert scope is not None
        assert show(*scope) == text
