"""``oncue trigger``: trigger a run from the terminal, and wait for its end if told to."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from oncue.cli import client, options, output, settings
from oncue.cli.commands.runs import describe, report

if TYPE_CHECKING:
    from oncue.sdk.handles import RunHandle
    from oncue.sdk.options import TriggerOptions


@click.command("trigger")
@click.argument("task")
@click.argument("payload", required=False, metavar="[JSON|@FILE|-]")
@click.option("--queue", metavar="NAME", help="Queue to line up in.")
@click.option("--delay", metavar="DELAY", help="Start later: 30s, 1h, or an ISO date.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be repeated, up to 10 times.")
@click.option("--max-attempts", type=click.IntRange(1, 250), metavar="N", help="Attempts in all; 1 means no retry.")
@click.option("--priority", type=click.FloatRange(0), metavar="SECONDS", help="Seconds of head start.")
@click.option("--concurrency-key", metavar="KEY", help="A queue of its own for each value.")
@click.option("--ttl", metavar="TIME", help="Expire if not started within this time: 10m; 0s for never.")
@click.option("--idempotency-key", metavar="KEY", help="Calls with one key are one run.")
@click.option("--idempotency-key-ttl", metavar="TIME", help="How long the key counts; 30d unless said.")
@click.option("--debounce", metavar="KEY", help="Calls with one key fall into one held run; needs --debounce-delay.")
@click.option("--debounce-delay", metavar="TIME", help="How long each such call holds it: 5s.")
@click.option("--max-duration", metavar="TIME", help="Longest an attempt may compute: 5m.")
@click.option("--metadata", metavar="JSON", help="A JSON object to begin with.")
@click.option("--machine", metavar="PRESET", help="micro to large-2x.")
@click.option("--region", metavar="REGION", help="Where it is to run.")
@click.option("--version", metavar="VERSION", help="Version of the code: 20261127.1.")
@click.option("--wait", is_flag=True, help="Wait for the end; exit with 1 unless the run succeeds.")
@options.dev_folder
@options.as_json
def command(
    task: str,
    payload: str | None,
    tags: tuple[str, ...],
    wait: bool,
    folder: Path | None,
    as_json: bool,
    **chosen: Any,  # noqa: ANN401 - as the options above declare
) -> int:
    """Trigger a run of a task.

    The payload is JSON: as it stands, from a file, or from standard input. Needs TRIGGER_SECRET_KEY, and
    TRIGGER_API_URL unless the server is at http://localhost:3030; beside `oncue dev` neither.

    \b
    Examples:
      oncue trigger email-sequence '{"to": "ann@example.com", "name": "Ann"}'
      oncue trigger nightly-report --delay 1h --tag nightly
      oncue trigger resize @image.json --wait
      jq -c . image.json | oncue trigger resize - --wait --json
    """
    from oncue.sdk import tasks

    arguments = [] if payload is None else [_read(payload)]
    wanted = _options(**chosen, tags=tags or None)
    client.prepare(settings.folder(folder))
    try:
        with output.working(f"triggering {task}"):
            handle = tasks.sync.trigger(task, *arguments, **wanted)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if wait:
        return _wait(handle, as_json=as_json)
    report(handle, as_json=as_json)
    return 0


def _options(
    *,
    debounce: str | None,
    debounce_delay: str | None,
    metadata: str | None,
    **others: Any,  # noqa: ANN401
) -> "TriggerOptions":
    """Return the options that were given, as a trigger takes them."""
    wanted: Any = others
    if (debounce is None) != (debounce_delay is None):
        raise click.UsageError("--debounce and --debounce-delay go together; give both or neither")
    if debounce is not None and debounce_delay is not None:
        wanted["debounce"] = {"key": debounce, "delay": debounce_delay}
    if metadata is not None:
        wanted["metadata"] = _json(metadata.encode("utf-8", "surrogateescape"), "--metadata")
    return cast("TriggerOptions", wanted)


def _read(given: str) -> Any:  # noqa: ANN401 - any JSON value
    if given == "-":
        document, source = sys.stdin.buffer.read(), "standard input"
    elif given.startswith("@"):
        source = given[1:]
        try:
            document = Path(source).read_bytes()
        except OSError as error:
            raise click.UsageError(f"the payload's file {source} cannot be read: {error.strerror}") from error
    else:
        document, source = given.encode("utf-8", "surrogateescape"), "the payload"
    hint = f"; a text needs quotes of its own: '\"{given}\"'" if source == "the payload" and given.isalnum() else ""
    return _json(document, source, hint)


def _json(document: bytes, source: str, hint: str = "") -> Any:  # noqa: ANN401 - any JSON value
    import msgspec

    try:
        return msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{source} is not JSON ({error}){hint}") from error


def _wait(handle: "RunHandle[Any]", *, as_json: bool) -> int:
    from oncue.sdk import runs

    with output.working(f"{handle.task_identifier} {handle.id}"):
        handle.sync.result()
        run = runs.sync.retrieve(handle)
    if as_json:
        output.json(run)
    else:
        describe(run)
    return 0 if run.is_success else 1
