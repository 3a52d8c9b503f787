// What a backend does to many runs at once.

import { runs } from "@trigger.dev/sdk";

const brief = { pollIntervalMs: 50 };

export async function cancel(options: object) {
  const { id } = await runs.bulk.cancel(options);
  return await runs.bulk.poll(id, brief);
}

export async function replay(options: object) {
  const { id } = await runs.bulk.replay(options);
  return await runs.bulk.poll(id, brief);
}

export async function replaySince({ tag }) {
  return await replay({ filter: { tag, from: new Date(Date.now() - 60_000), to: Date.now() + 60_000 } });
}

export async function abort(options: object) {
  const { id } = await runs.bulk.cancel(options);
  const aborted = await runs.bulk.abort(id);
  return { id, aborted, action: await runs.bulk.retrieve(id) };
}

export async function names(limit: number) {
  const found = [];
  for await (const action of runs.bulk.list({ limit })) {
    found.push(action.name);
  }
  return found;
}
