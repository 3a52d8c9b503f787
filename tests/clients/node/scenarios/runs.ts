// What a backend asks of runs.

import { runs } from "@trigger.dev/sdk";

export async function retrieve(id: string) {
  return await runs.retrieve(id);
}

export async function poll(id: string) {
  return await runs.poll(id, { pollIntervalMs: 50 });
}

export async function begun(id: string) {
  let run = await runs.retrieve(id);
  while (run.status !== "EXECUTING") {
    run = await runs.retrieve(id);
  }
  return run;
}

export async function cancel(id: string) {
  return await runs.cancel(id);
}

export async function replay({ id, options }) {
  return options === undefined ? await runs.replay(id) : await runs.replay(id, options);
}

export async function reschedule({ id, delay }) {
  return await runs.reschedule(id, { delay });
}

export async function rescheduleToDate({ id, inMs }) {
  const delay = new Date(Date.now() + inMs);
  const run = await runs.reschedule(id, { delay });
  return { sent: delay, delayedUntil: run.delayedUntil };
}

export async function page(filters: object) {
  const { data, pagination } = await runs.list(filters);
  return { data, pagination };
}

export async function all(filters: object) {
  const found = [];
  for await (const run of runs.list(filters)) {
    found.push(run.id);
  }
  return found;
}

export async function backwards(filters: object) {
  let page = await runs.list(filters);
  while (page.hasNextPage()) {
    page = await page.getNextPage();
  }
  const found = [page.data.map((run) => run.id)];
  while (page.hasPreviousPage()) {
    page = await page.getPreviousPage();
    found.push(page.data.map((run) => run.id));
  }
  return found;
}

export async function between({ tag, lastMs }) {
  const found = [];
  for await (const run of runs.list({ tag, from: new Date(Date.now() - lastMs), to: new Date(Date.now() + 60_000) })) {
    found.push(run.createdAt instanceof Date);
  }
  return found;
}
