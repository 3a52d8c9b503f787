"""Bulk actions: many runs are cancelled, or replayed, at one request.

Which runs these are is settled in the transaction that makes the action; what is done to them is done afterwards, a
group at a time, by ``bulk_work``. So a replay that fails as its original did is not replayed by the same action, and
nobody waits for an answer while a million runs are gone through.

Source: wire contract §2.7; docs/decisions/0031 says why the runs are written down.

Life of a run, this module's part::

    api/routes/bulk_actions -> bulk_actions.create -> bulk_work.act -> cancellation, replaying
"""

import datetime
import uuid
from collections.abc import Sequence

import msgspec

from oncue.engine import reading, request_keys
from oncue.engine.reading import RunQuery
from oncue.engine.rows import Environment
from oncue.protocol import ids
from oncue.protocol.bulk_actions import BulkAction, BulkActionCounts, BulkActionPage, BulkActionStatus, BulkActionType
from oncue.protocol.errors import BadRequest, NotFound
from oncue.protocol.runs import Pagination
from oncue.store import queries
from oncue.store.pool import Tx


class NewAction(msgspec.Struct, frozen=True, kw_only=True):
    """An action that is wished for; its runs are those of ``query``, or those of ``run_ids``."""

    type: BulkActionType
    query: RunQuery | None
    run_ids: Sequence[uuid.UUID]
    name: str | None = None
    region: str | None = None
    """Where replays run; None: each where its original was to."""


class ActionRow(msgspec.Struct, frozen=True):
    """An action."""

    id: uuid.UUID
    type: BulkActionType
    name: str | None
    status: BulkActionStatus
    created_at: datetime.datetime
    finished_at: datetime.datetime | None
    total: int
    succeeded: int
    failed: int


_sql = queries.load("bulk_actions")
_choose = _sql.none("choose")
_choose_in_progress = _sql.none("choose_in_progress")
_choose_named = _sql.none("choose_named")
_insert_action = _sql.none("insert_action")
_show = _sql.maybe("show", ActionRow)
_list_actions = _sql.many("list_actions", ActionRow)
_list_actions_above = _sql.many("list_actions_above", ActionRow)
_abort = _sql.none("abort")


async def create(tx: Tx, environment: Environment, wish: NewAction, *, request_key: str | None = None) -> BulkAction:
    """Choose the runs of an action and return it as it stands; nothing is done to them yet.

    Of a cancellation only runs in progress are chosen, unless they are named.

    Args:
        tx: The transaction.
        environment: Whose runs.
        wish: What is to be done to which runs.
        request_key: The caller's ``x-trigger-request-idempotency-key``: delivered again, the wish makes no second
            action.
    """
    action = ids.parse(ids.BULK, ids.new_bulk_action_id())
    if request_key is not None:
        sent = f"bulk:{request_key}"
        meant = (await request_keys.first_meant(tx, environment, {sent: action}))[sent].target_id
        if meant != action:
            return await retrieve(tx, environment, meant)
    total = await _chosen(tx, environment, action, wish)
    await _insert_action(
        tx, env_id=environment.id, id=action, type=wish.type, name=wish.name, region=wish.region, total=total
    )
    return await retrieve(tx, environment, action)


async def _chosen(tx: Tx, environment: Environment, action: uuid.UUID, wish: NewAction) -> int:
    if wish.query is None:
        return await _choose_named(tx, env_id=environment.id, action_id=action, run_ids=wish.run_ids)
    if wish.query.is_scheduled:
        return 0
    matching = await reading.conditions(tx, environment, wish.query)
    choose = _choose_in_progress if wish.type == "CANCEL" else _choose
    return await choose(tx, action_id=action, **matching)


async def retrieve(tx: Tx, environment: Environment, action: uuid.UUID) -> BulkAction:
    """Return an action as it stands.

    Raises:
        NotFound: There is none in the caller's environment.
    """
    return _view(await _one(tx, environment, action))


async def list_actions(
    tx: Tx, environment: Environment, *, after: uuid.UUID | None, before: uuid.UUID | None, size: int
) -> BulkActionPage:
    """Return a page of actions, newest first.

    Args:
        tx: The transaction.
        environment: Whose actions.
        after: The last action of the page before; None: from the newest on.
        before: The first action of the page after. Where there is one, ``after`` does not count.
        size: 1 to 100.
    """
    # One more than asked for tells whether there is another page.
    if before is None:
        rows = await _list_actions(tx, env_id=environment.id, after=after, size=size + 1)
    else:
        rows = await _list_actions_above(tx, env_id=environment.id, before=before, size=size + 1)
    more, rows = len(rows) > size, rows[:size]
    older, newer = (more, after is not None) if before is None else (True, more)
    shown = [_view(row) for row in (rows if before is None else rows[::-1])]
    return BulkActionPage(
        shown,
        Pagination(
            next=shown[-1].id if shown and older else None,
            previous=shown[0].id if shown and newer else None,
        ),
    )


async def abort(tx: Tx, environment: Environment, action: uuid.UUID) -> None:
    """Let no more runs of an action be gone through; what has been done stays. Aborted again, it stays aborted.

    Raises:
        BadRequest: All its runs have been gone through.
        NotFound: There is none in the caller's environment.
    """
    if await _abort(tx, env_id=environment.id, id=action):
        return
    row = await _one(tx, environment, action)
    if row.status == "COMPLETED":
        raise BadRequest(f"{ids.show(ids.BULK, action)} is completed; there is nothing left of it to abort")


async def _one(tx: Tx, environment: Environment, action: uuid.UUID) -> ActionRow:
    row = await _show(tx, env_id=environment.id, id=action)
    if row is None:
        raise NotFound(f"no bulk action {ids.show(ids.BULK, action)} in this environment")
    return row


def _view(row: ActionRow) -> BulkAction:
    return BulkAction(
        id=ids.show(ids.BULK, row.id),
        type=row.type,
        status=row.status,
        counts=BulkActionCounts(row.total, row.succeeded, row.failed),
        created_at=row.created_at,
        name=row.name,
        completed_at=row.finished_at if row.status == "COMPLETED" else None,
    )
