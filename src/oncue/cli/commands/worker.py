"""``oncue worker``: run the tasks of modules, files or folders, near a server or far from it."""

import re
import sys

import click

from oncue.cli import logs, settings

_MOST_PROCESSES = 256
_SIZE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?(MB|GB)", re.ASCII | re.IGNORECASE)
_SHIFTS = {"MB": 20, "GB": 30}


@click.command("worker")
@click.argument("targets", nargs=-1, required=True, metavar="MODULE|FILE|FOLDER...")
@click.option(
    "--concurrency",
    metavar="N",
    default=100,
    show_default=True,
    help="Runs that each process executes at once; waiting ones are free.",
)
@click.option(
    "--processes",
    metavar="N",
    type=click.IntRange(1, _MOST_PROCESSES),
    default=1,
    show_default=True,
    help="For more cores.",
)
@click.option("--queues", metavar="A,B", help="Serve these queues only; a task's own is task/<id>.")
@click.option(
    "--grace",
    metavar="TIME",
    default="30s",
    show_default=True,
    help="How long runs may go on once the worker is told to stop.",
)
@click.option(
    "--max-parked",
    metavar="N",
    type=click.IntRange(0),
    default=10_000,
    show_default=True,
    help="Waiting runs that each process keeps in memory.",
)
@click.option("--max-memory", metavar="SIZE", help="Unload waiting runs beyond this size of a process, such as 512MB.")
@click.option(
    "--region", metavar="REGION", help="Where this is: takes runs that ask for it, and those that ask for none."
)
@click.option("--version", metavar="VERSION", help="Version of the code, for runs that are locked to one.")
@click.option("--cpus", metavar="N", type=float, help="For runs held to machines, all processes together; else all.")
@click.option("--memory", metavar="SIZE", help="For runs held to machines, likewise, such as 8GB.")
@click.option("--show-runs", is_flag=True, help="Write a line for each run that starts and ends (one process only).")
def command(
    targets: tuple[str, ...],
    concurrency: int,
    processes: int,
    queues: str | None,
    grace: str,
    max_parked: int,
    max_memory: str | None,
    region: str | None,
    version: str | None,
    cpus: float | None,
    memory: str | None,
    show_runs: bool,
) -> int:
    """Run tasks.

    Needs TRIGGER_SECRET_KEY, and TRIGGER_API_URL unless the server is at http://localhost:3030. Ctrl-C or SIGTERM once
    lets runs end, twice hands them back at once.

    \b
    Examples:
      oncue worker my_app.tasks
      oncue worker tasks.py --concurrency 20 --processes 4
      oncue worker jobs/ --queues emails,task/resize --grace 2m
    """
    from oncue.protocol import durations
    from oncue.sdk import settings as sdk_settings
    from oncue.worker import supervisor

    if show_runs and processes > 1:
        raise click.UsageError("--show-runs works with one process only; leave --processes out")
    try:
        length = durations.read(float(grace) if grace.replace(".", "", 1).isdigit() else grace, "--grace")
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    names = tuple(name.strip() for name in queues.split(",") if name.strip()) if queues is not None else None
    if names == ():
        raise click.UsageError(f"--queues={queues!r} names no queue; expected names with commas between them")
    worker_options = supervisor.WorkerOptions(
        targets=targets,
        concurrency=concurrency,
        processes=processes,
        queues=names,
        grace=length,
        max_parked=max_parked,
        max_memory_bytes=None if max_memory is None else _size(max_memory, "--max-memory"),
        version=version,
        region=region,
        cpus=cpus,
        memory_bytes=None if memory is None else _size(memory, "--memory"),
        log_level=settings.log_level().upper(),
    )
    # Said before any code is imported.
    sdk_settings.current()
    logs.set_up(runs=show_runs)
    code = supervisor.run(worker_options)
    sys.stdout.flush()
    # The worker tells its parent process apart what to do about an end; for a person every failure is 1.
    return min(code, 1)


def _size(text: str, option: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise click.UsageError(
            f"{option}={text!r} is not a size; expected a number with MB or GB, such as 512MB or 1.5GB"
        )
    return round(float(match[1]) * (1 << _SHIFTS[match[2].upper()]))
