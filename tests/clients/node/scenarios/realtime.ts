// Subscriptions and streams, as pages and backends follow runs.

import { auth, batch, runs, streams, tasks } from "@trigger.dev/sdk";

// The statuses of a run in order, and how it ended. Clients before 4.8 do not end their iteration with the run.
export async function followed({ id, payload, options, subscribe, breaks }) {
  const handle = await tasks.trigger(id, payload, options);
  const statuses: string[] = [];
  let last: any;
  for await (const run of runs.subscribeToRun(handle.id, subscribe)) {
    if (run.status !== statuses.at(-1)) {
      statuses.push(run.status);
    }
    last = run;
    if (breaks && run.isCompleted) {
      break;
    }
  }
  return { statuses, last };
}

// A page follows a large run with nothing but the token of its handle.
export async function followedByBearer(length: number) {
  const handle = await tasks.trigger("my-task", "x".repeat(length));
  return await auth.withAuth({ accessToken: handle.publicAccessToken }, async () => {
    for await (const run of runs.subscribeToRun(handle.id)) {
      if (run.isCompleted) {
        return [run.payload.length, run.output.length];
      }
    }
  });
}

export async function tagged({ tag, id, payloads }) {
  const found = new Set<string>();
  const followed = runs.subscribeToRunsWithTag(tag);
  const handles = await Promise.all(payloads.map((payload) => tasks.trigger(id, payload, { tags: [tag] })));
  const wanted = new Set(handles.map((handle) => handle.id));
  for await (const run of followed) {
    if (run.isSuccess) {
      found.add(run.id);
    }
    if (found.size === wanted.size) {
      break;
    }
  }
  return [...wanted].every((id) => found.has(id));
}

export async function batched({ id, payloads }) {
  const handle = await tasks.batchTrigger(
    id,
    payloads.map((payload) => ({ payload })),
  );
  const outputs = new Map<string, unknown>();
  for await (const run of runs.subscribeToBatch(handle.batchId)) {
    if (run.isSuccess) {
      outputs.set(run.id, run.output);
    }
    if (outputs.size === payloads.length) {
      break;
    }
  }
  const { runs: ids } = await batch.retrieve(handle.batchId);
  return ids.map((id) => outputs.get(id));
}

export async function readStream({ run, key, startIndex }) {
  const chunks: unknown[] = [];
  for await (const chunk of await streams.read(run, key, { startIndex })) {
    chunks.push(chunk);
  }
  return chunks;
}

// The first chunk that comes after reading has begun.
export async function readNext({ run, key }) {
  for await (const chunk of await streams.read(run, key, { from: "latest" })) {
    return chunk;
  }
}

export async function sendWords({ run, key, words }) {
  const input = streams.input({ id: key });
  for (const word of words) {
    await input.send(run, word);
  }
  return "sent";
}

export async function withStreams({ run, key }) {
  const chunks: unknown[] = [];
  for await (const part of runs.subscribeToRun(run).withStreams<Record<string, unknown>>()) {
    if (part.type === key) {
      chunks.push(part.chunk);
    }
    if (chunks.length === 3) {
      break;
    }
  }
  return chunks;
}
