"""Tasks whose runs have processes of their own, and what can go wrong in one."""

import asyncio
import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from oncue import Context, Retry, RunEvent, logger, metadata, task, wait

print("said while it was imported")  # noqa: T201 - no run may say it again


@task
async def twice_in_worker(n: int) -> int:
    return 2 * n


@task(isolate=True)
async def where_am_i(payload: None, ctx: Context) -> dict[str, object]:
    assert ctx.machine is not None
    return {"pid": os.getpid(), "machine": ctx.machine.name, "worker": ctx.worker.id, "run": ctx.run.id}


@task(isolate=True)
def where_am_i_plain() -> int:
    return os.getpid()


@task
async def pid_of_worker() -> int:
    return os.getpid()


@task(isolate=True)
async def isolated_parent(n: int) -> list[int]:
    logger.info("asking", n=n)
    results = await asyncio.gather(*(twice_in_worker.trigger_and_wait(each) for each in range(n)))
    await wait.for_(seconds=0.05)
    batch = await twice_in_worker.batch_trigger_and_wait([twice_in_worker.item(10), twice_in_worker.item(20)])
    return [result.unwrap() for result in results] + [run.unwrap() for run in batch.runs]


@task(isolate=True)
def isolated_plain_parent(n: int) -> list[int]:
    first = twice_in_worker.sync.trigger_and_wait(n).unwrap()
    wait.sync.for_(seconds=0.05)
    return [first, twice_in_worker.sync.trigger_and_wait(first).unwrap()]


@task(isolate=True)
def terminates(payload: None, ctx: Context) -> list[int | None]:
    """Be told to end as a service manager tells all processes, and end what it has started itself."""
    os.kill(os.getpid(), signal.SIGTERM)
    run = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    forked = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    forked.start()
    time.sleep(0.3)
    run.terminate()
    forked.terminate()
    forked.join()
    return [run.wait(), forked.exitcode]


@task(isolate=True)
def starts_a_daemon() -> int:
    started = "subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=-3, stderr=-3)"
    code = f"import subprocess; print({started}.pid)"
    return int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)


@task(isolate=True)
def logs_half_a_character() -> str:
    logger.info("half of one: \ud83d")
    return "said"


@task(isolate=True)
def closes_its_output(to: str) -> str:
    sys.stdout.close()
    return to


@task(isolate=True)
def talks_apart(lines: int) -> None:
    for number in range(lines):
        print(f"line {number} of what it has to say", file=sys.stderr)  # noqa: T201 - as below


@task(isolate=True)
def dies_apart(how: str) -> None:
    print("about to die:", how)  # noqa: T201 - what a process prints is what is tested
    match how:
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "parent":
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)
        case "overflow":
            sys.setrecursionlimit(10**9)
            deep: object = None
            for _ in range(300_000):
                deep = [deep]
            repr(deep)
        case _:
            raise ValueError(how)


@task(machine="micro", retry=Retry(max_attempts=3, min_timeout=0, out_of_memory_machine="small-2x"))
def hungry(megabytes: int) -> str:
    held = [bytearray(b"x") * (1024 * 1024) for _ in range(megabytes)]
    time.sleep(0.3)
    return f"{len(held)} MB"


@task(machine="micro")
def greedy(megabytes: int) -> int:
    held = [bytearray(b"x") * (1024 * 1024) for _ in range(megabytes)]
    time.sleep(5)
    return len(held)


@task(machine="micro")
def refused() -> int:
    return len(bytearray(20 * 1024**3))


@task(isolate=True, max_duration=0.5)
def apart_too_long(how: str) -> None:
    if how == "sleeping":
        time.sleep(600)
    while True:
        pass


@task(isolate=True)
def apart_stubborn(pid_file: str) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(pid_file).write_text(f"{os.getpid()} {child.pid}")
    while True:
        try:
            time.sleep(600)
        except Exception:  # noqa: BLE001 - that is what it is about
            print("not yet")  # noqa: T201 - as above


@task(isolate=True)
async def apart_gate(payload: dict[str, str]) -> str:
    with Path(payload["pids"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    said: str = (await wait.for_token(payload["token"])).unwrap()
    return said


@task(machine="small-2x")
async def apart_for(seconds: float) -> tuple[float, float]:
    begun_s = time.time()
    await asyncio.sleep(seconds)
    return begun_s, time.time()


def _note_cancelled(event: RunEvent) -> None:
    Path(str(event.payload)).write_text("cancelled")


@task(isolate=True, on_cancel=_note_cancelled)
def apart_asleep(file: str) -> None:
    metadata.set("stage", "asleep")
    metadata.sync.flush()
    Path(file).write_text("asleep")
    time.sleep(600)


@task(isolate=True, on_cancel=_note_cancelled)
async def apart_waiting(file: str) -> None:
    metadata.set("stage", "asleep")
    await metadata.flush()
    Path(file).write_text("asleep")
    await asyncio.sleep(600)


@task(machine="micro")
def burns_apart(seconds: float) -> float:
    begun_s, used_s = time.monotonic(), time.process_time()
    while time.monotonic() - begun_s < seconds:
        pass
    return (time.process_time() - used_s) / (time.monotonic() - begun_s)
