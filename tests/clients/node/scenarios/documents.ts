// What the client asks of a run's tags, metadata, trace and events; from outside a task only its lower half can.

import { ApiClient } from "@trigger.dev/core/v3";

const api = new ApiClient(process.env.TRIGGER_API_URL, process.env.TRIGGER_SECRET_KEY);

export async function addTags({ id, tags }) {
  return await api.addTags(id, { tags });
}

export async function updateMetadata({ id, body }) {
  return await api.updateRunMetadata(id, body);
}

export async function getMetadata(id: string) {
  return await api.getRunMetadata(id);
}

export async function tracePages(id: string) {
  const spans: { id: string; message: string }[] = [];
  let after: string | undefined;
  do {
    const page = await api.retrieveRunTracePage(id, { limit: 1, after });
    spans.push(...page.data);
    after = page.pagination.next;
  } while (after !== undefined);
  return { messages: spans.map((span) => span.message), first: await api.retrieveSpan(id, spans[0].id) };
}

export async function trace(id: string) {
  return (await api.retrieveRunTrace(id)).trace;
}

export async function events(id: string) {
  return await api.listRunEvents(id);
}

export async function result(id: string) {
  return await api.getRunResult(id);
}
