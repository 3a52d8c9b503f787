// Values that JSON cannot say.

import { runs, tasks } from "@trigger.dev/sdk";

const VALUES = {
  date: new Date("2030-01-02T03:04:05.678Z"),
  big: 12345678901234567890n,
  map: new Map([["a", 1], ["b", 2]]),
  set: new Set(["x", "y"]),
  nothing: undefined,
  url: new URL("https://example.com/a?b=c"),
  pattern: /ab+c/gi,
  nan: NaN,
  nested: { at: [new Date("2031-01-01T00:00:00.000Z")] },
};

async function outcome(handle) {
  return await runs.poll(handle, { pollIntervalMs: 50 });
}

export async function types() {
  return (await outcome(await tasks.trigger("tells-types", VALUES))).output;
}

export async function typesInBatch() {
  const { batchId } = await tasks.batchTrigger("tells-types", [{ payload: VALUES }]);
  const [id] = (await runs.list({ batch: batchId })).data.map((run) => run.id);
  return (await outcome(id)).output;
}

export async function alone(name: string) {
  return (await outcome(await tasks.trigger("tells-type", VALUES[name]))).output;
}

export async function shown() {
  const run = await outcome(await tasks.trigger("my-task", { date: VALUES.date, plain: 1 }));
  return { payload: run.payload, output: run.output };
}

export async function replayed() {
  const run = await outcome(await tasks.trigger("tells-types", { date: VALUES.date, big: VALUES.big }));
  return (await outcome(await runs.replay(run.id))).output;
}

export async function replayedWith() {
  const run = await outcome(await tasks.trigger("tells-types", {}));
  const again = await runs.replay(run.id, { payload: { date: VALUES.date, set: VALUES.set } });
  return (await outcome(again)).output;
}

export async function awkward() {
  const at = VALUES.date;
  const values = {
    "a.b": at,
    inner: { "v.w": undefined, "x.y": at },
    "c\\d": at,
    objects: new Set([{ a: 1 }]),
    pairs: new Map([[{ k: 1 }, 2]]),
    late: new Date("+012345-01-01T00:00:00.000Z"),
  };
  return (await outcome(await tasks.trigger("tells-types", values))).output;
}
