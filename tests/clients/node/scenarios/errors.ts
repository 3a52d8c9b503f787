// What the server refuses.

import { ApiError, auth, batch, runs, tasks } from "@trigger.dev/sdk";

export async function wrongKey(accessToken: string) {
  return await auth.withAuth({ accessToken }, async () => await runs.list());
}

export async function unknownRun() {
  return await runs.retrieve("run_00000000000000000000000000");
}

export async function unknownBatch() {
  return await batch.retrieve("batch_00000000000000000000000000");
}

export async function noRunId() {
  return await runs.retrieve("nonsense");
}

export async function tooManyTags() {
  return await tasks.trigger("my-task", {}, { tags: Array.from({ length: 11 }, (_, number) => `tag-${number}`) });
}

export async function badItem() {
  const tags = Array.from({ length: 11 }, (_, number) => `tag-${number}`);
  const handle = await batch.trigger([
    { id: "my-task", payload: 1 },
    { id: "my-task", payload: 2, options: { tags } },
  ]);
  const { runs: ids } = await batch.retrieve(handle.batchId);
  const bad = await runs.poll(ids[1], { pollIntervalMs: 50 });
  return { good: (await runs.poll(ids[0], { pollIntervalMs: 50 })).output, status: bad.status, error: bad.error };
}

export async function rescheduleEnded(id: string) {
  return await runs.reschedule(id, { delay: "1h" });
}

export async function rescheduleToNonsense(id: string) {
  return await runs.reschedule(id, { delay: "soon" });
}

export async function badDebounce() {
  return await tasks.trigger("my-task", {}, { debounce: { key: "k", delay: "5m", maxDelay: "1m" } });
}

export async function unknownStatus() {
  return await runs.list({ status: "DONE" });
}

export async function hugeMetadata() {
  return await tasks.trigger("my-task", {}, { metadata: { text: "x".repeat(300_000) } });
}

export async function isApiError() {
  try {
    await unknownRun();
  } catch (error) {
    return error instanceof ApiError && error.status === 404 && error.headers["content-type"];
  }
}
