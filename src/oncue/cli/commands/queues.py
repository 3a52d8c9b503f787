"""``oncue queues``: see queues, pause and resume them, override their limits, through the API."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oncue.cli import client, options, output, settings

if TYPE_CHECKING:
    from oncue.protocol.queues import QueueView


@click.group("queues")
def command() -> None:
    """List and show queues, pause and resume them, and override their limits.

    A queue is named as runs show it: a task's own is task/ID. What is set here wins over the code until it is reset; a
    deploy leaves it alone.

    \b
    Examples:
      oncue queues list
      oncue queues pause emails
      oncue queues limit task/resize 2
      oncue queues reset-limit task/resize
    """


@command.command("list")
@options.dev_folder
@options.as_json
def list_(folder: Path | None, as_json: bool) -> None:
    """List queues, by name."""
    from oncue.sdk import queues

    client.prepare(settings.folder(folder))
    with output.working("asking the server"):
        found = list(queues.sync.list())
    if as_json:
        output.json(found)
    elif found:
        output.console().print(_table(found))
    else:
        output.note("no queues yet; they come with the first worker or run")


@command.command("show")
@click.argument("queue", metavar="NAME")
@options.dev_folder
@options.as_json
def show(queue: str, folder: Path | None, as_json: bool) -> None:
    """Show a queue: what runs, what is in line, and its limit."""
    from oncue.sdk import queues

    client.prepare(settings.folder(folder))
    _report(queues.sync.retrieve(queue), as_json=as_json)


@command.command("pause")
@click.argument("queue", metavar="NAME")
@options.dev_folder
@options.as_json
def pause(queue: str, folder: Path | None, as_json: bool) -> None:
    """Let no run of a queue start until it is resumed; those that run go on."""
    from oncue.sdk import queues

    client.prepare(settings.folder(folder))
    _report(queues.sync.pause(queue), as_json=as_json)


@command.command("resume")
@click.argument("queue", metavar="NAME")
@options.dev_folder
@options.as_json
def resume(queue: str, folder: Path | None, as_json: bool) -> None:
    """Let the runs of a paused queue start again."""
    from oncue.sdk import queues

    client.prepare(settings.folder(folder))
    _report(queues.sync.resume(queue), as_json=as_json)


@command.command("limit")
@click.argument("queue", metavar="NAME")
@click.argument("limit", metavar="N", type=int)
@options.dev_folder
@options.as_json
def limit(queue: str, limit: int, folder: Path | None, as_json: bool) -> None:
    """Let at most N runs of a queue execute at once, for each concurrency key, whatever the code says."""
    from oncue.sdk import queues

    client.prepare(settings.folder(folder))
    try:
        view = queues.sync.override_concurrency_limit(queue, limit)
    except ValueError as error:
        raise click.UsageError(str(error).replace("concurrency_limit=", "N is ", 1)) from error
    _report(view, as_json=as_json)


@command.command("reset-limit")
@click.argument("queue", metavar="NAME")
@options.dev_folder
@options.as_json
def reset_limit(queue: str, folder: Path | None, as_json: bool) -> None:
    """Let the limit that the code says hold again."""
    from oncue.sdk import queues

    client.prepare(settings.folder(folder))
    _report(queues.sync.reset_concurrency_limit(queue), as_json=as_json)


def _report(view: "QueueView", *, as_json: bool) -> None:
    if as_json:
        output.json(view)
    else:
        output.console().print(_table([view]))


def _table(found: "list[QueueView]") -> Any:  # noqa: ANN401 - rich's table
    from oncue.sdk import queue_refs

    shown = output.table("queue", "running", "in line", "limit", "")
    for view in found:
        shown.add_row(
            queue_refs.read_name(view),
            f"{view.running:,}",
            f"{view.queued:,}",
            _limit(view),
            "[yellow]paused[/]" if view.paused else "",
        )
    return shown


def _limit(view: "QueueView") -> str:
    now = "none" if view.concurrency_limit is None else f"{view.concurrency_limit:,}"
    if view.concurrency.override is None:
        return now
    said = "none" if view.concurrency.base is None else f"{view.concurrency.base:,}"
    return f"{now} (code: {said})"
