// One run, by the id of its task or by the task itself.

import { runs, task, tasks } from "@trigger.dev/sdk";

export async function trigger({ id, payload, options }) {
  return await tasks.trigger(id, payload, options);
}

export async function triggerAndPoll({ id, payload, options }) {
  const handle = await tasks.trigger(id, payload, options);
  return await runs.poll(handle, { pollIntervalMs: 50 });
}

export async function triggerWithoutPayload(id: string) {
  const handle = await tasks.trigger(id, undefined);
  return await runs.poll(handle, { pollIntervalMs: 50 });
}

export async function triggerByTask({ id, queue, payload, options }) {
  const declared = task({ id, queue, run: async (_: unknown) => {} });
  return await declared.trigger(payload, options);
}

export async function triggerAndWait(id: string) {
  return await tasks.triggerAndWait(id, {});
}
