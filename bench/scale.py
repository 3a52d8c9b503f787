"""Scale: how much each measurement does."""

import msgspec


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes of one run of the benchmarks."""

    runs: int = 20_000
    rounds: int = 3
    limit_rows: int = 50_000
    lone: int = 200
    """Triggers of the latency measurement, 20 a second."""
    sequential: int = 500
    concurrent: int = 4_000
    parents: int = 2_000
    parked: int = 10_000
    keyed: int = 10_000
    """Runs of each measurement with concurrency keys; as many keys at most."""
    one_key: int = 300
    """Runs under a single key with limit one, which go one after the other."""
    backlog: int = 200_000
    backlog_keys: int = 0
    """Keys of a further backlog; 0 leaves it out."""
    dequeue_runs: int = 100_000
    """In line for each number of keys of the dequeue measurement."""
    dequeue_keys: tuple[int, int] = (10_000, 100_000)
    dequeue_rounds: int = 9
    """The first warms up and is not counted."""
    killed_runs: int = 350_000
    """In line while workers are killed: more than they can do in the time."""
    killed_s: float = 24.0
    killed_rounds: int = 1
    streamed: int = 1_000_000
    """Items of a stream."""
    subscribers: int = 1_000
    changes: int = 100
    """Of a run that subscribers follow."""
    starts: int = 15
    """Processes started to time an import."""


def chosen(*, quick: bool, large: bool, runs: int | None) -> Scale:
    """Return the sizes for what was asked on the command line."""
    scale = Scale()
    if quick:
        scale = Scale(
            runs=5_000, rounds=1, limit_rows=5_000, lone=40, sequential=100, concurrent=800, parents=400,
            parked=1_000, keyed=2_000, one_key=60, backlog=20_000, dequeue_runs=10_000,
            dequeue_keys=(1_000, 10_000), dequeue_rounds=4, killed_runs=100_000, killed_s=5.0, streamed=50_000,
            subscribers=200, changes=20, starts=5,
        )  # fmt: skip
    if large:
        scale = msgspec.structs.replace(scale, backlog=1_000_000, backlog_keys=100_000)
    return scale if runs is None else msgspec.structs.replace(scale, runs=runs)
