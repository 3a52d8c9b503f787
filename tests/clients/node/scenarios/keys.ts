// Idempotency keys.

import { idempotencyKeys, runs, tasks } from "@trigger.dev/sdk";

async function triggered(idempotencyKey, options = {}) {
  return await tasks.trigger("my-task", {}, { idempotencyKey, delay: "1h", ...options });
}

export async function created({ key, scope }) {
  const idempotencyKey = await idempotencyKeys.create(key, { scope });
  const first = await triggered(idempotencyKey);
  const second = await triggered(idempotencyKey);
  const shown = await runs.retrieve(first);
  return { hash: idempotencyKey, first, second, shown: shown.idempotencyKey };
}

export async function raw(key: string | string[]) {
  return [await triggered(key), await triggered(key)];
}

export async function lapsed(key: string) {
  const first = await triggered(key, { idempotencyKeyTTL: "1s" });
  let second = first;
  while (second.id === first.id) {
    second = await triggered(key, { idempotencyKeyTTL: "1s" });
  }
  return second.isCached;
}

export async function reset({ key, scope }) {
  const idempotencyKey = await idempotencyKeys.create(key, { scope });
  const first = await triggered(idempotencyKey);
  const answer = await idempotencyKeys.reset("my-task", key, { scope });
  const second = await triggered(idempotencyKey);
  return { answer, hash: idempotencyKey, isNew: first.id !== second.id };
}

export async function resetCreated(key: string) {
  const idempotencyKey = await idempotencyKeys.create(key, { scope: "global" });
  const first = await triggered(idempotencyKey);
  await idempotencyKeys.reset("my-task", idempotencyKey);
  return first.id !== (await triggered(idempotencyKey)).id;
}

export async function resetUnknown(key: string) {
  return await idempotencyKeys.reset("my-task", key, { scope: "global" });
}
