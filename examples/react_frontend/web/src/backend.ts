/** What the backend answers, see backend.py. */
export type Visit = { api_url: string; shelf: string; read_token: string; write_token: string };

/** A thing of the oncue server's, and a token that is good for this alone. */
export type Access = { id: string; token: string };

/** Whether a token is good no longer. */
export function isRefused(error: Error | undefined): boolean {
  return error !== undefined && /\b401\b/.test(`${(error as { status?: number }).status} ${error.message}`);
}

export async function ask<T>(path: string, body?: unknown): Promise<T> {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: body === undefined ? null : JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return (await answer.json()) as T;
}
