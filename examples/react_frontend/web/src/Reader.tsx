import { useRealtimeRun, useRealtimeStream, useRun, useWaitToken } from "@trigger.dev/react-hooks";
import { useEffect, useState } from "react";

import { type Access, ask } from "./backend";
import { type Progress, said, type WriteStory } from "./tasks";
import { Trouble } from "./Trouble";

const STAGES = ["In line", "Writing", "Your word", "Done"];
const STAGE: Record<string, number> = { EXECUTING: 1, WAITING: 2, COMPLETED: 3 };

/** One story: how far it is, its words as they come, and what is left to decide. */
export function Reader({ runId, onRefused }: { runId: string; onRefused: () => void }) {
  const { run, error } = useRealtimeRun<WriteStory>(runId);
  const { parts } = useRealtimeStream<string>(runId, "story");

  const { title, review } = (run?.metadata ?? {}) as Progress;
  const stage = STAGE[run?.status ?? ""] ?? 0;
  return (
    <section className="card sheet" aria-label="Story" data-status={run?.status}>
      <ol className="stages">
        {STAGES.map((name, at) => (
          <li key={name} data-done={at < stage} aria-current={at === stage ? "step" : undefined}>
            {name}
          </li>
        ))}
      </ol>
      <h2>{title ?? "…"}</h2>
      <p className="text" aria-live="polite">
        {parts.join("")}
        {stage < 2 && <span className="caret" />}
      </p>
      <Trouble error={error} onRefused={onRefused} />
      {run?.status === "WAITING" && review && <Review runId={runId} />}
      {run?.isCompleted && <Colophon runId={runId} verdict={verdict(run)} />}
    </section>
  );
}

function verdict(run: { status: string; output?: { published: boolean } }) {
  if (run.status !== "COMPLETED") return said(run.status);
  return run.output?.published ? "Published" : "Put away";
}

/** The run waits for this click, for an hour and without holding anything. */
function Review({ runId }: { runId: string }) {
  const [access, setAccess] = useState<Access>();
  useEffect(() => {
    ask<Access>(`/api/stories/${runId}/review`).then(setAccess, console.error);
  }, [runId]);
  return access ? <Verdict access={access} /> : null;
}

function Verdict({ access }: { access: Access }) {
  const { complete, isLoading, isCompleted, error } = useWaitToken<{ publish: boolean }>(access.id, {
    accessToken: access.token,
  });
  return (
    <div className="verdict">
      <p>{error?.message ?? "The draft is finished. Shall it go to print?"}</p>
      <button className="primary" disabled={isLoading || isCompleted} onClick={() => complete({ publish: true })}>
        Publish
      </button>
      <button disabled={isLoading || isCompleted} onClick={() => complete({ publish: false })}>
        Put it away
      </button>
    </div>
  );
}

/** What the server has on record of a run that has ended; asked for once. */
function Colophon({ runId, verdict }: { runId: string; verdict: string }) {
  const { run } = useRun<WriteStory>(runId);
  return (
    <footer className="colophon" data-verdict={verdict}>
      <strong>{verdict}</strong>
      {run && (
        <dl>
          <div>
            <dt>computed</dt>
            <dd>{(run.durationMs / 1000).toFixed(1)} s</dd>
          </div>
          <div>
            <dt>attempts</dt>
            <dd>{run.attemptCount}</dd>
          </div>
          <div>
            <dt>run</dt>
            <dd>
              <code>{run.id}</code>
            </dd>
          </div>
        </dl>
      )}
    </footer>
  );
}
