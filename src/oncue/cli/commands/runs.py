"""``oncue runs``: list, show, cancel, reschedule and replay runs, through the API."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from oncue.cli import client, options, output, settings

if TYPE_CHECKING:
    from rich.text import Text

    from oncue.sdk.handles import RunHandle
    from oncue.sdk.run import ListedRun, Run
    from oncue.sdk.run_logs import LoggedLine

_SHOWN_BYTES: Final = 4_000
"""Of a payload or output, for people."""

_LEVEL_COLOURS = {"debug": "bright_black", "warning": "yellow", "error": "bold red"}


@click.group("runs")
def command() -> None:
    """List, show, cancel, reschedule and replay runs.

    Needs TRIGGER_SECRET_KEY, and TRIGGER_API_URL unless the server is at http://localhost:3030; beside `oncue dev`
    neither.

    \b
    Examples:
      oncue runs list --status FAILED --task email-sequence
      oncue runs show run_06f4x0m7c2d8k5t9p3q6r1s8v2
      oncue runs logs run_06f4x0m7c2d8k5t9p3q6r1s8v2
      oncue runs cancel run_06f4x0m7c2d8k5t9p3q6r1s8v2
      oncue runs reschedule run_06f4x0m7c2d8k5t9p3q6r1s8v2 2h
      oncue runs replay run_06f4x0m7c2d8k5t9p3q6r1s8v2 --tag again
    """


@command.command("list")
@click.option("--status", "statuses", multiple=True, metavar="STATUS", help="May be repeated.")
@click.option("--task", "tasks", multiple=True, metavar="TASK", help="May be repeated.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be repeated.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, 10_000), default=20, show_default=True, help="The most to list."
)
@options.dev_folder
@options.as_json
def list_(
    statuses: tuple[str, ...],
    tasks: tuple[str, ...],
    tags: tuple[str, ...],
    limit: int,
    folder: Path | None,
    as_json: bool,
) -> None:
    """List runs, newest first.

    STATUS is QUEUED, DELAYED, EXECUTING, WAITING, COMPLETED, FAILED, CANCELED, EXPIRED, TIMED_OUT, CRASHED,
    SYSTEM_FAILURE or PENDING_VERSION.
    """
    from oncue.sdk import runs

    wanted: Any = tuple(status.upper() for status in statuses) or None
    try:
        asking = runs.sync.list(status=wanted, task=tasks or None, tag=tags or None, limit=limit)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    client.prepare(settings.folder(folder))
    with output.working("asking the server"):
        found = list(asking)
    if as_json:
        output.json(found)
    elif found:
        output.console().print(_table(found))
    else:
        output.note("no such runs")


@command.command("show")
@click.argument("run_id", metavar="ID")
@options.dev_folder
@options.as_json
def show(run_id: str, folder: Path | None, as_json: bool) -> None:
    """Show a run: where it stands, what it was given, what it made or why it failed."""
    from oncue.sdk import runs

    client.prepare(settings.folder(folder))
    with output.working("asking the server"):
        run = runs.sync.retrieve(run_id)
    if as_json:
        output.json(run)
    else:
        describe(run)


@command.command("cancel")
@click.argument("run_id", metavar="ID")
@options.dev_folder
@options.as_json
def cancel(run_id: str, folder: Path | None, as_json: bool) -> None:
    """Cancel a run; one that has ended stays as it is."""
    from oncue.sdk import runs

    client.prepare(settings.folder(folder))
    with output.working("asking the server"):
        runs.sync.cancel(run_id)
        run = runs.sync.retrieve(run_id)
    if as_json:
        output.json({"id": run.id, "status": run.status})
    elif run.status == "CANCELED":
        click.echo(f"{run.id} is cancelled")
    else:
        click.echo(f"{run.id} stays {run.status}: it had ended")


@command.command("reschedule")
@click.argument("run_id", metavar="ID")
@click.argument("delay", metavar="DELAY")
@options.dev_folder
@options.as_json
def reschedule(run_id: str, delay: str, folder: Path | None, as_json: bool) -> None:
    """Hold a delayed run until another moment: 30s, 1h from now, or an ISO date."""
    from oncue.sdk import runs

    client.prepare(settings.folder(folder))
    try:
        run = runs.sync.reschedule(run_id, delay=delay)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        output.json(run)
    else:
        click.echo(f"{run.id} is held until {run.delayed_until:%Y-%m-%d %H:%M:%S} UTC")


@command.command("logs")
@click.argument("run_id", metavar="ID")
@options.dev_folder
@options.as_json
def logs(run_id: str, folder: Path | None, as_json: bool) -> None:
    """Show what a run has logged, oldest first."""
    from oncue.sdk import runs

    client.prepare(settings.folder(folder))
    with output.working(f"reading the log of {run_id}"):
        found = runs.sync.logs(run_id)
    if as_json:
        output.json(list(found))
        return
    several = any(line.attempt != 1 for line in found)
    for line in found:
        output.console().print(_logged(line, attempt=several))
    if not found:
        output.note("the run has logged nothing; lines come from `oncue.logger` within a second")


@command.command("replay")
@click.argument("run_id", metavar="ID")
@click.option("--queue", metavar="NAME", help="Queue to line up in, instead of the run's.")
@click.option("--delay", metavar="DELAY", help="Start later: 30s, 1h, or an ISO date.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Instead of the run's tags; may be repeated.")
@click.option("--machine", metavar="PRESET", help="micro to large-2x, instead of the run's.")
@options.dev_folder
@options.as_json
def replay(run_id: str, tags: tuple[str, ...], folder: Path | None, as_json: bool, **chosen: Any) -> None:  # noqa: ANN401
    """Trigger once more what a run was asked to do, with its payload, metadata, tags, queue and machine."""
    from oncue.sdk import runs

    client.prepare(settings.folder(folder))
    try:
        handle = runs.sync.replay(run_id, tags=tags or None, **chosen)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    report(handle, as_json=as_json)


def report(handle: "RunHandle[Any]", *, as_json: bool) -> None:
    """Write which run was triggered."""
    if as_json:
        output.json(handle.to_dict())
    else:
        click.echo(handle.id)
        output.note(f"{handle.task_identifier} is triggered; see `oncue runs show {handle.id}`")


def describe(run: "Run") -> None:
    """Write what is known of a run."""
    from rich.table import Table

    shown = Table(box=None, show_header=False, pad_edge=False)
    shown.add_column(style="bright_black", no_wrap=True)
    shown.add_column(overflow="fold")
    shown.add_row("run", run.id)
    shown.add_row("task", run.task_identifier)
    shown.add_row("status", output.status(run.status))
    shown.add_row("created", _moment(run))
    for name, value in _facts(run):
        shown.add_row(name, value)
    console = output.console()
    console.print(shown)
    if run.error is not None and run.error.stack_trace:
        console.print()
        console.print(run.error.stack_trace.rstrip(), style="red", markup=False)


def _logged(line: "LoggedLine", *, attempt: bool) -> "Text":
    from rich.text import Text

    shown = Text(f"{line.at:%Y-%m-%d %H:%M:%S.%f}"[:-3] + "  ", "bright_black")
    if attempt:
        shown.append(f"attempt {line.attempt}  ", "bright_black")
    shown.append(f"{line.level:<7}  ", _LEVEL_COLOURS.get(line.level, ""))
    shown.append(line.message)
    for name, value in line.fields.items():
        shown.append(f"  {name}=", "cyan")
        shown.append(value if isinstance(value, str) else repr(value))
    return shown


def _facts(run: "Run") -> "list[tuple[str, str]]":
    import msgspec

    def text(value: object) -> str:
        document = msgspec.json.encode(value)
        if len(document) <= _SHOWN_BYTES:
            return msgspec.json.format(document, indent=2).decode()
        # Nobody reads megabytes on a screen, and to lay them out takes long.
        start = document[:_SHOWN_BYTES].decode(errors="ignore")
        return f"{start}\n... {len(document):,} bytes in all; --json writes the run whole"

    facts = [("started", output.age(run.started_at) if run.started_at else "")]
    facts.append(("delayed until", run.delayed_until.isoformat() if run.delayed_until and run.is_queued else ""))
    facts.append(("does not start", str(run.pending_reason or "")))
    facts.append(("computed for", output.duration(run.duration_ms) if run.started_at else ""))
    facts.append(("attempts", str(run.attempt_count) if run.attempt_count else ""))
    facts.append(("queue", run.queue))
    facts.append(("tags", ", ".join(run.tags)))
    facts.append(("parent", run.related_runs.parent.id if run.related_runs.parent else ""))
    facts.append(("children", str(len(run.related_runs.children)) if run.related_runs.children else ""))
    facts.append(("payload", "" if run.payload is None else text(run.payload)))
    facts.append(("output", text(run.output) if run.is_success else ""))
    facts.append(("error", str(run.error) if run.error else ""))
    return [(name, value) for name, value in facts if value]


def _moment(run: "Run") -> str:
    return f"{run.created_at:%Y-%m-%d %H:%M:%S} UTC, {output.age(run.created_at)}"


def _table(found: "list[ListedRun]") -> Any:  # noqa: ANN401 - rich's table
    shown = output.table("run", "task", "status", "created", "computed", "tags")
    for run in found:
        computed = output.duration(run.duration_ms) if run.started_at else ""
        shown.add_row(
            run.id, run.task_identifier, output.status(run.status), output.age(run.created_at), computed,
            ", ".join(run.tags),
        )  # fmt: skip
    return shown
