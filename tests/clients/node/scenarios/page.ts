// The trigger page's examples for backends, each in a file of its own as the page has it; here is what surrounds them.

import { runs, task } from "@trigger.dev/sdk";

async function posted(file: string, body: object) {
  const { POST } = await import(`./page/${file}.ts`);
  const request = new Request("http://localhost/", { method: "POST", body: JSON.stringify(body) });
  return await (await POST(request)).json();
}

const user = (name: string) => ({ email: `${name}@example.com`, name });

export const trigger = async () => await posted("trigger", user("ann"));
export const triggerWithOptions = async () => await posted("trigger-with-options", user("ann"));
export const batchTrigger = async () => await posted("batch-trigger", { users: [user("ann"), user("bob")] });
export const batchOfSeveral = async () => await posted("batch-of-several", { some: "x", other: "y" });

// Examples without a function run when they are imported, and find what they name among the global names. What they
// triggered is told by what was not there before.
async function imported(file: string, names: object, filters: object) {
  const known = new Set((await runs.list({ ...filters, limit: 100 })).data.map((run) => run.id));
  Object.assign(globalThis, names);
  await import(`./page/${file}.ts`);
  const { data } = await runs.list({ ...filters, limit: 100 });
  const made = data.filter((run) => !known.has(run.id)).reverse();
  return await Promise.all(made.map((run) => runs.retrieve(run.id)));
}

export async function batchTriggerWithOptions() {
  const data = { users: [user("ann"), user("bob")] };
  return await imported("batch-trigger-with-options", { data }, { taskIdentifier: "email-sequence" });
}

export async function options(file: string) {
  const id = `page-${file}`;
  const named = task({ id, run: async (_: unknown) => {} });
  const names = { myTask: named, yourTask: named, summarizeChat: named, generatePullRequest: named };
  return await imported(file, { ...names, payload: {}, data: { userId: "user-7" } }, { taskIdentifier: id });
}
