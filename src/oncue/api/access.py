"""Access: what a public access token needs for each route, as the table of routes declares it.

A secret key may use every route. A token may use those that declare what it needs, and is held against that before
anything else is looked at. Where the answer depends on a run, a run that the token may not touch and one that does not
exist are refused with the same words, so that nobody learns which runs there are; only who may touch every run, or this
one by its id, is told that there is none.

Source: wire contract §3.2.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple

from oncue.api import query_values
from oncue.api.calls import Call
from oncue.engine import one_time_tokens, run_facts
from oncue.protocol import ids
from oncue.protocol.errors import BadRequest, PermissionDenied
from oncue.protocol.scopes import Resource, Scopes

_SECRET_ONLY: Final = (
    "this needs a secret key, and a public access token was sent; do it where the secret key is: on your server"  # noqa: S105 - words
)
_OF_TASKS: Final = ("tasks", "batch")
_OF_RUNS: Final = ("runs", "tasks", "tags", "batch")
_TASK_FILTER: Final = "filter[taskIdentifier]"


class Need(NamedTuple):
    """What a token needs for a route."""

    said: str
    """As the documentation says it."""
    is_met: Callable[[Call, Scopes], Awaitable[bool]]


async def check(need: Need | None, call: Call) -> None:
    """Let a caller pass who may use a route.

    Args:
        need: What the route declares; None: secret keys only.
        call: The request, authenticated.

    Raises:
        PermissionDenied: The caller has a token that does not allow this.
    """
    token = call.caller.token
    if token is None:
        return
    if need is None:
        raise PermissionDenied(_SECRET_ONLY)
    if not await need.is_met(call, token.scopes):
        raise _denied(need.said)


def check_tasks(call: Call, tasks: Sequence[str] | None) -> None:
    """Let a caller pass who may batch trigger these tasks; None: any.

    Raises:
        PermissionDenied: The caller has a token that does not allow one of them.
    """
    token = call.caller.token
    if token is None or may_batch_anything(call):
        return
    if not tasks or not all(token.scopes.cover("batchTrigger", Resource("tasks", task)) for task in tasks):
        raise _denied(f"{batch_creation.said}, and taskIdentifiers")


def may_batch_anything(call: Call) -> bool:
    """Whether a caller may batch trigger every task."""
    token = call.caller.token
    return token is None or token.scopes.cover("batchTrigger", *(Resource(type_) for type_ in _OF_TASKS))


def may_read_any_run(call: Call) -> bool:
    """Whether a caller may read every run."""
    token = call.caller.token
    return token is None or token.scopes.cover("read", Resource("runs"))


def may_fill(call: Call) -> Callable[[str], None] | None:
    """Return what is to be called with the task of every item that is sent to the path's batch; None: nothing.

    What is returned raises PermissionDenied for a task that the caller may not batch trigger.
    """
    token = call.caller.token
    if token is None or _may_write_batch(call, token.scopes) or may_batch_anything(call):
        return None
    scopes = token.scopes

    def check_item(task: str) -> None:
        if not scopes.cover("batchTrigger", Resource("tasks", task)):
            raise denied_items()

    return check_item


def denied_items() -> PermissionDenied:
    """Return the refusal of items that a token does not allow."""
    return _denied(batch_items.said)


def _task(action: str) -> Need:
    async def is_met(call: Call, scopes: Scopes) -> bool:
        return scopes.cover(action, Resource("tasks", call.parameters["task"]))

    return Need(f"{action}:tasks:<task>", is_met)


def _collection(action: str, type_: str) -> Need:
    async def is_met(_: Call, scopes: Scopes) -> bool:
        return scopes.cover(action, Resource(type_))

    return Need(f"{action}:{type_}", is_met)


def _run(action: str, types: Sequence[str]) -> Need:
    async def is_met(call: Call, scopes: Scopes) -> bool:
        if scopes.cover(action, Resource("runs", call.parameters["run"]), Resource("tasks")):
            return True
        return scopes.name(action, types) and scopes.cover(action, *await _names(call, types))

    return Need(" or ".join(f"{action}:{type_}:<{type_.rstrip('s')}>" for type_ in types), is_met)


async def _names(call: Call, types: Sequence[str]) -> list[Resource]:
    """Return by what a token may name the path's run; by nothing where there is none."""
    try:
        run = ids.parse(ids.RUN, call.parameters["run"])
    except BadRequest:
        return []
    facts = await call.services.read(lambda tx: run_facts.find(tx, call.environment, run))
    if facts is None:
        return []
    named = [
        Resource("tasks", facts.task),
        *(Resource("tags", tag) for tag in facts.tags),
        *(Resource("batch", ids.show(ids.BATCH, batch)) for batch in facts.batches),
    ]
    return [resource for resource in named if resource.type in types]


