// Calls through a server that fails; clients wait a shorter time between attempts than they would by themselves.

import { auth, runs, tasks, wait } from "@trigger.dev/sdk";

const QUICK = { maxAttempts: 3, minTimeoutInMs: 10, maxTimeoutInMs: 20, factor: 1, randomize: false };

function through(url: string, call, retry: object | undefined = QUICK) {
  return auth.withAuth({ baseURL: url, accessToken: process.env.TRIGGER_SECRET_KEY, requestOptions: { retry } }, call);
}

export async function trigger({ url, tags }) {
  return await through(url, async () => await tasks.trigger("my-task", { some: "data" }, { delay: "1h", tags }));
}

export async function triggerAsEver({ url }) {
  const started = Date.now();
  const call = async () => await tasks.trigger("my-task", { some: "data" }, { delay: "1h" });
  const handle = await auth.withAuth({ baseURL: url, accessToken: process.env.TRIGGER_SECRET_KEY }, call);
  return { handle, tookMs: Date.now() - started };
}

export async function retrieve({ url, id }) {
  return await through(url, async () => await runs.retrieve(id));
}

export async function batch({ url, count }) {
  const items = Array.from({ length: count }, (_, number) => ({ payload: number, options: { delay: "1h" } }));
  return await through(url, async () => await tasks.batchTrigger("my-task", items, {}, { retry: QUICK }));
}

export async function largeBatch({ url }) {
  return await through(url, async () => await tasks.batchTrigger("measures", [{ payload: "x".repeat(200_000) }]));
}

export async function createToken({ url, tags }) {
  return await through(url, async () => await wait.createToken({ tags }));
}

export async function replay({ url, id }) {
  return await through(url, async () => await runs.replay(id));
}
