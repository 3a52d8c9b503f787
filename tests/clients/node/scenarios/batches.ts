// Batches, of each kind that a backend can make.

import { apiClientManager } from "@trigger.dev/core/v3";
import { batch, runs, task, tasks } from "@trigger.dev/sdk";

async function outcome({ batchId }) {
  const { runs: ids } = await batch.retrieve(batchId);
  const ended = await Promise.all(ids.map((id) => runs.poll(id, { pollIntervalMs: 50 })));
  return { ...(await batch.retrieve(batchId)), outputs: ended.map((run) => run.output) };
}

export async function trigger({ items, options }) {
  const handle = await batch.trigger(items, options);
  return { handle, ...(await outcome(handle)) };
}

export async function triggerByTask(items: { id: string; payload: unknown }[]) {
  const declared = items.map(({ id, payload }) => ({ task: task({ id, run: async (_: unknown) => {} }), payload }));
  const handle = await batch.triggerByTask(declared);
  return { handle, ...(await outcome(handle)) };
}

export async function batchTrigger({ id, items, options }) {
  const handle = await tasks.batchTrigger(id, items, options);
  return { handle, ...(await outcome(handle)) };
}

export async function created({ id, items, options }) {
  return await tasks.batchTrigger(id, items, options);
}

export async function retrieve(id: string) {
  return await batch.retrieve(id);
}

export async function streamed({ id, count }) {
  async function* items() {
    for (let number = 0; number < count; number++) {
      yield { payload: { number } };
    }
  }
  const handle = await tasks.batchTrigger(id, items());
  return { handle, ...(await outcome(handle)) };
}

export async function streamedByStream({ ids }) {
  const items = new ReadableStream({
    start(controller) {
      for (const id of ids) {
        controller.enqueue({ id, payload: { some: 1, other: 2 } });
      }
      controller.close();
    },
  });
  const handle = await batch.trigger(items);
  return { handle, ...(await outcome(handle)) };
}

// As tasks.batchTrigger did before 4.3.1; the package still has it.
export async function whole({ id, items }) {
  const client = apiClientManager.clientOrThrow();
  const handle = await client.batchTriggerV3({ items: items.map((item) => ({ task: id, ...item })) });
  return { handle, ...(await outcome({ batchId: handle.id })) };
}

export async function nothing() {
  return await tasks.batchTrigger("my-task", []);
}

export async function impatient({ id, items }) {
  return await tasks.batchTrigger(id, items, {}, { retry: { maxAttempts: 1 } });
}
