"""``python -m bench``: take the measurements one after the other, print tables, write JSON."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeAlias

import click
import msgspec

from bench import (
    dequeue,
    isolated,
    keys,
    killed,
    latency,
    limit,
    machine,
    realtime,
    report,
    scale,
    stack,
    startup,
    streams,
    throughput,
    waiting,
)
from bench.figures import Figure
from bench.measuring import Bench
from bench.peers import running as peers
from bench.scale import Scale
from oncue.cli import output
from oncue.cli.signals import run_until_stopped

Measure: TypeAlias = Callable[[Bench], Awaitable[list[Figure]]]

_MEASUREMENTS: Final[dict[str, Measure]] = {
    "limit": limit.measure,
    "throughput": throughput.measure,
    "latency": latency.measure,
    "waiting": waiting.measure,
    "keys": keys.measure,
    "dequeue": dequeue.measure,
    "isolated": isolated.measure,
    "killed": killed.measure,
    "streams": streams.measure,
    "realtime": realtime.measure,
    "startup": startup.measure,
}


@click.command()
@click.option("--only", multiple=True, type=click.Choice([*_MEASUREMENTS]), help="Take this one; may be repeated.")
@click.option("--quick", is_flag=True, help="Small sizes, one round: whether it works, not how fast it is.")
@click.option("--large", is_flag=True, help="A backlog of 1,000,000 runs, and one in 100,000 keys.")
@click.option("--runs", type=click.IntRange(1_000), help="Runs of the throughput measurement.  [default: 20,000]")
@click.option("--peers", "names", default="", metavar="A,B", help=f"Measure these too: {', '.join(peers.NAMES)}.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON to standard output instead of the table.")
def main(only: tuple[str, ...], *, quick: bool, large: bool, runs: int | None, names: str, as_json: bool) -> None:
    """Measure oncue on this machine, beside what its PostgreSQL allows.

    Takes about eight minutes. Each run is kept in bench/results.
    """
    wanted = {name: measure for name, measure in _MEASUREMENTS.items() if not only or name in only}
    for name in filter(None, (part.strip() for part in names.split(","))):
        wanted[name] = peers.measurement(name)
    kind = "partial" if only else "quick" if quick else None
    done: list[report.Report] = []
    began = time.monotonic()
    if not run_until_stopped(_measure(wanted, scale.chosen(quick=quick, large=large, runs=runs), done.append)):
        raise click.exceptions.Exit(130)
    (found,) = done
    path = report.written(found, kind=kind)
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        report.show(found)
        output.note(f"took {time.monotonic() - began:.0f} s; written to {path}")
    raise click.exceptions.Exit(1 if found.left_out else 0)


async def _measure(wanted: dict[str, Measure], sizes: Scale, done: Callable[[report.Report], None]) -> None:
    found: list[Figure] = []
    left_out: dict[str, str] = {}
    async with stack.postgres_running() as postgres:
        facts = await machine.facts(postgres)
        for number, (name, measure) in enumerate(wanted.items(), 1):
            title = f"{number}/{len(wanted)} {name}"
            try:
                found += await measure(Bench(postgres, sizes, partial(_say, title)))
            except Exception as error:  # noqa: BLE001 - the others may well work
                left_out[name] = f"{type(error).__name__}: {error}"
                output.note(f"{title}: failed, {left_out[name]}")
    done(report.made(facts, found, left_out))


def _say(title: str, text: str) -> None:
    output.note(f"{title}: {text}")


if __name__ == "__main__":
    main()
