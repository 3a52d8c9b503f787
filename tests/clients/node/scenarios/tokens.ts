// Public access tokens: made with the secret key, then used by themselves, as a page would.

import { auth, batch, runs, tasks, wait } from "@trigger.dev/sdk";

export async function create(options) {
  return await auth.createPublicToken(options);
}

export async function createUntil({ scopes, until }) {
  return await auth.createPublicToken({ scopes, expirationTime: new Date(until) });
}

export async function createToTrigger({ ids, options }) {
  return await auth.createTriggerPublicToken(ids, options);
}

export async function createToBatchTrigger({ ids, options }) {
  return await auth.createBatchTriggerPublicToken(ids, options);
}

const WITH = {
  retrieve: (id) => runs.retrieve(id),
  retrieveBatch: (id) => batch.retrieve(id),
  list: async (filters) => (await runs.list(filters)).data,
  cancel: (id) => runs.cancel(id),
  trigger: ({ id, payload, options }) => tasks.trigger(id, payload, options),
  batchTrigger: ({ id, items }) => tasks.batchTrigger(id, items),
  complete: ({ id, data }) => wait.completeToken(id, data),
};

export async function use({ token, what, argument }) {
  const config = { baseURL: process.env.TRIGGER_API_URL, accessToken: token };
  return await auth.withAuth(config, () => WITH[what](argument));
}

export async function createWaitToken(options) {
  return await wait.createToken(options);
}
