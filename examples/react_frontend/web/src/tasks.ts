import type { Task } from "@trigger.dev/core/v3";

/** The tasks of tasks.py, as TypeScript sees them: their ids, what they take and what they return. */
export type WriteStory = Task<"write-story", { topic: string }, { title: string; text: string; published: boolean }>;
export type WriteVerse = Task<"write-verse", { theme: string; line: number }, string>;

/** What `write-story` says in its metadata while it runs. */
export type Progress = { title?: string; words?: number; review?: string };

const SAID: Record<string, string> = {
  PENDING_VERSION: "no worker yet",
  DELAYED: "later",
  QUEUED: "in line",
  DEQUEUED: "in line",
  EXECUTING: "writing",
  WAITING: "waits for you",
  COMPLETED: "done",
  CANCELED: "cancelled",
};

/** A status of a run in the words of a press. */
export function said(status: string): string {
  return SAID[status] ?? "went wrong";
}
