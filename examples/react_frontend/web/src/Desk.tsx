import { useRealtimeTaskTrigger, useTaskTrigger } from "@trigger.dev/react-hooks";
import { useEffect, useState } from "react";

import { Lamp } from "./Lamp";
import { type Progress, said, type WriteStory } from "./tasks";
import { Trouble } from "./Trouble";

type Props = { shelf: string; token: string; onOpen: (runId: string) => void; onRefused: () => void };

/** Where stories are ordered: one to watch, or one for later. */
export function Desk({ shelf, token, onOpen, onRefused }: Props) {
  const [topic, setTopic] = useState("a lighthouse without a keeper");
  // Triggers, and follows the run with the token that the answer brings.
  const watched = useRealtimeTaskTrigger<WriteStory>("write-story", { accessToken: token });
  // Only triggers; the story turns up on the shelf.
  const later = useTaskTrigger<WriteStory>("write-story", { accessToken: token });

  const runId = watched.handle?.id;
  useEffect(() => {
    if (runId) onOpen(runId);
  }, [runId, onOpen]);

  const order = { topic: topic.trim() };
  const error = watched.error ?? later.error;
  return (
    <form
      className="card desk"
      onSubmit={(event) => {
        event.preventDefault();
        watched.submit(order, { tags: [shelf] });
      }}
    >
      <label htmlFor="topic">A story about</label>
      <input id="topic" value={topic} maxLength={60} onChange={(event) => setTopic(event.target.value)} />
      <div className="row">
        <button className="primary" disabled={!order.topic || watched.isLoading}>
          Write a story
        </button>
        <button
          type="button"
          disabled={!order.topic || later.isLoading}
          onClick={() => later.submit(order, { tags: [shelf] })}
        >
          Put one on the shelf
        </button>
        <div className="note" role="status">
          {error ? <Trouble error={error} onRefused={onRefused} /> : watched.run && <Ticker run={watched.run} />}
        </div>
      </div>
    </form>
  );
}

function Ticker({ run }: { run: { status: string; metadata?: unknown } }) {
  const { words = 0 } = (run.metadata ?? {}) as Progress;
  return (
    <>
      <Lamp status={run.status} /> {said(run.status)}
      {words > 0 && `, ${words} words`}
    </>
  );
}
