// Control of queues.

import { queues } from "@trigger.dev/sdk";

export async function retrieve(queue) {
  return await queues.retrieve(queue);
}

export async function list(options) {
  const { data, pagination } = await queues.list(options);
  return { data, pagination };
}

export async function names(options) {
  const found = [];
  for await (const queue of queues.list(options)) {
    found.push(queue.name);
  }
  return found;
}

export async function controlled({ queue, limit }) {
  const paused = await queues.pause(queue);
  const resumed = await queues.resume(queue);
  const overridden = await queues.overrideConcurrencyLimit(queue, limit);
  const reset = await queues.resetConcurrencyLimit(queue);
  return { paused, resumed, overridden, reset };
}
