import { useRealtimeBatch } from "@trigger.dev/react-hooks";
import { useState } from "react";

import { type Access, ask } from "./backend";
import { said, type WriteVerse } from "./tasks";

/** A poem whose lines are a batch of runs; the backend triggers it, and says which token reads it. */
export function Poem() {
  const [theme, setTheme] = useState("rain");
  const [batch, setBatch] = useState<Access>();
  const [trouble, setTrouble] = useState("");

  return (
    <section className="card" aria-labelledby="poem">
      <h2 id="poem">A poem by eight hands</h2>
      <form
        className="row"
        onSubmit={(event) => {
          event.preventDefault();
          ask<Access>("/api/poems", { theme }).then(setBatch, (error: Error) => setTrouble(error.message));
        }}
      >
        <input aria-label="Theme" value={theme} maxLength={30} onChange={(event) => setTheme(event.target.value)} />
        <button disabled={!theme.trim()}>Begin</button>
      </form>
      {trouble && <p className="note">{trouble}</p>}
      {batch && <Verses key={batch.id} batch={batch} />}
    </section>
  );
}

function Verses({ batch }: { batch: Access }) {
  const { runs, error } = useRealtimeBatch<WriteVerse>(batch.id, { accessToken: batch.token });
  const lines = runs.toSorted((one, other) => one.payload.line - other.payload.line);
  const done = runs.filter((run) => run.status === "COMPLETED").length;

  return (
    <>
      {error && <p className="note">{error.message}</p>}
      <div className="progress">
        <progress max={runs.length || 1} value={done} aria-label="Lines written" />
        <span>
          {done} of {runs.length}
        </span>
      </div>
      <ol className="poem">
        {lines.map((run) => (
          <li key={run.id} data-status={run.status}>
            {run.output ?? <span className="note">{said(run.status)}</span>}
          </li>
        ))}
      </ol>
    </>
  );
}
