// Options of a trigger, as the trigger page writes them.

import { queues, runs, task, tasks } from "@trigger.dev/sdk";

const myTask = task({ id: "my-task", run: async (_: unknown) => {} });

export async function delays() {
  const date = new Date(Date.now() + 1000 * 60 * 60);
  const handles = [
    await myTask.trigger({ some: "data" }, { delay: "1h" }),
    await myTask.trigger({ some: "data" }, { delay: "88s" }),
    await myTask.trigger({ some: "data" }, { delay: "2024-12-01T00:00:00" }),
    await myTask.trigger({ some: "data" }, { delay: date }),
  ];
  const [hour, seconds, past, atDate] = await Promise.all(handles.map((handle) => runs.retrieve(handle)));
  return {
    hourMs: hour.delayedUntil.getTime() - hour.createdAt.getTime(),
    secondsMs: seconds.delayedUntil.getTime() - seconds.createdAt.getTime(),
    pastIsDelayed: past.delayedUntil !== undefined,
    offByMs: atDate.delayedUntil.getTime() - date.getTime(),
  };
}

export async function lifetimes() {
  const found = [];
  for (const ttl of ["1h", 3600, "2h30m", 0]) {
    const handle = await myTask.trigger({ some: "data" }, { ttl, delay: "1h" });
    found.push((await runs.retrieve(handle)).ttl);
  }
  return found;
}

export async function expired(queue: string) {
  await tasks.trigger("my-task", {}, { queue, delay: "1h" });
  await queues.pause({ type: "custom", name: queue });
  const handle = await tasks.trigger("my-task", {}, { queue, ttl: 1 });
  return await runs.poll(handle, { pollIntervalMs: 100 });
}

export async function debounced({ key, mode }) {
  const debounce = { key, delay: "5m", ...(mode && { mode }) };
  const first = await myTask.trigger({ count: 1 }, { debounce });
  const second = await myTask.trigger({ count: 2 }, { debounce });
  const run = await runs.retrieve(second);
  return { same: first.id === second.id, cached: second.isCached, status: run.status, payload: run.payload };
}

export async function debouncedInBatch(key: string) {
  const debounce = { key, delay: "5m", mode: "trailing", maxDelay: "1h" };
  const handle = await myTask.batchTrigger([
    { payload: { count: 1 }, options: { debounce } },
    { payload: { count: 2 }, options: { debounce } },
  ]);
  const again = await myTask.trigger({ count: 3 }, { debounce });
  return { count: handle.runCount, payload: (await runs.retrieve(again)).payload };
}