async def _may_list_runs(call: Call, scopes: Scopes) -> bool:
    if scopes.cover("read", Resource("runs"), Resource("tasks")):
        return True
    tasks = query_values.several(call.query, _TASK_FILTER)
    return bool(tasks) and all(scopes.cover("read", Resource("tasks", task)) for task in tasks or ())


async def _may_read_batch(call: Call, scopes: Scopes) -> bool:
    return scopes.cover("read", Resource("batch", call.parameters["batch"]), Resource("runs"))


async def _may_follow_tags(call: Call, scopes: Scopes) -> bool:
    # A run is shown only if it has every tag that is asked for, so one that may be read is enough.
    tags = query_values.several(call.query, "tags") or ()
    return scopes.cover("read", Resource("runs"), Resource("tags"), *(Resource("tags", tag) for tag in tags))


async def _may_create_batch(_: Call, scopes: Scopes) -> bool:
    # Which tasks it is about is known once the body is read; see check_tasks.
    return scopes.name("batchTrigger", _OF_TASKS)


async def _may_fill_batch(call: Call, scopes: Scopes) -> bool:
    # About which tasks its items are is known once they come; see may_fill.
    if _may_write_batch(call, scopes):
        return True
    if not scopes.name("batchTrigger", _OF_TASKS):
        return False
    return not _counts_once(call) or await _has_made_batch(call)


async def _may_end_batch(call: Call, scopes: Scopes) -> bool:
    # Who may send items of some tasks may do so to batches of others, which are not theirs to end.
    if _may_write_batch(call, scopes):
        return True
    return await _has_made_batch(call) if _counts_once(call) else may_batch_anything(call)


def _counts_once(call: Call) -> bool:
    return call.caller.token is not None and call.caller.token.one_time is not None


async def _has_made_batch(call: Call) -> bool:
    """Whether a token that counts once has made the path's batch."""
    token = call.caller.token
    if token is None or (one_time := token.one_time) is None:
        return False
    made = await call.services.read(lambda tx: one_time_tokens.batch_of(tx, call.environment, one_time))
    return made is not None and ids.show(ids.BATCH, made) == call.parameters["batch"]


def _may_write_batch(call: Call, scopes: Scopes) -> bool:
    return scopes.cover("write", Resource("batch", call.parameters["batch"]))


async def _may_complete(call: Call, scopes: Scopes) -> bool:
    return scopes.cover("write", Resource("waitpoints", call.parameters["token"]))


async def _may_send(call: Call, scopes: Scopes) -> bool:
    return scopes.cover("write", Resource("inputStreams", call.parameters["run"]))


async def _may_fetch(_: Call, scopes: Scopes) -> bool:
    # The path is in the run, and nobody can guess one: who has it could read the run.
    return scopes.name("read", _OF_RUNS)


def _denied(said: str) -> PermissionDenied:
    return PermissionDenied(f"the public access token does not allow this; it needs the scope {said}")


task_trigger: Final = _task("trigger")
batch_creation: Final = Need("batchTrigger:tasks:<task> for every task of taskIdentifiers", _may_create_batch)
batch_items: Final = Need("write:batch:<batch> or batchTrigger:tasks:<task> for every item", _may_fill_batch)
batch_end: Final = Need("write:batch:<batch> or batchTrigger:tasks", _may_end_batch)
batch_reading: Final = Need("read:batch:<batch> or read:runs", _may_read_batch)
run_reading: Final = _run("read", _OF_RUNS)
run_writing: Final = _run("write", ("runs", "tasks"))
input_sending: Final = Need("write:inputStreams:<run>", _may_send)
run_listing: Final = Need(f"read:runs, or read:tasks:<task> for every task of {_TASK_FILTER}", _may_list_runs)
run_following: Final = Need("read:tags:<tag> for one of tags, or read:runs", _may_follow_tags)
key_reset: Final = _collection("write", "runs")
packet_reading: Final = Need("to read a run, such as read:runs:<run>", _may_fetch)
queue_reading: Final = _collection("read", "queues")
queue_writing: Final = _collection("write", "queues")
waitpoint_completion: Final = Need("write:waitpoints:<token>", _may_complete)
