import { useRealtimeRunsWithTag } from "@trigger.dev/react-hooks";

import { Lamp } from "./Lamp";
import { type Progress, said, type WriteStory } from "./tasks";
import { Trouble } from "./Trouble";

type Props = { shelf: string; open: string | undefined; onOpen: (runId: string) => void; onRefused: () => void };

/** All stories of this visitor, as they stand at this moment. */
export function Shelf({ shelf, open, onOpen, onRefused }: Props) {
  const { runs, error } = useRealtimeRunsWithTag<WriteStory>(shelf, { createdAt: "1d" });
  const newest = runs.toReversed();

  return (
    <section className="card" aria-labelledby="shelf">
      <h2 id="shelf">
        The shelf {runs.length > 0 && <small>{runs.length}</small>}
      </h2>
      <Trouble error={error} onRefused={onRefused} />
      {newest.length === 0 && <p className="note">Nothing on it yet. Stories appear here by themselves.</p>}
      <ul className="shelf">
        {newest.map((run) => {
          const { title, words } = (run.metadata ?? {}) as Progress;
          const published = run.output?.published;
          return (
            <li key={run.id}>
              <button data-run={run.id} aria-current={run.id === open} onClick={() => onOpen(run.id)}>
                <Lamp status={run.status} />
                <span className="title">{title ?? run.payload?.topic ?? "Untitled"}</span>
                <span className="state">
                  {run.status === "COMPLETED" ? (published ? "published" : "put away") : said(run.status)}
                  {words ? ` · ${words} words` : ""}
                </span>
              </button>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
