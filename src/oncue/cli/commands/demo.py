"""``oncue demo``: the whole thing on real work, checked, in a folder that is gone afterwards.

A real server with a PostgreSQL of its own and a real worker count the code of Python's standard library, one run for
each file; then this process counts the same files by itself and compares.
"""

import asyncio
import os
import secrets
import string
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from oncue.cli import census, options, output, settings
from oncue.cli.census import Census
from oncue.cli.failures import CommandFailed
from oncue.cli.signals import run_until_stopped

if TYPE_CHECKING:
    from rich.progress import Progress

    from oncue.cli.children import Child
    from oncue.cli.stack import Served
    from oncue.sdk.handles import RunHandle

_PLACES: Final = 4
"""Files that one worker process reads at once: parsing is work for the processor, so more threads only take turns."""
_MOST_PROCESSES: Final = 4
_LOOK_EVERY_S: Final = 0.4
_KNOWN_IN_A_ROW: Final = 300
"""Runs end nearly in the order in which they were made; beyond so many that were seen before, the rest was too."""


class Report(msgspec.Struct):
    """What the demo found."""

    equal: bool
    oncue: Census
    direct: Census
    runs: int
    oncue_seconds: float
    direct_seconds: float


@click.command("demo")
@click.option(
    "--package", metavar="PACKAGE", default="", help="Count this package of the library only, such as asyncio."
)
@click.option(
    "--processes",
    metavar="N",
    type=click.IntRange(1, 64),
    help="Worker processes.  [default: one for each core, at most 4]",
)
@options.as_json
def command(package: str, processes: int | None, as_json: bool) -> int:
    """Watch oncue work: count the code of Python's library.

    Starts a PostgreSQL, a server and a worker in a temporary folder, counts every file of Python's standard library in
    a run of its own, counts again without oncue and compares. Needs nothing, leaves nothing; half a minute.

    \b
    Examples:
      oncue demo
      oncue demo --package asyncio
    """
    found: list[Report] = []
    processes = processes or min(os.cpu_count() or 1, _MOST_PROCESSES)
    if not run_until_stopped(_demo(package, processes, found.append)):
        output.note("stopped; nothing is left behind")
        return 130
    (report,) = found
    if as_json:
        output.json(report)
    else:
        _show(report)
    return 0 if report.equal else 1


async def _demo(package: str, processes: int, done: Callable[[Report], None]) -> None:
    from oncue.cli import stack

    names = census.files(package)
    key = "tr_dev_sk_" + "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(24))
    # None of what this machine's own server is told may reach the demo's.
    environment = {settings.DATABASE_URL.name: None, settings.LOG.name: "warning"}
    with tempfile.TemporaryDirectory(prefix="oncue-demo-") as folder:
        async with stack.served(stack.Place(Path(folder), "127.0.0.1", 0, key), environment) as served:
            with _progress() as progress:
                counted, oncue_seconds = await _count_with_oncue(served, package, processes, len(names), progress)
        with _progress() as progress:
            bar = progress.add_task("the same without oncue", total=len(names))
            began = time.monotonic()
            direct = await census.count_directly(names, lambda: progress.advance(bar))
            direct_seconds = time.monotonic() - began
    done(Report(counted == direct, counted, direct, len(names) + 1, oncue_seconds, direct_seconds))


async def _count_with_oncue(
    served: "Served", package: str, processes: int, total: int, progress: "Progress"
) -> tuple[Census, float]:
    """Let a worker do it; return the result and the seconds that it took."""
    import oncue
    from oncue.cli import stack

    oncue.configure(api_url=served.url, secret_key=served.key)
    # Grace: whoever interrupts a demo does not want to wait for it.
    arguments = (str(census.file()), "--processes", str(processes), "--concurrency", str(_PLACES), "--grace", "1s")
    worker = await stack.start_worker(served, *arguments, log="warning")
    bar = progress.add_task("one run for each file", total=total)
    try:
        handle = await oncue.tasks.trigger("code-census", {"package": package})
        await _until_ended(handle, worker, _watch(progress, bar))
        run = await handle.retrieve()
    finally:
        await worker.stop()
    if not run.is_success or run.started_at is None or run.finished_at is None:
        raise CommandFailed(f"the run {run.id} ended as {run.status} ({run.error}); this is a bug, please report it")
    progress.update(bar, completed=total)
    return census.read(run.output), (run.finished_at - run.started_at).total_seconds()


async def _until_ended(handle: "RunHandle[Any]", worker: "Child", watch: Coroutine[Any, Any, None]) -> None:
    """Return when the run has ended.

    Raises:
        CommandFailed: The worker ended before.
    """
    result, watching = asyncio.ensure_future(handle.result()), asyncio.ensure_future(watch)
    ending = asyncio.ensure_future(worker.ended())
    parts: list[asyncio.Future[Any]] = [result, watching, ending]
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        if ending in done:
            raise CommandFailed(f"the worker ended with exit code {ending.result()}; the lines above say why")
        for part in done:
            part.result()
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)


async def _watch(progress: "Progress", bar: Any) -> None:  # noqa: ANN401 - rich's number of a bar
    """Move the bar to the number of files' runs that have ended, again and again."""
    import oncue

    ended: set[str] = set()
    while True:
        known_in_a_row = 0
        async for run in oncue.runs.list(task="count-file", status=["COMPLETED", "FAILED", "CRASHED"]):
            known_in_a_row = known_in_a_row + 1 if run.id in ended else 0
            ended.add(run.id)
            if known_in_a_row >= _KNOWN_IN_A_ROW:
                break
        progress.update(bar, completed=len(ended))
        await asyncio.sleep(_LOOK_EVERY_S)


def _progress() -> "Progress":
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = output.console(stderr=True)
    return Progress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description:<24}"),
        BarColumn(bar_width=32, complete_style="cyan", finished_style="green"),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )


def _show(report: Report) -> None:
    console = output.console()
    totals = output.table("", "oncue", "without")
    for column in totals.columns[1:]:
        column.justify = "right"
    for name in ("files", "unparsable", "lines", "functions", "classes"):
        totals.add_row(name, f"{getattr(report.oncue, name):,}", f"{getattr(report.direct, name):,}")
    totals.add_row("runs", f"{report.runs:,}", "")
    totals.add_row("time", f"{report.oncue_seconds:.1f} s", f"{report.direct_seconds:.1f} s", style="bright_black")
    longest = output.table("lines", "longest functions", "where")
    longest.columns[0].justify = "right"
    for function in report.oncue.longest:
        longest.add_row(f"{function.lines:,}", function.name, f"{function.file}:{function.line}")
    for part in ("", totals, "", longest, ""):
        console.print(part)
    if report.equal:
        console.print("[bold green]✓[/] both counts are equal. Next: [bold]oncue dev[/] with tasks of your own")
    else:
        console.print("[bold red]✗ the counts differ[/]; this is a bug in oncue, please report it")
