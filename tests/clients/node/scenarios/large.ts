// Documents that the client stores beside the call: 131,072 bytes and more.

import { batch, runs, tasks } from "@trigger.dev/sdk";

async function outcome(handle) {
  return await runs.poll(handle, { pollIntervalMs: 50 });
}

export async function measured({ id, length }) {
  const text = "x".repeat(length);
  const run = await outcome(await tasks.trigger(id, id === "measures" ? { text } : text));
  const payload = typeof run.payload === "string" ? run.payload : run.payload.text;
  return { output: run.output, shown: payload.length, status: run.status, apart: "payloadPresignedUrl" in run };
}

export async function measuredInBatch(lengths: number[]) {
  const { batchId } = await tasks.batchTrigger(
    "measures",
    lengths.map((length) => ({ payload: { text: "x".repeat(length) } })),
  );
  const { runs: ids } = await batch.retrieve(batchId);
  return (await Promise.all(ids.map(outcome))).map((run) => run.output);
}

export async function written(length: number) {
  const run = await outcome(await tasks.trigger("writes", length));
  return { length: run.output.length, all: /^x+$/.test(run.output) };
}

export async function datesInLarge(length: number) {
  const payload = { text: "x".repeat(length), at: new Date("2030-01-02T03:04:05.678Z") };
  return (await outcome(await tasks.trigger("tells-of-large", payload))).output;
}

export async function tooLarge(length: number) {
  return await tasks.trigger("measures", { text: "x".repeat(length) });
}
