"""Run references: what functions that take a run accept for one."""

from typing import Any, TypeAlias

from oncue.sdk.handles import RunHandle
from oncue.sdk.run import FollowedRun, ListedRun, Run

RunRef: TypeAlias = str | RunHandle[Any] | Run | ListedRun | FollowedRun
"""A run, by its id or by anything that has it."""


def run_id_of(run: object) -> str:
    """Return the id of a run that is named by it or by anything that has it.

    Raises:
        TypeError: This names no run.
    """
    run_id = getattr(run, "id", run)
    if not isinstance(run_id, str) or not run_id:
        raise TypeError(f"{run!r} is not a run; expected a run's id or its handle")
    return run_id
