// Tokens that a run waits for, made and completed from outside.

import { runs, tasks, wait } from "@trigger.dev/sdk";

export async function created(options) {
  const token = await wait.createToken(options);
  return { token, retrieved: await wait.retrieveToken(token) };
}

export async function completed({ options, output }) {
  const token = await wait.createToken(options);
  const answers = [await wait.completeToken(token, output), await wait.completeToken(token.id, "ignored")];
  return { answers, retrieved: await wait.retrieveToken(token.id) };
}

export async function waitedFor(output) {
  const token = await wait.createToken({ timeout: "1h" });
  const handle = await tasks.trigger("waits-for", token.id);
  await wait.completeToken(token, output);
  return (await runs.poll(handle, { pollIntervalMs: 50 })).output;
}

export async function calledBack(body) {
  const token = await wait.createToken();
  const answer = await fetch(token.url, { method: "POST", body: JSON.stringify(body) });
  return { status: answer.status, retrieved: await wait.retrieveToken(token) };
}

export async function listed(params) {
  const found = [];
  for await (const token of wait.listTokens(params)) {
    found.push(token.id);
  }
  return found;
}

export async function backwards(params) {
  let page = await wait.listTokens(params);
  while (page.hasNextPage()) {
    page = await page.getNextPage();
  }
  const found = [page.data.map((token) => token.id)];
  while (page.hasPreviousPage()) {
    page = await page.getPreviousPage();
    found.push(page.data.map((token) => token.id));
  }
  return found;
}

export async function listedSince({ tags, lastMs }) {
  return await listed({ tags, from: new Date(Date.now() - lastMs), to: new Date(Date.now() + 60_000) });
}

export async function timedOut() {
  const token = await wait.createToken({ timeout: new Date(Date.now() + 1_000) });
  let retrieved = await wait.retrieveToken(token);
  while (retrieved.status === "WAITING") {
    retrieved = await wait.retrieveToken(token);
  }
  return { ...retrieved, error: retrieved.error.message };
}

export async function unknown() {
  return await wait.completeToken("waitpoint_00000000000000000000000000", {});
}
