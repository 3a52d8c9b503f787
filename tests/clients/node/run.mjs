// Runs functions of the files in `scenarios` with an unmodified client, as its tests ask.
//
// Each line of standard input names one: {"id": 1, "file": "runs", "name": "retrieves", "argument": "run_..."}. Each is
// answered by one line: {"id": 1, "value": ...}, or {"id": 1, "error": {"class": "NotFoundError", ...}}. What a scenario
// prints goes to standard error.

import { createInterface } from "node:readline";

const { CLIENT_TEST_PATIENCE_MS: patience } = process.env;

console.log = console.info = console.error;

const FIELDS = ["status", "code", "param", "type", "phase", "batchId", "itemCount", "isRateLimited", "retryAfterMs"];

function described(error) {
  if (!(error instanceof Error)) {
    return { class: typeof error, message: String(error) };
  }
  const known = FIELDS.filter((name) => error[name] !== undefined).map((name) => [name, error[name]]);
  return {
    class: error.constructor.name,
    name: error.name,
    message: error.message,
    stack: error.stack,
    millisecondsUntilReset: error.millisecondsUntilReset,
    shouldRetry: error.headers?.["x-should-retry"],
    cause: error.cause === undefined ? undefined : described(error.cause),
    ...Object.fromEntries(known),
  };
}

function late() {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`not within ${patience} ms`)), Number(patience)).unref();
  });
}

async function answer({ id, file, name, argument }) {
  try {
    const scenario = await import(`./scenarios/${file}.ts`);
    const value = await Promise.race([scenario[name](argument), late()]);
    return { id, value: value ?? null };
  } catch (error) {
    return { id, error: described(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  answer(JSON.parse(line)).then((said) => process.stdout.write(`${JSON.stringify(said)}\n`));
}
